"""Draws in files, and under the ArviZ that is installed here, 0.23 or 1.x. Needs neither torch nor Pyro.

Under another Python, with ArviZ alone: `python -m pytest --noconftest tests/prediction/test_netcdf.py`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyro_rationale.errors import RunError
from pyro_rationale.optional import arviz
from pyro_rationale.prediction.netcdf import DITHER, GroupFile, dithered, from_groups, load, open_groups, save

xarray = pytest.importorskip("xarray")
pytest.importorskip("h5netcdf")
pytest.importorskip("h5py")
az = arviz()
OLD = hasattr(az, "from_datatree")  # 0.23
CHAINS, DRAWS, WORDS = 4, 50, 7
IDS = ["row 1", "zeile 2 \N{SNOWMAN}", "row 3", "row 4", "row 5", "row 6"]


def example(log_likelihood: Any = None) -> dict[str, Any]:
    """Groups as inspection makes them, small."""
    random = np.random.default_rng(3)
    shape = (CHAINS, DRAWS, len(IDS))
    z = (random.random((*shape, WORDS)) < 0.3).astype(np.int8)
    where = {"chain": range(CHAINS), "draw": range(DRAWS), "document": IDS}
    if log_likelihood is None:
        log_likelihood = random.normal(-1.0, 0.3, shape)
    y = random.normal(size=shape)
    tokens = np.array([["ein", "Wort", "\u00fcber", "", "", "", ""]] * len(IDS), dtype=object)
    return {
        "posterior": xarray.Dataset(
            {"z": (("chain", "draw", "document", "word"), z), "rate": (("chain", "draw", "document"), z.mean(-1))},
            coords={**where, "word": range(WORDS)},
            attrs={"description": "draws"},
        ),
        "posterior_predictive": xarray.Dataset({"y": (("chain", "draw", "document"), y)}, coords=where),
        "log_likelihood": xarray.Dataset({"y": (("chain", "draw", "document"), log_likelihood)}, coords=where),
        "observed_data": xarray.Dataset({"y": (("document",), random.normal(size=len(IDS)))}, coords={"document": IDS}),
        "sample_stats": xarray.Dataset({"khat": (("document",), [0.1, np.inf, np.nan, 1.0, 2.0, 3.0])}),
        "constant_data": xarray.Dataset(
            {"tokens": (("document", "word"), tokens)},
            coords={"document": IDS, "length": ("document", np.arange(len(IDS)))},
        ),
    }


@pytest.fixture(autouse=True)
def quiet_figures() -> Iterator[None]:
    """Figures into memory, and closed afterwards."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    yield
    import matplotlib.pyplot

    matplotlib.pyplot.close("all")


@pytest.fixture
def stored(tmp_path: Path) -> Any:
    save(from_groups(example(), {"guide": "chain"}), tmp_path / "posterior.nc")
    return load(tmp_path / "posterior.nc")


def test_what_is_stored_comes_back(stored: Any) -> None:
    groups = example()
    assert stored.attrs == {"guide": "chain"}
    for name, dataset in groups.items():
        found = stored[name]
        for variable, expected in dataset.variables.items():
            assert found[variable].dims == expected.dims
            text = expected.dtype.kind in "OUT"
            np.testing.assert_array_equal(found[variable].values, expected.values, strict=not text)
    assert stored.posterior["z"].dtype == np.int8
    assert stored.posterior.attrs["description"] == "draws"
    assert list(stored.posterior["document"].values) == IDS
    assert "length" in stored.constant_data.coords


def test_the_tree_without_arviz_is_the_same(tmp_path: Path) -> None:
    save(example(), tmp_path / "a.nc")
    with open_groups(tmp_path / "a.nc") as tree:
        assert set(tree.children) == set(example())
        assert tree["posterior/z"].values.tolist() == example()["posterior"]["z"].values.tolist()


