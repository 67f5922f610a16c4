"""Target columns of a table or corpus: which task they call for, and their cells as numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyro_rationale.data.doubts import similar_labels
from pyro_rationale.data.files.text import check_whole, log
from pyro_rationale.data.notation import (
    Notation,
    are_dates,
    are_row_numbers,
    are_times,
    looks_numeric,
    notation_of,
    thousandths,
)
from pyro_rationale.errors import ConfigError, DataError, listed, shown
from pyro_rationale.tasks import TASKS, TargetSpec, task_of
from pyro_rationale.tasks._cells import MOSTLY, Cell, cell_of, check_alike, is_number, label_of, number_of
from pyro_rationale.tasks._levels import is_level, levels_of

__all__ = ["Cell", "TargetReader", "adapt_spec", "cell_of", "gaps_line", "is_gap", "read_cell", "reader_of",
           "warn_of_gaps"]  # fmt: skip

_MISSING = ("nan", "+nan", "-nan")  # as programs write that there is no number
_NOT_FINITE = (*_MISSING, "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity")
# As people write it; a column of labels may mean something by it.
_NO_ANSWER = frozenset(["n/a", "na", "#n/a", "null", "nil"])
_GAPS = frozenset([*_MISSING, *_NO_ANSWER, "none", "<na>"])
_LONG = 20  # characters: no text of so many, with the blanks around it, is looked at
LARGEST = 1e30  # rating: squares of larger ones are beyond single precision
_ID_DIGITS, _MOST_IDS = 7, 50  # whole numbers of 7 digits or more, of which at most 50 occur, may be names


@dataclass(frozen=True)
class TargetReader:
    """Reads cells of target columns.

    Attributes:
        spec: the targets.
        aliases: for each column, cells that are written otherwise than the task reads them, and what they stand for.
    """

    spec: TargetSpec
    aliases: tuple[Mapping[str, str], ...]

    def read(self, cell: Cell, i: int, name: str) -> float:
        """A cell of the `i`-th target column as a number in the user's units, or the index of a class.

        Raises:
            ValueError: If it does not fit `spec`; the message says how, and begins with `name`.
        """
        if cell is None:
            return math.nan
        task, label = task_of(self.spec), label_of(cell)
        number = number_of(cell)
        if label.lower() in (_MISSING if task.reads_labels else _NOT_FINITE) or number in (math.inf, -math.inf):
            raise ValueError(f"{name} is {shown(label)}, not a finite number")
        try:
            return task.parse(self.aliases[i].get(label, label), i)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None


def reader_of(
    where: str,
    names: Sequence[str],
    columns: Sequence[Iterable[Cell]],
    task: str,
    scale: tuple[float, float] | None,
    spec: TargetSpec | None = None,
) -> TargetReader:
    """Find out what is predicted from the contents of the target columns, and how they are written.

    What is a number and what a label is decided for a whole column. Labels are compared as they are written.

    Args:
        where: the file, for messages.
        names: the `D` target columns.
        columns: for each, its cells; `None` = not rated.
        task: `auto`, or the name of a task. Auto: numbers of which all are 0 or 1 are binary (unless a scale is
            given), other numbers are ratings, of ordered levels where they stand on at most 11 evenly spaced ones; of
            labels, two are binary and 3 to 50 are classes.
        scale: lowest and highest rating; else the data's own.
        spec: of a fitted run, whose classes and ranges are used.

    Raises:
        DataError: If the columns hold one class only, too many, or one rating, or are not what the run predicts.
        ConfigError: If the options do not go together, or if the task cannot be told.
    """
    counts = [_counted(column) for column in columns]
    places = [f"{where}: column {name!r}" for name in names]
    if spec is not None:
        return _fitted_reader(places, counts, spec)
    for name, column in zip(names, counts, strict=True):
        if not column:
            raise DataError(f"{where}: column {name!r} is empty; name another with --target-column")
    notations = [None] * len(names) if _reads_labels(task) else list(map(_notation, places, counts))
    aliases = [{} if notation is None else notation.plain for notation in notations]
    cells = list(map(_replaced, counts, aliases))
    if scale is None:  # "4/5" names a rating that nobody may have given
        tops = [None if notation is None else notation.top for notation in notations]
        cells = [column if top is None else [*column, f"{top:g}"] for column, top in zip(cells, tops, strict=True)]
    if task == "auto":
        for place, column, notation in zip(places, counts, notations, strict=True):
            if notation is None and scale is None:
                _check_clear(place, column)
        check_alike(names, cells)
        suitable = [kind for kind in TASKS if TASKS[kind].suits(cells, scale)]
        if not suitable:
            raise ConfigError(f"--task: no task suits column {names[0]!r}; choose one of {', '.join(TASKS)}")
        task = suitable[0]
    if _reads_labels(task):
        notations, aliases = [None] * len(names), [_whole_numbers(column) for column in counts]
        cells = list(map(_replaced, counts, aliases))
        for place, column in zip(places, counts, strict=True):
            if similar := similar_labels(column):
                log.warning("%s: %s", place, similar)
    spec = TASKS[task].make_spec(task, where, names, cells, scale)
    for place, ends in zip(places, spec.ranges, strict=False):
        if max(map(abs, ends)) > LARGEST:
            raise DataError(f"{place} goes from {ends[0]:g} to {ends[1]:g}; divide it by a power of ten, or predict "
                            "its logarithm")
    _say(places, notations, spec)
    return TargetReader(spec, tuple(aliases))


def _fitted_reader(places: Sequence[str], counts: Sequence[Mapping[str, int]], spec: TargetSpec) -> TargetReader:
    task = task_of(spec)
    if not task.reads_labels:
        notations = list(map(_notation, places, counts))
        _say(places, notations, spec)
        plain = tuple({} if notation is None else notation.plain for notation in notations)
        for i, (place, column, alias) in enumerate(zip(places, counts, plain, strict=True)):
            if not column and len(places) > 1:
                log.warning("%s is empty: nothing is measured of %s", place, spec.names[i])
            _say_between(place, {alias.get(cell, cell): count for cell, count in column.items()}, levels_of(spec, i))
        return TargetReader(spec, plain)
    aliases = []
    for place, column in zip(places, counts, strict=True):
        try:
            alias = task.aliases(column)
        except ValueError as error:
            raise DataError(f"{place} {error}") from None
        read = [f"{cell} as {shown(name)}" for cell, name in alias.items() if number_of(name) is None]
        if read:
            log.warning("%s: read %s, the classes of the run", place, " and ".join(sorted(read)))
        aliases.append(alias)
    return TargetReader(spec, tuple(aliases))


def _say_between(place: str, counts: Mapping[str, int], levels: Sequence[float]) -> None:
    """Log ratings between the levels that a run knows, which other tables may hold; those outside them are faults."""
    numbers = {cell: number_of(cell) for cell in counts} if levels else {}
    between = [
        cell for cell, number in numbers.items()
        if number is not None and levels[0] <= number <= levels[-1] and not is_level(number, levels)
    ]  # fmt: skip
    if between:
        log.warning(
            "%s: %s of %s ratings, such as %s, are none of the run's %s levels; their probabilities are those of the "
            "nearest", place, sum(counts[cell] for cell in between), sum(counts.values()), between[0], len(levels),
        )  # fmt: skip


def _counted(column: Iterable[Cell]) -> Counter[str]:
    """How often each cell occurs, without empty ones."""
    counts = Counter(label_of(cell) for cell in column if cell is not None)
    return Counter({cell: count for cell, count in counts.items() if cell.lower() not in _MISSING})


def _replaced(counts: Counter[str], alias: Mapping[str, str]) -> list[str]:
    return [alias.get(cell, cell) for cell in counts.elements()]


def _reads_labels(task: str) -> bool:
    return task != "auto" and TASKS[task].reads_labels


def _notation(place: str, counts: Mapping[str, int]) -> Notation | None:
    try:
        notation = notation_of(counts)
    except ValueError as error:
        raise DataError(f"{place} {error}, or say --task multiclass if it holds classes") from None
    if notation is None and (cell := thousandths(counts)) is not None:
        log.warning("%s: %s is read as a number with three decimals; if it is %s, leave the point out", place, cell,
                    cell.replace(".", ""))  # fmt: skip
    return notation


def _say(places: Sequence[str], notations: Sequence[Notation | None], spec: TargetSpec) -> None:
    """Log how columns are read that hold no plain numbers.

    Raises:
        DataError: their cells name another highest rating than the scale has.
    """
    for i, (place, notation) in enumerate(zip(places, notations, strict=True)):
        if notation is None:
            continue
        cell, number = next(iter(notation.plain.items()))
        if notation.top is not None and spec.ranges and spec.ranges[i][1] != notation.top:
            highest = f"{spec.ranges[i][1]:g}"
            raise DataError(f"{place} holds {notation.what}, and the scale ends at {highest}; rate out of {highest}")
        log.warning("%s: read as %s, %s is %s", place, notation.what, shown(cell), number)


def _check_clear(place: str, counts: Mapping[str, int]) -> None:
    """Make sure that it is clear whether a column holds numbers or labels.

    Raises:
        ConfigError: If it is not: the user must say so.
    """
    total = sum(counts.values())
    numbers = list(filter(is_number, counts))
    others = [cell for cell in counts if not is_number(cell)]
    share = sum(counts[cell] for cell in numbers) / total
    ways = "--task regression for ratings, --task multiclass (two: binary) for classes"
    gaps = [cell for cell in others if cell.lower() in _NO_ANSWER]
    if gaps and numbers and len(gaps) == len(others) and share < MOSTLY:  # of few, the row is named
        raise ConfigError(
            f"{place} holds numbers ({100 * share:.0f} %) and {listed(gaps, 3)}; leave these cells empty if nobody "
            "answered there, or say --task multiclass if they are a class"
        )
    if gaps and share < MOSTLY:
        log.warning("%s: %s is taken for a class; leave such cells empty if nobody answered there", place, listed(gaps))
    if share >= MOSTLY:
        codes = [cell for cell in others if cell.isdigit()]  # with zeros in front
        if codes:
            raise ConfigError(f"{place} holds numbers, and {listed(codes, 3)}, which may be a code; say {ways}")
        if are_dates(numbers) or are_times(numbers):
            what = f"{'dates' if are_dates(numbers) else 'times, counted from 1970'}, such as {numbers[0]}"
            raise ConfigError(f"{place} holds {what}; name another --target-column, or say {ways}")
        if are_row_numbers(numbers) and len(numbers) == total:
            low, high = min(numbers, key=int), max(numbers, key=int)
            raise ConfigError(f"{place} numbers the rows, each with another one of {low} to {high}; name another "
                              "--target-column, or say --task regression if these are ratings")
        if len(numbers) <= _MOST_IDS and all(n.isdigit() and len(n) >= _ID_DIGITS for n in numbers):
            raise ConfigError(f"{place} holds numbers like names, such as {numbers[0]}; say {ways}")
    elif sum(counts[cell] for cell in counts if looks_numeric(cell)) >= MOSTLY * total:
        some = listed(others, 3)
        mixed = f"{place} holds numbers that are not plain ({some})"
        raise ConfigError(f"{mixed}; write all in one way, such as 4.5, or say {ways}")
    elif share >= 0.5 and len(numbers) > 2:
        some = listed(others, 3)
        raise ConfigError(
            f"{place} holds numbers ({100 * share:.0f} %) and words ({some}); say {ways}, or mend the others"
        )


def _whole_numbers(counts: Mapping[str, int]) -> dict[str, str]:
    """The label 1 for the cell 1.0 and so on, where every number with a point in the column is a whole one."""
    points = [cell for cell in counts if "." in cell and is_number(cell)]
    whole = {cell: cell.removesuffix(".0") for cell in points}
    return whole if all(label.lstrip("+-").isdigit() for label in whole.values()) else {}


def is_gap(cell: str) -> bool:
    """Whether a cell says in letters that nothing is there, as programs (nan, null) and people (N/A) do."""
    return len(cell) < _LONG and cell.strip().lower() in _GAPS


def gaps_line(gaps: Sequence[tuple[str, str]], texts: str) -> str:
    """A line on texts that say that nothing is there: they are read as texts, for one may mean what it says.

    Args:
        gaps: the place of each, such as `line 7` or `at position 7`, and the text; one at least.
        texts: of how many texts, in words.
    """
    found, place = listed(sorted({text.strip() for _, text in gaps})), gaps[0][0]
    are, first, them = ("is", "", "it") if len(gaps) == 1 else ("are", "first ", "them")
    of = f"{texts} text{'s' * (texts != '1')}"
    return f"{len(gaps)} of {of} {are} {found}, {first}{place}; leave {them} out if nothing was written there"


def warn_of_gaps(path: Path, gaps: Sequence[tuple[str, str]], texts: str) -> None:
    """Log how many texts of a table say that nothing is there, as :func:`gaps_line` says it; nothing if none does."""
    if gaps:
        log.warning("%s: %s", path, gaps_line(gaps, texts))


def read_cell(cells: Mapping[str, Any], name: str, required: bool = True) -> str | None:
    """The target cell of a row in the column `name`.

    Raises:
        ValueError: If it is a list or an object, or if it is empty and `required`.
    """
    try:
        cell = cell_of(cells.get(name))
    except ValueError as error:
        raise ValueError(f"{name!r} {error}") from None
    check_whole(repr(name), cell or "")
    if cell is None and required:
        raise ValueError(f"{name!r} is empty")
    return cell


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
