"""What people hand over from Python, as the package wants it: texts, names, parameters, and messages about them."""

from __future__ import annotations

import re
import threading
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from pyro_rationale.errors import RationaleError, TrainingError

# Torch's generators and its number of threads are the process's: fits in several threads take turns.
TURN = threading.RLock()


def check_texts(texts: Any, least: int = 1) -> list[str]:
    """A list of texts from whatever holds some.

    Args:
        texts: list, tuple, array, series (pandas, polars), iterator.
        least: number of texts that is needed.

    Raises:
        ValueError: it is one string, a table, too short, or holds something that is not a string.
    """
    if isinstance(texts, (str, bytes, Mapping, AbstractSet)) or not isinstance(texts, Iterable):
        raise ValueError(f"expected a list of texts, got {type(texts).__name__}")
    shape = getattr(texts, "shape", (0,))
    if len(shape) != 1:
        raise ValueError(f"expected a list of texts, got a table of shape {shape}; pass its column of texts")
    found = list(texts)
    for i, text in enumerate(found):
        if not isinstance(text, str):
            kind = "NaN" if is_missing(text) else type(text).__name__
            raise ValueError(f"expected texts, found {kind} at position {i}")
    if len(found) < least:
        raise ValueError(f"Found {len(found)} text(s) (n_samples={len(found)}) while a minimum of {least} is required.")
    return [str(text) for text in found]  # numpy's strings would not be stored as plain ones


def is_missing(value: Any) -> bool:
    """Whether it stands for nothing: None, NaN, pandas' NA."""
    try:
        return value is None or not bool(value == value)
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"


def names_of(y: Any, count: int) -> tuple[str, ...]:
    """Names of the targets: a table's columns, a series' name, else `y` or `y1`, `y2`, ..."""
    columns = getattr(y, "columns", None)
    if columns is not None and len(columns) == count:
        return tuple(map(str, columns))
    name = getattr(y, "name", None)
    if count == 1:
        return (name if isinstance(name, str) and name else "y",)
    return tuple(f"y{i + 1}" for i in range(count))


def plain(name: str, value: Any, hint: Any, choices: Sequence[str] | None = None) -> Any:
    """A parameter as the plain type that its field has; numpy's numbers are numbers.

    Raises:
        ValueError: it is of another type, or none of the choices.
    """
    kinds = typing.get_args(hint) or (hint,)
    if value is None and type(None) in kinds:
        return None
    if choices is not None and value not in (choices if isinstance(value, str) else ()):
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
    kind = kinds[0]
    wider: Any = {float: Real, int: Integral, bool: (bool, np.bool_)}.get(kind, kind)
    if not isinstance(value, wider) or (kind is not bool and isinstance(value, bool)):
        raise ValueError(f"{name}: expected {kind.__name__}, got {value!r}")
    return kind(value)


@contextmanager
def naming_parameters() -> Iterator[None]:
    """The package's errors as scikit-learn has them: ValueErrors that name parameters, not flags."""
    try:
        yield
    except TrainingError:
        raise TrainingError("the loss is not finite; lower learning_rate") from None
    except RationaleError as problem:
        message = re.sub(r"--([a-z][a-z0-9-]*)", lambda flag: flag[1].replace("-", "_"), str(problem))
        raise ValueError(message) from None


@contextmanager
def own_torch() -> Iterator[None]:
    """Torch's random numbers, threads and treatment of denormal numbers are afterwards as they were before."""
    with TURN:
        threads = torch.get_num_threads()
        flushed = bool(torch.tensor(1e-40) * 1.0 == 0.0)
        try:
            with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
                yield
        finally:
            torch.set_num_threads(threads)
            torch.set_flush_denormal(flushed)