def test_what_arviz_made_is_stored_again(stored: Any, tmp_path: Path) -> None:
    save(stored, tmp_path / "again.nc")
    again = load(tmp_path / "again.nc")
    assert again.posterior["z"].values.tolist() == stored.posterior["z"].values.tolist()
    assert again.attrs == stored.attrs


def test_pieces_make_the_whole(tmp_path: Path) -> None:
    z = example()["posterior"]["z"].values
    with GroupFile(tmp_path / "p.nc", {"seed": 3}) as file:
        sizes = dict(zip(("chain", "draw", "document", "word"), z.shape, strict=True))
        file.group("posterior", sizes)
        file.variable("posterior", "z", list(sizes), np.int8, {"description": "masks"}, {"chain": 1, "document": 4})
        for piece in (slice(0, 4), slice(4, 6)):
            file.put("posterior", "z", z[:, :, piece], document=piece)
        assert not (tmp_path / "p.nc").exists()
    with open_groups(tmp_path / "p.nc") as tree:
        assert tree["posterior/z"].values.tolist() == z.tolist()
        assert tree["posterior/z"].attrs["description"] == "masks"
        assert tree["posterior/z"].encoding["chunksizes"] == (1, DRAWS, 4, WORDS)
        assert tree.attrs["seed"] == 3


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "p.nc"
    save(example(), path)
    before = path.read_bytes()
    with pytest.raises(KeyError), GroupFile(path) as file:
        file.put("posterior", "z", 0)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", [0, 2048, 9000, 20000, -1])
def test_a_full_disk_is_one_error_that_names_the_file(tmp_path: Path, size: int) -> None:
    """HDF5 left alone with it prints hundreds of lines and may crash."""
    path = tmp_path / "p.nc"
    save(example(), path)
    limit = size if size >= 0 else path.stat().st_size + size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as problem:
            save(example(), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert problem.value.filename == str(path)
    assert list(tmp_path.iterdir()) == [path]
    with open_groups(path) as tree:
        assert set(tree.children) == set(example())


def test_one_changed_bit_anywhere_is_found(tmp_path: Path) -> None:
    path = tmp_path / "p.nc"
    save(example(), path)
    content = path.read_bytes()
    random = np.random.default_rng(0)
    for place in [*random.integers(0, 8 * len(content) - 96, 40), 8 * len(content) - 1]:
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(RunError, match=r"p\.nc: no file of draws \(it differs from what was written\)"):
            open_groups(path)
    path.write_bytes(content[:100] + content[108:])
    with pytest.raises(RunError, match="differs"):
        open_groups(path)


def test_files_without_a_checksum_are_read(tmp_path: Path) -> None:
    """Those of earlier versions, and of others; a damaged one is an error in one line, whatever its readers say."""
    path = tmp_path / "p.nc"
    save(example(), path)
    content = path.read_bytes()[:-12]
    path.write_bytes(content)
    with open_groups(path) as tree:
        assert set(tree.children) == set(example())
    for size in range(0, len(content), 997):
        path.write_bytes(content[:size])
        with pytest.raises(RunError, match=r"p\.nc: no file of draws"):
            open_groups(path)


def test_masks_are_compressed(tmp_path: Path) -> None:
    z = np.zeros((4, 250, 40, 100), dtype=np.int8)
    save({"posterior": xarray.Dataset({"z": (("chain", "draw", "document", "word"), z)})}, tmp_path / "p.nc")
    assert (tmp_path / "p.nc").stat().st_size < z.nbytes / 20


@pytest.mark.parametrize("content", [None, b"", b"no netCDF"])
def test_what_is_no_such_file_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "p.nc"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=r"p\.nc: .*pyro_rationale\.inspect") as problem:
        load(path)
    assert "\n" not in str(problem.value)


# What people do with it.


def test_summary(stored: Any) -> None:
    table = az.summary(stored, var_names=["rate"])
    assert len(table) == len(IDS)
    rates = stored.posterior["rate"].mean(("chain", "draw")).values
    assert table["mean"].astype(float).values == pytest.approx(rates, abs=0.006)
    assert len(az.summary(stored)) == len(IDS) * (1 + WORDS)


