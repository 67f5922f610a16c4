"""Target columns of a table or corpus: which task they call for, and their cells as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pyro_rationale.errors import ConfigError, DataError, shown
from pyro_rationale.tasks import TASKS, TargetSpec, task_of
from pyro_rationale.tasks._cells import Cell, cell_of, number_of

__all__ = ["Cell", "adapt_spec", "cell_of", "decide_spec", "number_of", "read_cell", "target_of"]


def decide_spec(
    where: str,
    names: Sequence[str],
    columns: Sequence[Sequence[Cell]],
    task: str,
    scale: tuple[float, float] | None,
) -> TargetSpec:
    """Find out what is predicted from the contents of the target columns.

    Args:
        where: the file, for messages.
        names: the `D` target columns.
        columns: for each, its cells; `None` = not rated.
        task: `auto`, or the name of a task. Auto: numbers of which all are 0 or 1 are binary (unless a scale is
            given), other numbers are ratings; of labels, two are binary and 3 to 50 are classes.
        scale: lowest and highest rating; else the data's own.

    Raises:
        DataError: If the columns hold one class only, too many, or one rating.
        ConfigError: If the options do not go together.
    """
    cells = [[cell for cell in column if cell is not None] for column in columns]
    for name, column in zip(names, cells, strict=True):
        if not column:
            raise DataError(f"{where}: column {name!r} is empty; name another with --target-column")
    if task == "auto":
        suitable = [kind for kind in TASKS if TASKS[kind].suits(cells, scale)]
        if not suitable:
            raise ConfigError(f"--task: no task suits column {names[0]!r}; choose one of {', '.join(TASKS)}")
        task = suitable[0]
    return TASKS[task].make_spec(task, where, names, cells, scale)


def read_cell(cells: Mapping[str, Any], name: str, required: bool = True) -> Cell:
    """The target cell of a row in the column `name`.

    Raises:
        ValueError: If it is a list or an object, or if it is empty and `required`.
    """
    try:
        cell = cell_of(cells.get(name))
    except ValueError as error:
        raise ValueError(f"{name!r} {error}") from None
    if cell is None and required:
        raise ValueError(f"{name!r} is empty")
    return cell


def target_of(cell: Cell, spec: TargetSpec, i: int, name: str) -> float:
    """A cell of the `i`-th target column as a number in the user's units, or the index of a class.

    Raises:
        ValueError: If it does not fit `spec`; the message says how, and begins with `name`.
    """
    if cell is None:
        return math.nan
    number = number_of(cell)
    if number is not None and not math.isfinite(number):
        raise ValueError(f"{name} is {shown(cell)}, not a finite number")
    try:
        return task_of(spec).parse(cell, i)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


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
        held, predicted = task_of(own).describe(), task_of(fitted).describe()
        raise DataError(f"{where}: holds {held}, and the run predicts {predicted}; evaluate on its like")
    return fitted
