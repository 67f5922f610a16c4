"""Cells of a table's target column: numbers, labels, or nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from decimal import Decimal
from functools import lru_cache

from pyro_rationale.errors import ConfigError, listed, shown

Cell = str | float | None
MOSTLY = 0.8  # a column is numeric if at least this share of its cells is: the others are slips
_DIGITS = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER = re.compile(_DIGITS)
_INVISIBLE = "\u200b\u200e\u200f\u2060\ufeff"  # zero-width spaces and marks of direction, as spreadsheets add them
_SIGNS = str.maketrans({"\N{MINUS SIGN}": "-", "\N{ARABIC DECIMAL SEPARATOR}": ".", "\N{FULLWIDTH FULL STOP}": "."})
_CLEAR_NUMBER = re.compile(rf"(?!0\d+$|\d+[eE]\d+$){_DIGITS}")  # 007 and 1E5 are names more often than numbers


def cell_of(value: object) -> str | None:
    """A raw cell as text without surrounding spaces, or `None` for nothing there; numbers keep all their digits.

    Raises:
        ValueError: If it is a list or an object.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, str):
        return value.strip().strip(_INVISIBLE).strip() or None
    raise ValueError(f"is {shown(value)}, neither a number nor a label")


@lru_cache(maxsize=1 << 14)
def number_of(cell: Cell) -> float | None:
    """The number in a cell, written in digits with a decimal point, or `None` if there is none."""
    if not isinstance(cell, str):
        return cell
    text = _ascii_signs(cell)
    return float(text) if _NUMBER.fullmatch(text) else None


def is_number(cell: Cell) -> bool:
    """Whether a cell holds a number, and none that may be a code, such as 007 or 1E5."""
    if not isinstance(cell, str):
        return cell is not None
    return _CLEAR_NUMBER.fullmatch(_ascii_signs(cell)) is not None


def label_of(cell: Cell) -> str:
    """A cell as the name of a class: as it is written."""
    return cell if isinstance(cell, str) else str(cell_of(cell))


def are_numbers(columns: Sequence[Sequence[Cell]]) -> bool:
    """Whether nearly all cells of each column hold a number."""
    return all(sum(map(is_number, column)) >= MOSTLY * len(column) for column in columns)


def check_alike(names: Sequence[str], columns: Sequence[Sequence[Cell]]) -> None:
    """Make sure that columns to predict together hold numbers, all of them, or labels.

    Raises:
        ConfigError: some hold numbers and others labels; says which.
    """
    numeric = {name for name, column in zip(names, columns, strict=True) if are_numbers([column])}
    if 0 < len(numeric) < len(names):
        numbers, labels = (listed([name for name in names if (name in numeric) is kind]) for kind in (True, False))
        raise ConfigError(
            f"--target-column: labels ({labels}) and numbers ({numbers}) cannot be predicted together; fit once for "
            f"{labels} and once for {numbers}"
        )


def are_zero_or_one(columns: Sequence[Sequence[Cell]]) -> bool:
    """Whether every cell holds 0 or 1."""
    return all({number_of(cell) for cell in column} <= {0.0, 1.0} for column in columns)


def labels_of(columns: Sequence[Sequence[Cell]]) -> set[str]:
    """The distinct labels of all columns together."""
    return {label_of(cell) for column in columns for cell in column}


def class_of_number(label: str, classes: Collection[str]) -> str | None:
    """The one class that is the same number as a label: 1 for 1.0; `None` if there is none, or more than one.

    Old run folders name classes by six digits of a number: 1.23457e+06 stands for 1234567.
    """
    number = number_of(label)
    if number is None or not math.isfinite(number):
        return None
    same = [name for name in classes if number_of(name) == number and _exact(name) == _exact(label)]
    if same:
        return same[0] if len(same) == 1 else None
    short = f"{number:g}"
    return short if short in classes else None


def _exact(label: str) -> Decimal:
    return Decimal(_ascii_signs(label))


def _ascii_signs(cell: str) -> str:
    """A cell with the minus sign and the decimal points that go with digits of other scripts as ASCII has them."""
    return cell.translate(_SIGNS)