def tied() -> Any:
    """Log likelihoods of a document whose mask never changes, of two masks, of a rare good and of a rare bad one."""
    random = np.random.default_rng(5)
    values = np.full((CHAINS, DRAWS, len(IDS)), -1.0)
    for document, (share, value) in {1: (0.5, -2.0), 2: (0.02, 0.5), 3: (0.02, -3.0)}.items():
        values[..., document] = np.where(random.random((CHAINS, DRAWS)) < share, value, -1.0)
    values[..., 4:] = random.normal(-1.0, 0.3, (CHAINS, DRAWS, 2))
    return values


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")
def test_loo_copes_with_masks_that_come_again(tmp_path: Path) -> None:
    values = tied()
    save(example(np.stack([dithered(values[..., i]) for i in range(len(IDS))], -1)), tmp_path / "p.nc")
    for options in ({}, {"reff": 1.0}):
        result = az.loo(load(tmp_path / "p.nc"), pointwise=True, **options)
        each = result.loo_i if OLD else result.elpd_i
        shapes = np.asarray(result.pareto_k.values)
        # Leave-one-out of these draws is the harmonic mean of the likelihood. A tail of equal draws and a few rare
        # ones is more than a Pareto distribution can follow; its shape has to say so.
        exact = -np.log(np.exp(-values).mean((0, 1)))
        trusted = shapes < 0.7
        assert np.asarray(each.values)[trusted] == pytest.approx(exact[trusted], abs=0.01)
        assert trusted.tolist() == [True, True, True, False, True, True]


def test_without_the_dither_loo_does_not(tmp_path: Path) -> None:
    data = from_groups(example(tied()))
    if OLD:
        with pytest.warns(UserWarning, match="shape parameter"):
            result = az.loo(data, pointwise=True, reff=1.0)
        assert np.isinf(result.pareto_k.values[:2]).any()
    else:
        with pytest.raises(ValueError, match="tail values are the same"):
            az.loo(data, reff=1.0)


def test_the_dither_is_small_and_leaves_no_ties() -> None:
    values = np.full(500, -3.0)
    found = dithered(values)
    assert np.abs(found - values).max() <= DITHER
    assert len(np.unique(found)) == 500
    assert (dithered(values) == found).all()


@pytest.mark.filterwarnings("ignore")  # ArviZ's and matplotlib's own
def test_plots(stored: Any) -> None:
    here = {"document": IDS[:2]}
    az.plot_rank(stored, var_names=["rate"], coords=here)
    if OLD:
        az.plot_ppc(stored, num_pp_samples=20)
        az.plot_ecdf(stored.posterior["rate"].values.ravel())
        az.plot_loo_pit(stored, y="y", ecdf=True)
    else:
        az.plot_ppc_dist(stored)
        az.plot_ppc_pit(stored)
        az.plot_dist(stored, var_names=["rate"], coords=here, kind="ecdf")


PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from pyro_rationale.prediction.netcdf import GroupFile

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024

documents = int(sys.argv[2])
with GroupFile(Path(sys.argv[1])) as file:
    file.group("posterior", {"chain": 4, "draw": 500, "document": documents, "word": 200})
    file.variable("posterior", "z", ("chain", "draw", "document", "word"), np.int8, None, {"chain": 1, "document": 8})
    for start in range(0, documents, 8):
        piece = np.random.default_rng(start).random((4, 500, 8, 200), dtype=np.float32) < 0.1
        file.put("posterior", "z", piece.astype(np.int8), document=slice(start, start + 8))
print(peak())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's own account of memory")
def test_memory_does_not_grow_with_the_documents(tmp_path: Path) -> None:
    def peak(documents: int) -> float:
        words = [sys.executable, "-c", PROGRAM, str(tmp_path / "p.nc"), str(documents)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
        return float(done.stdout)

    small, large = peak(16), peak(160)  # 6 and 64 MB of masks
    assert large - small < 10
