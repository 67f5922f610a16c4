"""What the cells of the target columns mean: ratings, two classes or several, and in which units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

from pyro_rationale.data.corpus import TargetSpec, TaskKind
from pyro_rationale.data.files.text import listed, shown
from pyro_rationale.errors import ConfigError, DataError

Cell = str | float | None
_MOST_CLASSES = 50
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


def decide_spec(
    where: str,
    names: Sequence[str],
    columns: Sequence[Sequence[Cell]],
    task: str,
    given: tuple[float, float] | None,
) -> TargetSpec:
    """Find out what is predicted from what the columns hold.

    Args:
        where: the file, for messages.
        names: the `D` target columns.
        columns: for each, its cells; `None` = not rated.
        task: `auto`, `regression`, `binary` or `multiclass`. Auto: numbers of which all are 0 or 1 are binary
            (unless a range is given), other numbers are ratings; of labels, two are binary and 3 to 50 are
            classes.
        given: lowest and highest rating; else the data's own.

    Raises:
        DataError: If the columns hold one class only, too many, or one rating.
        ConfigError: If the options do not go together.
    """
    cells = [[cell for cell in column if cell is not None] for column in columns]
    for name, column in zip(names, cells, strict=True):
        if not column:
            raise DataError(f"{where}: column {name!r} is empty; name another with --target-column")
    kind = _kind(cells, task, given)
    if given is not None:
        if kind != "regression":
            raise ConfigError(f"--target-range is for ratings, and {names[0]!r} holds classes; leave it out")
        low, high = given
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ConfigError(f"--target-range: expected a lowest rating below the highest, got {low:g} {high:g}")
    if kind == "regression":
        ranges = [given or _range(where, name, column) for name, column in zip(names, cells, strict=True)]
        return TargetSpec("regression", tuple(names), tuple(ranges))
    if kind == "multiclass" and len(names) > 1:
        raise ConfigError(
            f"--target-column: {len(names)} columns of classes ({', '.join(names)}); name one of them"
        )
    return TargetSpec(kind, tuple(names), classes=_classes(where, names, cells, kind))


def target_of(cell: Cell, spec: TargetSpec, i: int) -> float:
    """A cell of the `i`-th target column as a number in the user's units, or the index of a class.

    Raises:
        ValueError: If it does not fit `spec`; the message says how.
    """
    if cell is None:
        return math.nan
    number = number_of(cell)
    if number is not None and not math.isfinite(number):
        raise ValueError(f"is {shown(cell)}, not a finite number")
    if spec.kind != "regression":
        label = label_of(cell)
        if spec.kind == "binary" and label in ("0", "1") and label not in spec.classes:
            return float(
                label
            )  # the classes of a fitted run have names; 0 and 1 say which of the two all the same
        if label not in spec.classes:
            raise ValueError(f"is {shown(label)}, which is none of the classes {listed(spec.classes)}")
        return float(spec.classes.index(label))
    if number is None:
        raise ValueError(f"is {shown(cell)}, not a number")
    low, high = spec.ranges[i]
    if not low <= number <= high:
        raise ValueError(f"is {number:g}, outside the range {low:g} to {high:g}")
    return number


def adapt_spec(where: str, own: TargetSpec, fitted: TargetSpec | None) -> TargetSpec:
    """The spec to read a ready-made corpus by: a fitted run's, if the corpus can be read by it.

    Raises:
        DataError: If the run predicts something else than the corpus holds.
    """
    if fitted is None:
        return own
    covered = all(
        low <= own_low and own_high <= high
        for (own_low, own_high), (low, high) in zip(own.ranges, fitted.ranges, strict=False)
    )
    same = own.kind == fitted.kind and len(own.names) == len(fitted.names) and own.classes == fitted.classes
    if not same or not covered:
        raise DataError(
            f"{where}: holds {describe(own)}, and the run predicts {describe(fitted)}; evaluate on its like"
        )
    return fitted


def describe(spec: TargetSpec) -> str:
    """A spec in a few words."""
    if spec.kind == "regression":
        ranges = ", ".join(
            f"{name} {low:g} to {high:g}" for name, (low, high) in zip(spec.names, spec.ranges, strict=True)
        )
        return f"ratings ({ranges})"
    return f"{spec.kind} classes ({listed(spec.classes)})"


def _kind(columns: Sequence[Sequence[Cell]], task: str, given: tuple[float, float] | None) -> TaskKind:
    if task in ("regression", "binary", "multiclass"):
        return task  # type: ignore[return-value]
    numbers = [[number_of(cell) for cell in column] for column in columns]
    if all(sum(n is not None for n in column) >= _MOSTLY * len(column) for column in numbers):
        if given is None and all(set(column) <= {0.0, 1.0} for column in numbers):
            return "binary"
        return "regression"
    labels = {label_of(cell) for column in columns for cell in column}
    return "binary" if len(labels) <= 2 else "multiclass"


def _range(where: str, name: str, column: Sequence[Cell]) -> tuple[float, float]:
    numbers = [n for n in map(number_of, column) if n is not None and math.isfinite(n)]
    if not numbers:
        raise DataError(
            f"{where}: column {name!r} holds no number ({shown(column[0])}...); --task multiclass for labels"
        )
    if min(numbers) == max(numbers):
        raise DataError(f"{where}: every rating in column {name!r} is {numbers[0]:g}; there is nothing to predict")
    return min(numbers), max(numbers)


def _classes(where: str, names: Sequence[str], columns: Sequence[Sequence[Cell]], kind: str) -> tuple[str, ...]:
    column = ", ".join(map(repr, names))
    cells = [cell for cells in columns for cell in cells]
    usual = [cell for cell in cells if (n := number_of(cell)) is None or math.isfinite(n)]
    labels = sorted({label_of(cell) for cell in usual}, key=_label_order)
    if len(labels) < 2:
        raise DataError(
            f"{where}: column {column} holds one class only ({listed(labels)}); there is nothing to predict"
        )
    if kind == "binary" and len(labels) > 2:
        some = ", ".join(map(shown, labels[:4]))
        raise DataError(
            f"{where}: column {column} holds {len(labels)} classes ({some}...); binary has two: --task multiclass"
        )
    if len(labels) > _MOST_CLASSES:
        raise DataError(
            f"{where}: column {column} holds {len(labels)} labels ({shown(labels[0])}, {shown(labels[1])}...), "
            f"more than {_MOST_CLASSES}; is it the right one for --target-column?"
        )
    return tuple(labels)


def _label_order(label: str) -> tuple[float, str]:
    number = number_of(label)
    return (math.inf if number is None else number, label)
