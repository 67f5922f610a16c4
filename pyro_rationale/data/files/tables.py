"""Reading CSV, TSV, JSON lines, Parquet and saved data sets in one way: named columns, rows that know their line."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from pyro_rationale.data.files.foreign import remedy_by_name
from pyro_rationale.data.files.text import (
    LONGEST_LINE,
    LONGEST_TEXT,
    check_text,
    listed,
    log,
    open_text,
    shown,
)
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.storage import parse_json

_KINDS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[\r\n]*')
_QUOTED = re.compile(r'"[^"]*"')
_ESCAPED = re.compile(r'(?<!\\)((?:\\\\)*)\\"')  # a quotation mark behind an odd number of backslashes
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)?")
_MANY = 200  # more different values than that tell nothing
_CLOSE = "close it, or double it if it is part of the text"


@dataclass(frozen=True)
class Row:
    """One record.

    Attributes:
        where: "line 17", counted from 1 as editors do (the header is line 1), "row 17" where there are no lines.
        cells: value per column: strings from CSV, JSON or Arrow values else; `None` = nothing there.
        fault: why the row cannot be used (then `cells` is empty).
    """

    where: str
    cells: dict[str, Any]
    fault: str | None = None


class Table:
    """One file as named columns and rows, read anew at every pass, so that it need not fit in memory.

    Args:
        path: the file.
        stream: makes one pass over its rows; given names of columns, cells of other columns may be left out.
        columns: their names; read off the rows if not given.
    """

    def __init__(
        self,
        path: Path,
        stream: Callable[[frozenset[str] | None], Iterator[Row]],
        columns: tuple[str, ...] | None = None,
    ) -> None:
        self.path, self._stream = path, stream
        if columns is not None:
            self.columns = columns

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns in their order.

        Raises:
            DataError: no row can be read; says why the first cannot.
        """
        found = tuple(dict.fromkeys(name for row in self._stream(None) for name in row.cells))
        if not found and (first := next(self._stream(None), None)) is not None:
            fault = first.fault or "holds nothing"
            raise DataError(f"{self.path}, {first.where}: {fault}; mend the row, or leave it out")
        return found

    def rows(self, names: Iterable[str] | None = None) -> Iterator[Row]:
        """One pass over the rows.

        Args:
            names: the only columns whose cells are needed; else all.

        Raises:
            DataError: If the file turns out to be unusable behind its first rows. Faulty rows come with their fault.
        """
        if names is None:
            return self._stream(None)
        needed = frozenset(names)
        return (
            Row(row.where, {name: value for name, value in row.cells.items() if name in needed}, row.fault)
            for row in self._stream(needed)
        )


def check_column(path: Path, columns: tuple[str, ...], name: str, flag: str) -> None:
    """Make sure that there is one column `name`.

    Raises:
        DataError: If there is none, or two; says which columns there are, and the nearest.
    """
    count = columns.count(name)
    if count == 1:
        return
    if count:
        raise DataError(f"{path}, line 1: {count} columns are named {name!r}; rename all but one of them")
    near = get_close_matches(name, columns, n=1, cutoff=0.5) or [
        c for c in columns if c.lower() == name.lower()
    ]
    hint = f"; did you mean {flag} {shlex.quote(near[0])}?" if near else f"; name one of them with {flag}"
    raise DataError(f"{path}: has no column {name!r}, only {listed(columns)}{hint}")


def check_filled(table: Table, name: str, flag: str) -> None:
    """Make sure that a column holds something. Rows are read until one has it: most often that is the first.

    Raises:
        DataError: all of its cells are empty.
    """
    count = 0
    for row in table.rows((name,)):
        cell, count = row.cells.get(name), count + 1
        if row.fault or (cell.strip() if isinstance(cell, str) else cell is not None):
            return
    if count:
        raise DataError(f"{table.path}: column {name!r} is empty in all {count} rows; name another with {flag}")


