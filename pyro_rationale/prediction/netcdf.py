"""Draws in a netCDF file, and as the object that ArviZ wants: one route for ArviZ 0.23 and for ArviZ 1.x.

The two take different things: 0.23 an `InferenceData`, 1.x an `xarray.DataTree`; their makers from plain arrays have
one name and other arguments. Both know groups of `xarray.Dataset`s, so that is what is stored, one netCDF-4 group
each, and `load` hands them over in the form that the installed ArviZ wants.

`GroupFile` writes such a file piece by piece, so that nobody needs memory for all draws of all documents at once.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.errors import RunError, reason_of
from pyro_rationale.optional import arviz, optional
from pyro_rationale.storage import checksum, replacing

if TYPE_CHECKING:
    from xarray import Dataset, DataTree

ENGINE = "h5netcdf"
ENGINES = (ENGINE, "h5py")  # and what it is installed without
COMPRESSION = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
CHUNK = 2**20  # bytes of one variable that are compressed together, at most
# Nats by which stored log likelihoods of draws of one mask differ: ArviZ 1.x refuses to smooth weights whose largest
# are equal (`az.loo`: "All tail values are the same"), and 0.23 calls their k-hat infinite. A tail of equal draws and a
# few rare ones gets a large k-hat in both, rightly.
DITHER = 1e-9

# What follows the HDF5 file, which its readers ignore: a mark, and the checksum of all bytes before it.
_MARK, _TRAILER = b"CRC-32: ", struct.Struct("<8sI")

Attributes = Mapping[str, str | int | float]


def from_groups(groups: Mapping[str, Dataset], attrs: Attributes | None = None) -> Any:
    """Datasets by group ("posterior", "log_likelihood", ...) as ArviZ's own object.

    Raises:
        ConfigError: ArviZ is not installed.
    """
    xarray = optional("xarray", "stored draws need")
    tree = xarray.DataTree.from_dict({f"/{name}": dataset for name, dataset in groups.items()})
    tree.attrs.update(attrs or {})
    return _for_arviz(tree)


def load(path: Path | str) -> Any:
    """A file of `save` or `GroupFile` as ArviZ's own object; arrays are read when they are used.

    Raises:
        ConfigError: ArviZ is not installed.
        RunError: there is no such file, or it holds something else.
    """
    arviz()
    return _for_arviz(open_groups(path))


def save(data: Any, path: Path | str) -> None:
    """Write groups as compressed netCDF; the whole file, or nothing.

    Args:
        data: datasets by group, or ArviZ's own object.
        path: replaced if it is there.
    """
    groups, attrs = _datasets(data)
    with GroupFile(Path(path), attrs) as file:
        for group, dataset in groups.items():
            besides = " ".join(str(name) for name in dataset.coords if name not in dataset.indexes)
            attributes = {**dataset.attrs, **({"coordinates": besides} if besides else {})}
            file.group(group, {str(name): size for name, size in dataset.sizes.items()}, attributes)
            for name, array in dataset.variables.items():
                values = np.asarray(array.values)
                text = values.dtype.kind in "OUST"
                file.variable(group, str(name), array.dims, None if text else values.dtype, array.attrs)
                file.put(group, str(name), values.astype(object) if text else values)


def open_groups(path: Path | str) -> Any:
    """Open a file of `save` or `GroupFile` as an `xarray.DataTree`, without ArviZ; close it, or use it in a `with`.

    Raises:
        ConfigError: xarray, h5netcdf or h5py is not installed.
        RunError: there is no such file, or it holds something else.
    """
    xarray = optional("xarray", "stored draws need")
    _, h5py = (optional(name, "stored draws need") for name in ENGINES)
    if not Path(path).is_file():
        raise RunError(f"{path}: no such file; python -m pyro_rationale.inspect writes one")
    try:
        if _is_damaged(Path(path)):
            raise ValueError("it differs from what was written")
        h5py.File(path).close()  # h5netcdf complains twice of a file that HDF5 cannot open
        return xarray.open_datatree(path, engine=ENGINE)
    except Exception as problem:  # of any kind, where other files than ours are damaged
        reason = reason_of(problem)
        raise RunError(f"{path}: no file of draws ({reason}); make it again with pyro_rationale.inspect") from None


def _is_damaged(path: Path) -> bool:
    """Whether a file of `GroupFile` has changed since it was written; one without a checksum counts as unchanged."""
    size = path.stat().st_size - _TRAILER.size
    with path.open("rb") as file:
        file.seek(max(size, 0))
        end = file.read()
    if len(end) < _TRAILER.size or not end.startswith(_MARK):
        return False
    return bool(_TRAILER.unpack(end)[1] != checksum(path, size))


def dithered(log_likelihood: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers that differ from those given, and from one another, by less than `DITHER`; the same at every call."""
    noise: NDArray[np.float64] = np.random.default_rng(0).uniform(-0.5, 0.5, log_likelihood.shape)
    return log_likelihood + DITHER * noise


