"""Texts and targets as users of scikit-learn hold them: lists, arrays, series and tables."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from numbers import Number
from typing import Any

import numpy as np

from pyro_rationale.data.files.text import check_whole
from pyro_rationale.data.targets import gaps_line, is_gap


def check_texts(texts: Any, least: int = 1) -> list[str]:
    """A list of texts from whatever holds some.

    Args:
        texts: list, tuple, array, series (pandas, polars), iterator.
        least: number of texts that is needed.

    Raises:
        ValueError: it is one string, a table, too short, or holds something that is not a string, or half a
            character.
    """
    if isinstance(texts, (str, bytes, Mapping, AbstractSet)) or not isinstance(texts, Iterable):
        raise ValueError(f"expected a list of texts, got {type(texts).__name__}")
    shape = getattr(texts, "shape", (0,))
    if len(shape) != 1:
        raise ValueError(f"expected a list of texts, got a table of shape {shape}; pass its column of texts")
    items = list(texts)
    for i, text in enumerate(items):
        if not isinstance(text, str):
            kind = "NaN" if is_missing(text) else type(text).__name__
            raise ValueError(f"expected texts, found {kind} at position {i}")
        check_whole(f"the text at position {i}", text)
    # What `astype(str)` makes of a missing text.
    if gaps := [(f"at position {i}", text) for i, text in enumerate(items) if is_gap(text)]:
        warnings.warn(gaps_line(gaps, str(len(items))), stacklevel=4)
    if len(items) < least:
        raise ValueError(f"Found {len(items)} text(s) (n_samples={len(items)}) while a minimum of {least} is required.")
    return [str(text) for text in items]  # numpy's strings would not be stored as plain ones


def check_labels(y: Any) -> None:
    """Refuse labels of which numpy would make texts: missing ones, and numbers among texts.

    Raises:
        ValueError: there are such; says where.
    """
    if not isinstance(y, (list, tuple)) and str(getattr(y, "dtype", "")) != "object":
        return
    first: dict[bool, Any] = {}
    for i, label in enumerate(y):
        if is_missing(label):
            raise ValueError(f"Input y contains NaN (at position {i}); leave such texts out")
        first.setdefault(isinstance(label, str), label)
    if len(first) > 1 and isinstance(first[False], Number):
        raise ValueError(f"y holds {first[True]!r} and {first[False]!r}; write all labels as texts, or all as numbers")


def check_no_dates(y: Any) -> None:
    """Refuse dates and durations, which numpy would take for nanoseconds.

    Raises:
        ValueError: there are such.
    """
    if hasattr(y, "dtype") and np.asarray(y).dtype.kind in "mM":
        raise ValueError(f"y holds dates or times ({y.dtype}), and ratings are numbers")


def answers_of(answers: Any) -> tuple[Any, ...]:
    """Answers to show the evidence for: one text or number is one of them, and not its characters."""
    return (answers,) if isinstance(answers, (str, Number)) else tuple(answers)


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