def read_table(
    path: Path, encoding: str | None = None, separator: str | None = None, header: bool = True
) -> Table:
    """A table whose kind its name tells: .csv .tsv .jsonl .ndjson .json (each also with .gz) .parquet.

    A folder that `Dataset.save_to_disk` of Hugging Face's library `datasets` has written is a table, too.

    Args:
        path: the file.
        encoding: of a text file; default: UTF-8.
        separator: between the fields of a CSV or TSV file; default: the likeliest, going by its first line.
        header: whether the first line of a CSV or TSV file names its columns; otherwise they are called 1, 2, 3.

    Raises:
        DataError: If the file cannot be read as what its name says.
        ConfigError: If an option is given that means nothing for a file of its kind.
    """
    kind = _kind(path)
    binary, separated = kind in ("parquet", "dataset"), kind in ("csv", "tsv")
    given = {"--encoding": encoding and binary, "--separator": separator and not separated,
             "--no-header": not header and not separated}  # fmt: skip
    for flag in filter(given.get, given):
        raise ConfigError(f"{flag}: means nothing for {path}; leave it out")
    if kind == "dataset":
        from pyro_rationale.data.files.saved_datasets import read_dataset  # which needs this module

        return read_dataset(path)
    if kind == "parquet":
        from pyro_rationale.data.files.parquet import read_parquet

        return read_parquet(path)
    check_text(path, encoding, "--encoding", LONGEST_TEXT if kind == "json" else LONGEST_LINE)
    table = _json(path, encoding) if kind == "json" else _separated(path, kind, encoding, separator, header)
    if next(table.rows(), None) is None:
        raise DataError(f"{path}: has a header and no rows below it")
    return table


