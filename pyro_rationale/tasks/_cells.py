"""Cells of a table's target column: numbers, labels, or nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

from pyro_rationale.errors import shown

Cell = str | float | None
_MOSTLY = 0.8  # a column is numeric if at least this share of its cells is: the others are slips


def cell_of(value: object) -> Cell:
    """A raw cell as a stripped string, a number, or `None` for nothing there.

    Raises:
        ValueError: If it is a list or an object.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return float(value)
    if isinstance(value, str):
        return value.strip() or None
    raise ValueError(f"is {shown(value)}, neither a number nor a label")


def number_of(cell: Cell) -> float | None:
    """The number in a cell (perhaps nan or infinite), or `None` if there is none."""
    if isinstance(cell, str):
        try:
            return float(cell)
        except ValueError:
            return None
    return cell


def label_of(cell: Cell) -> str:
    """A cell as the name of a class: `1`, `1.0` and `"1"` are the same class."""
    number = number_of(cell)
    return str(cell) if number is None or not math.isfinite(number) else f"{number:g}"


def are_numbers(columns: Sequence[Sequence[Cell]]) -> bool:
    """Whether nearly all cells of each column hold a number."""
    return all(sum(number_of(cell) is not None for cell in column) >= _MOSTLY * len(column) for column in columns)


def are_zero_or_one(columns: Sequence[Sequence[Cell]]) -> bool:
    """Whether every cell holds 0 or 1."""
    return all({number_of(cell) for cell in column} <= {0.0, 1.0} for column in columns)


def labels_of(columns: Sequence[Sequence[Cell]]) -> set[str]:
    """The distinct labels of all columns together."""
    return {label_of(cell) for column in columns for cell in column}
