"""Columns of a table that hold gold rationales: which they are, and what stands in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import parsed_rationale
from pyro_rationale.data.files.tables import Row, Table
from pyro_rationale.data.files.text import log, shown
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError

NO_COLUMN = "none"
_GOLD_COLUMN, _MAPS_COLUMN = "rationale", "rationales"
_MANY = 1000  # rows that tell what a column holds
_FEW, _OFTEN = 5, 1 / 3  # spans of which so large a share is cut tell that they are counted otherwise
_UNSPACED = "\u2e80"  # Chinese characters and those behind them
_EXPECTED = "expected spans, such as [[0, 4]], or a 0 or 1 per word"


def gold_columns(
    table: Table, text: str, options: DataOptions, spec: TargetSpec | None = None
) -> tuple[str, ...]:
    """The columns with gold rationales that may be in a table; one called `rationales` holds a list of them.

    A column of that name which holds texts, such as somebody's reasons, is none of them, and is logged; so are spans
    that often end inside a word.

    Args:
        table: the table.
        text: its column with the texts.
        options: how it is read.
        spec: of a fitted run.

    Raises:
        ConfigError: the column that a fit names holds no rationale.
    """
    name = options.rationale_column
    if name == NO_COLUMN:
        return ()
    given = (_GOLD_COLUMN, _MAPS_COLUMN) if name is None else (name,)
    gold = []
    for column in given:
        pairs = list(_first_cells(table, text, column)) if column in table.columns else []
        if pairs and all(_is_prose(cell) for _, cell in pairs):
            told = f"{table.path}: column {column!r} holds {shown(pairs[0][1])} and its like, no gold rationales"
            if name is not None and spec is None:
                raise ConfigError(f"{told}; {_EXPECTED}; name another --rationale-column, or none")
            log.warning("%s, and is not read as such; %s", told, _EXPECTED)
            continue
        gold.append(column)
        spans = [span for pair in pairs for span in _spans(*pair)]
        cut = sum(_is_inside(content, end) for content, ends in spans for end in ends)
        if len(spans) >= _FEW and cut > _OFTEN * len(spans):
            log.warning(
                "%s: spans of column %r often begin or end inside a word, such as %s; they are read as [start, end) in "
                "characters, counted from 0", table.path, column, next(
                    f"{list(ends)} in {shown(content[max(ends[0] - 10, 0) : ends[1] + 10])}"
                    for content, ends in spans if any(_is_inside(content, end) for end in ends)
                ),
            )  # fmt: skip
    return tuple(gold)


def rationales_of(row: Row, gold: Sequence[str]) -> list[Any]:
    """The rationales of a row, one per annotator, or the one that it has.

    Raises:
        ValueError: a cell is none.
    """
    cells = {name: cell for name in gold if not _is_empty(cell := row.cells.get(name))}
    maps = parsed_rationale(_checked(cells.pop(_MAPS_COLUMN, None)))
    found = [_checked(rationale) for rationale in maps or () if not _is_empty(rationale)]
    return found or [_checked(cell) for cell in cells.values()]


def _checked(cell: Any) -> Any:
    if cell is not None and parsed_rationale(cell) is None:
        raise ValueError(f"its rationale is {shown(cell)}; {_EXPECTED}")
    return cell


def _is_prose(cell: object) -> bool:
    """Whether a cell holds a text that is no rationale, or a list of such."""
    parts = cell if isinstance(cell, list) and cell else [cell]
    return all(isinstance(part, str) and parsed_rationale(part) is None for part in parts)


def _is_empty(cell: object) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _first_cells(table: Table, text: str, column: str) -> Iterator[tuple[Any, Any]]:
    """Texts and rationales of the first rows that have one."""
    for row in islice(table.rows((text, column)), _MANY):
        if not _is_empty(cell := row.cells.get(column)):
            yield row.cells.get(text), cell


def _spans(text: Any, cell: Any) -> Iterator[tuple[str, tuple[int, int]]]:
    """The spans of characters in a cell, each with its text."""
    found = parsed_rationale(cell) if isinstance(cell, (str, list)) else None
    for item in found or ():
        pair = item if isinstance(item, list) and [type(end) for end in item] == [int, int] else (0, 0)
        if isinstance(text, str) and 0 <= pair[0] < pair[1] <= len(text):
            yield text, (pair[0], pair[1])


def _is_inside(text: str, place: int) -> bool:
    """Whether a place is between two letters of a script that puts spaces between words."""
    around = text[max(place - 1, 0) : place + 1]
    return 0 < place < len(text) and all(letter.isalnum() and letter < _UNSPACED for letter in around)