def kind_of(path: Path) -> str | None:
    """The kind of table that a file's name tells: csv, tsv, json or parquet; `None` for other names."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return _KINDS.get(suffixes[-1]) if suffixes else None


def _kind(path: Path) -> str:
    kind = kind_of(path)
    if kind is not None:
        return kind
    if path.is_dir():
        from pyro_rationale.data.files.saved_datasets import is_dataset, is_dataset_dict, splits_of

        if is_dataset(path):
            return "dataset"
        if is_dataset_dict(path):
            some = [*splits_of(path).values()][-1]
            raise DataError(f"{path}: holds several splits; name the folder of one, such as {some}")
        raise DataError(f"{path}: is a folder of no layout that is known; name a file in it")
    if not path.exists():
        raise DataError(f"{path}: no such file, and no corpus of that name (see --help for the corpora)")
    if remedy := remedy_by_name(path):
        raise DataError(f"{path}: {remedy}")
    raise DataError(
        f"{path}: cannot tell what it is; rename it to .csv, .tsv, .json, .jsonl (or these with .gz) or .parquet"
    )


@dataclass(frozen=True)
class _Dialect:
    """How the rows of a CSV or TSV file are written.

    Attributes:
        path: the file.
        encoding: `None` for UTF-8.
        separator: between fields.
        skipped: lines above the header.
        quoting: whether quotation marks enclose fields, or are characters like others.
        escaped: whether a quotation mark inside a field has a backslash before it, instead of another quotation mark.
    """

    path: Path
    encoding: str | None
    separator: str
    skipped: int = 0
    quoting: int = csv.QUOTE_MINIMAL
    escaped: bool = False


class _Record(NamedTuple):
    """Fields of a row, or why it has none, and the numbers of its first and last line."""

    first: int
    last: int
    fields: list[str]
    fault: str | None = None


def _separated(path: Path, kind: str, encoding: str | None, separator: str | None, header: bool) -> Table:
    with open_text(path, encoding) as text:
        number, line = next(((i, line) for i, line in enumerate(text, start=1) if line.strip("\r\n")), (0, ""))
    named = _SEPARATOR_LINE.fullmatch(line)  # as Excel writes it above the header
    if separator is None and named is not None:
        separator = named[1]
    if separator is None:
        outside = _QUOTED.sub("", line)
        separator = "\t" if kind == "tsv" and "\t" in outside else max(",;\t|", key=outside.count)
    dialect, survey = _told(_Dialect(path, encoding, separator, 0 if named is None else number))
    first = next(_records(dialect), None)
    if first is None:
        raise DataError(f"{path}: has no rows")
    if first.fault is not None:
        raise DataError(f"{path}, line {first.first}: {first.fault}; expected a header with the names of the columns")
    columns = tuple(name.strip() if header else str(i) for i, name in enumerate(first.fields, start=1))

    def rows() -> Iterator[Row]:
        more, fewer = f"is a {dialect.separator!r} in a text not quoted?", "is it a line that belongs to another row?"
        if survey.faulty == survey.rows:
            more = fewer = "as all rows have: is a name missing in the header?"
        for record in islice(_records(dialect), int(header), None):
            fault, fields = record.fault, record.fields
            if fault is None and len(fields) != len(columns):
                hint = more if len(fields) > len(columns) else fewer
                number = f"{len(fields)} field{'s' * (len(fields) != 1)}"
                fault = f"has {number} where the header has {len(columns)} ({hint})"
            if header and len(columns) > 1 and fields == first.fields:
                fault = "is the header once more (are several files joined?)"
            yield Row(f"line {record.first}", {} if fault else dict(zip(columns, fields, strict=True)), fault)

    return Table(path, lambda _: rows(), columns)


def _records(dialect: _Dialect, raw: list[str] | None = None) -> Iterator[_Record]:
    """The rows that are not blank, and the header; after a fault the next line is read on.

    Args:
        dialect: how they are written.
        raw: holds the lines of the last row.
    """
    path = dialect.path
    with open_text(path, dialect.encoding) as text:
        for _ in range(dialect.skipped):
            next(text)
        lines: Iterator[str] = text
        if dialect.escaped:
            lines = (_ESCAPED.sub(r'\1""', line) for line in lines)
        if raw is not None:
            lines = _kept(lines, raw)
        reader = csv.reader(lines, delimiter=dialect.separator, quoting=dialect.quoting, strict=True)  # type: ignore[arg-type]
        while True:
            first, fault = reader.line_num + 1 + dialect.skipped, None
            if raw is not None:
                raw.clear()
            largest = csv.field_size_limit(LONGEST_LINE)  # the limit is global: put it back
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                # It took the rest of the file with it, or a large part: more than one bad row.
                if "unexpected end" in str(error) or "field limit" in str(error):
                    problem = "a quotation mark opens here and never closes"
                    raise DataError(f"{path}, line {first}: {problem}; {_CLOSE}") from None
                last = reader.line_num + dialect.skipped
                over = f" up to line {last}" if last > first else ""
                fields, fault = [], f"is not well quoted{over} ({error})"
            finally:
                csv.field_size_limit(largest)
            if fields or fault:
                yield _Record(first, reader.line_num + dialect.skipped, fields, fault)


def _kept(lines: Iterator[str], raw: list[str]) -> Iterator[str]:
    for line in lines:
        raw.append(line)
        yield line


@dataclass
class _Survey:
    """How a file looks, read in one dialect.

    Attributes:
        rows: those below the header.
        lines: of the file.
        faulty: rows that are not well quoted, or have another number of fields than the header.
        spanning: rows of several lines.
        swallowed: the first row of several lines each of which looks like a row of its own.
        error: why the file cannot be read to its end.
    """

    rows: int = -1
    lines: int = 0
    faulty: int = 0
    spanning: int = 0
    swallowed: _Record | None = None
    error: DataError | None = None

    @property
    def sound(self) -> bool:
        return not self.faulty and self.error is None


def _survey(dialect: _Dialect) -> _Survey:
    found, width = _Survey(), None
    try:
        for record in _records(dialect):
            width = len(record.fields) if width is None else width
            found.rows += 1
            found.faulty += len(record.fields) != width
            found.spanning += record.last > record.first
            found.lines = record.last
    except DataError as error:
        found.error = error
    if found.spanning and width:
        found.swallowed = _swallowed(dialect, width)
    return found


def _swallowed(dialect: _Dialect, width: int) -> _Record | None:
    """The first row that a stray quotation mark made of several.

    Nine tenths of its lines, or all if they are few, have by themselves the right number of fields and, in one of the
    columns, a number where there are numbers elsewhere, or a value that stands there elsewhere. A text with line ends
    in it looks otherwise.
    """
    raw: list[str] = []
    values: list[set[str]] = [set() for _ in range(width)]
    suspects: list[tuple[_Record, list[list[str]]]] = []
    with suppress(DataError):
        for record in islice(_records(dialect, raw), 1, None):
            if record.last == record.first:
                for cell, known in zip(record.fields, values, strict=False):
                    if len(known) <= _MANY:
                        known.add(cell.strip())
            elif len(suspects) < _MANY:
                suspects.append((record, [line.rstrip("\r\n").split(dialect.separator) for line in raw[:_MANY]]))
    numbers = [bool(known) and all(map(_NUMBER.fullmatch, known)) for known in values]

    def fits(cell: str, column: int) -> bool:
        known = values[column]
        if numbers[column]:
            return _NUMBER.fullmatch(cell) is not None
        return bool(cell) and len(known) <= _MANY and cell in known

    for record, alone in suspects:
        rows = [fields for fields in alone if len(fields) == width]
        fitting = max(sum(fits(fields[column].strip(), column) for fields in rows) for column in range(width))
        if fitting >= 0.9 * len(alone):
            return record
    return None


def _told(standard: _Dialect) -> tuple[_Dialect, _Survey]:
    """The dialect of a file, told by reading it, and how the file looks in it.

    Rows of several lines are counted in a message.

    Raises:
        DataError: If a quotation mark that never closes takes many rows for one text.
    """
    path, dialect, survey = standard.path, standard, _survey(standard)
    if not survey.sound or survey.spanning:
        plain, escaped = replace(standard, quoting=csv.QUOTE_NONE), replace(standard, escaped=True)
        # Many tab-separated files know no quoting: a quotation mark in a text looks like the start of a field.
        if standard.separator == "\t":
            unquoted = _survey(plain)
            if survey.swallowed or (unquoted.sound and (not survey.sound or unquoted.rows > survey.rows)):
                if survey.sound:
                    log.warning("%s: quotation marks are characters like others: %d rows read of %d lines", path,
                                unquoted.rows, unquoted.lines)  # fmt: skip
                return plain, unquoted
        if not survey.sound or survey.swallowed:
            other = _survey(escaped)
            if other.sound and not other.swallowed:
                dialect, survey = escaped, other
    if survey.swallowed:
        first, last = survey.swallowed.first, survey.swallowed.last
        problem = f"a quotation mark opens here and takes in what looks like rows, up to line {last}"
        raise DataError(f"{path}, line {first}: {problem}; {_CLOSE}")
    if survey.error is None and survey.spanning:
        log.warning("%s: %d rows read of %d lines: %d have texts of several lines in quotation marks", path,
                    survey.rows, survey.lines, survey.spanning)  # fmt: skip
    return dialect, survey


def _json(path: Path, encoding: str | None) -> Table:
    """A file of JSON objects, one a line, or of one array of them."""
    with open_text(path, encoding) as text:
        while (sign := text.read(1)).isspace():
            pass
        if sign != "[":
            return Table(path, lambda _: _json_lines(path, encoding))
        content = sign + text.read(LONGEST_TEXT)
    try:
        values = parse_json(content)
    except ValueError as error:
        raise DataError(f"{path}: is a JSON array that cannot be read ({error}); write it again") from None
    rows = [_json_row(f"row {number}", value) for number, value in enumerate(values, start=1)]
    return Table(path, lambda _: iter(rows))


def _json_lines(path: Path, encoding: str | None) -> Iterator[Row]:
    with open_text(path, encoding, newline="\n") as text:  # a carriage return alone ends no line
        for number, line in enumerate(text, start=1):
            if not line.strip():
                continue
            try:
                yield _json_row(f"line {number}", parse_json(line))
            except ValueError as error:
                yield Row(f"line {number}", {}, f"is not JSON ({getattr(error, 'msg', error)})")


def _json_row(where: str, value: Any) -> Row:
    if isinstance(value, dict):
        return Row(where, value)
    return Row(where, {}, f"holds {shown(value)} where an object {{...}} was expected")