def _for_arviz(tree: DataTree) -> Any:
    library = arviz()
    return library.from_datatree(tree) if hasattr(library, "from_datatree") else tree


def _datasets(data: Any) -> tuple[dict[str, Dataset], dict[str, Any]]:
    """The groups of a mapping, of a `DataTree` or of an `InferenceData`, and the attributes above them."""
    attrs = dict(getattr(data, "attrs", {}))
    if hasattr(data, "groups") and callable(data.groups):  # InferenceData
        return {name: data[name] for name in data.groups()}, attrs
    if hasattr(data, "children"):  # DataTree
        return {name: node.to_dataset() for name, node in data.children.items()}, attrs
    return dict(data), attrs


@dataclass
class GroupFile:
    """A netCDF-4 file that is filled piece by piece and appears at its path only once it is complete.

    ::

        with GroupFile(path) as file:
            file.group("posterior", {"chain": 4, "draw": 125, "document": 200})
            file.variable("posterior", "rate", ("chain", "draw", "document"), np.float32)
            file.put("posterior", "rate", values, document=slice(0, 32))

    Args:
        path: replaced if it is there.
        attrs: of the whole file.

    Raises:
        ConfigError: h5netcdf or h5py is not installed.
    """

    path: Path
    attrs: Attributes = field(default_factory=dict)
    _file: Any = None
    _end: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        library, _ = (optional(name, "stored draws need") for name in ENGINES)
        with ExitStack() as stack:
            self._target = stack.enter_context(_Target(stack.enter_context(replacing(self.path)), "r+"))
            self._file = library.File(self._target, "w")
            self._file.attrs.update(self.attrs)
            self._end = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._end:
            try:
                self._file.close()
            finally:
                self._target.check()
            if error is not None:
                raise error
            self._target.seal()

    def group(self, name: str, sizes: Mapping[str, int], attrs: Attributes | None = None) -> None:
        """Begin a group with these dimensions."""
        group = self._file.create_group(name)
        group.dimensions = dict(sizes)
        group.attrs.update(attrs or {})

    def variable(
        self,
        group: str,
        name: str,
        dims: Sequence[Any],
        dtype: Any,
        attrs: Attributes | None = None,
        block: Mapping[str, int] | None = None,
    ) -> None:
        """Begin a variable.

        Args:
            group: begun before.
            name: that of a dimension, for a coordinate.
            dims: of the group's.
            dtype: `None` for text.
            attrs: its description.
            block: sizes along dimensions in which it will be put; other dimensions are put whole.
        """
        target = self._file[group]
        text = dtype is None
        kind = optional("h5py", "stored draws need").string_dtype() if text else np.dtype(dtype)
        whole = {dim: target.dimensions[dim].size for dim in dims}
        settings: dict[str, Any] = {}
        if dims and all(whole.values()):
            pieces = [min(size, (block or {}).get(dim, size)) for dim, size in whole.items()]
            settings = {"chunks": _chunks(pieces, kind.itemsize), **({} if text else COMPRESSION)}
        target.create_variable(name, tuple(dims), kind, **settings).attrs.update(attrs or {})

    def put(self, group: str, name: str, values: Any, **where: slice) -> None:
        """Write values, all of them or those of a slice of some dimensions."""
        variable = self._file[group].variables[name]
        if not variable.dimensions:
            variable[...] = values
        elif all(variable.shape):
            variable[tuple(where.get(dim, slice(None)) for dim in variable.dimensions)] = values
        self._target.check()


class _Target(io.FileIO):
    """The file that HDF5 writes into.

    HDF5 cannot cope with a full disk: it complains in hundreds of lines and crashes as it closes the file. So it does
    not hear of it, nor of an interrupt. The first is kept, to be raised by :meth:`check`, and nothing more is written.
    """

    problem: BaseException | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, or drop it after an error."""
        rest = memoryview(data).cast("B")
        try:
            while rest and self.problem is None:
                rest = rest[super().write(rest) or 0 :]
        except (OSError, KeyboardInterrupt) as problem:
            self.problem = problem
        if rest:
            self.seek(len(rest), os.SEEK_CUR)
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Cut the file, or lengthen it, unless there was an error."""
        try:
            if self.problem is None:
                return super().truncate(size)
        except (OSError, KeyboardInterrupt) as problem:
            self.problem = problem
        return 0 if size is None else size

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self.problem is not None:
            raise self.problem

    def seal(self) -> None:
        """Append the checksum of what is in the file."""
        self.check()
        self.seek(0, os.SEEK_END)
        self.write(_TRAILER.pack(_MARK, checksum(Path(str(self.name)))))
        self.check()


def _chunks(sizes: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Sizes of what is compressed together: those given, cut from the first dimension on until `CHUNK` holds them."""
    chunks = list(sizes)
    for i, size in enumerate(chunks):
        rest = itemsize * int(np.prod(chunks)) // size
        chunks[i] = min(size, max(1, CHUNK // rest))
    return tuple(chunks)
