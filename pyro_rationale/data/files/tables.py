"""CSV, TSV, JSON lines and Parquet as one thing: named columns, and rows that know where they stand."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

from pyro_rationale.data.files.text import check_readable, listed, open_text, read_text, shown
from pyro_rationale.errors import DataError

_LARGEST_FIELD = 2**31 - 1
_NEVER_CLOSES = "a quotation mark opens here and never closes"
_KINDS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


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


@dataclass(frozen=True)
class Table:
    """The rows of one file."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Stream:
    """The same without its rows in memory.

    Attributes:
        rows: of a set of columns, a pass over the rows, whose cells are those columns'.
    """

    path: Path
    columns: tuple[str, ...]
    rows: Callable[[Iterable[str]], Iterator[Row]]


def check_column(path: Path, columns: tuple[str, ...], name: str, flag: str) -> None:
    """Make sure that there is one column `name`.

    Raises:
        DataError: If there is none, or two; says which columns there are, and the nearest.
    """
    found = columns.count(name)
    if found == 1:
        return
    if found:
        raise DataError(f"{path}, line 1: {found} columns are named {name!r}; rename all but one of them")
    near = get_close_matches(name, columns, n=1, cutoff=0.5) or [
        c for c in columns if c.lower() == name.lower()
    ]
    hint = f"; did you mean {flag} {near[0]}?" if near else f"; name one of them with {flag}"
    raise DataError(f"{path}: has no column {name!r}, only {listed(columns)}{hint}")


def read_table(path: Path) -> Table:
    """Read a table whose kind its name tells: .csv .tsv .jsonl .ndjson (each also with .gz) .parquet.

    Raises:
        DataError: If the file cannot be read as what its name says. Faulty *rows* are kept, with their fault.
    """
    kind = _kind(path)
    if kind == "parquet":
        return _read_parquet(path)
    text = read_text(path)
    if kind == "jsonl":
        rows = tuple(_json_lines(path, StringIO(text, newline="\n")))
        table = Table(path, _keys(rows), rows)
    else:
        table = _read_separated(path, text, kind)
    if not table.rows:
        raise DataError(f"{path}: has a header and no rows below it")
    return table


def stream_table(path: Path) -> Stream:
    """The same for a file that does not fit in memory; it may be gone through any number of times.

    Raises:
        DataError: As :func:`read_table`; what is wrong behind the first rows may come up during a pass.
    """
    kind = _kind(path)
    if kind == "parquet":
        return _stream_parquet(path)
    stream = _stream_json_lines(path) if kind == "jsonl" else _stream_separated(path, kind)
    if next(stream.rows(stream.columns), None) is None:
        raise DataError(f"{path}: has a header and no rows below it")
    return stream


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    kind = _KINDS.get(suffixes[-1]) if suffixes else None
    if kind is not None:
        return kind
    if path.is_dir():
        raise DataError(f"{path}: is a folder of no layout that is known; name a file in it")
    if not path.exists():
        raise DataError(f"{path}: no such file, and no corpus of that name (see --help for the corpora)")
    raise DataError(
        f"{path}: cannot tell what it is; rename it to .csv, .tsv, .jsonl (or these with .gz) or .parquet"
    )


def _read_separated(path: Path, text: str, kind: str) -> Table:
    separator = _separator(text.lstrip("\r\n").partition("\n")[0], kind)

    def read(quoting: int) -> tuple[list[str], list[Row]]:
        header, rows = _records(path, StringIO(text, newline=""), separator, quoting)
        return header, list(rows)

    header, rows = read(csv.QUOTE_MINIMAL)
    # Many tab-separated files know no quoting: a quotation mark in a text looks like the start of a field.
    if separator == "\t" and any(row.fault for row in rows):
        plain_header, plain = read(csv.QUOTE_NONE)
        if not any(row.fault for row in plain):
            header, rows = plain_header, plain
    if rows:
        _refuse_unclosed(path, rows[-1])
    return Table(path, tuple(name.strip() for name in header), tuple(rows))


def _stream_separated(path: Path, kind: str) -> Stream:
    with open_text(path) as text:
        first = next((line for line in text if line.strip("\r\n")), "")
    separator = _separator(first, kind)

    def read(quoting: int) -> Iterator[Row]:
        with open_text(path) as text:
            yield from _records(path, text, separator, quoting)[1]

    quoting = csv.QUOTE_MINIMAL
    if separator == "\t" and any(row.fault for row in read(quoting)) and not any(r.fault for r in read(csv.QUOTE_NONE)):
        quoting = csv.QUOTE_NONE  # as above
    with open_text(path) as text:
        header = _records(path, text, separator, quoting)[0]

    def rows(names: Iterable[str]) -> Iterator[Row]:
        wanted = set(names)
        for row in read(quoting):
            _refuse_unclosed(path, row)
            yield _restricted(row, wanted)

    return Stream(path, tuple(header), rows)


def _restricted(row: Row, names: set[str]) -> Row:
    return Row(row.where, {name: value for name, value in row.cells.items() if name in names}, row.fault)


def _separator(first: str, kind: str) -> str:
    return "\t" if kind == "tsv" else max(",;\t", key=first.count)


def _refuse_unclosed(path: Path, row: Row) -> None:
    if row.fault == _NEVER_CLOSES:  # it took the rest of the file with it: more than one bad row
        raise DataError(f"{path}, {row.where}: {_NEVER_CLOSES}; close it, or double it if it is part of the text")


def _records(path: Path, source: TextIO, separator: str, quoting: int) -> tuple[list[str], Iterator[Row]]:
    """The header, and a pass over what stands below it."""
    largest = csv.field_size_limit(_LARGEST_FIELD)  # the limit is global: put it back
    reader = csv.reader(source, delimiter=separator, quoting=quoting, strict=True)  # type: ignore[arg-type]
    lines = _lines(reader)
    try:
        for line, record, fault in lines:
            if fault is not None:
                raise DataError(f"{path}, line {line}: {fault}; expected a header with the names of the columns")
            if record:
                return [name.strip() for name in record], _rows([name.strip() for name in record], lines, separator)
        return [], iter(())
    finally:
        csv.field_size_limit(largest)


def _rows(
    header: list[str], lines: Iterator[tuple[int, list[str], str | None]], separator: str
) -> Iterator[Row]:
    hint = f"is a {separator!r} in a text not quoted?"
    while True:
        largest = csv.field_size_limit(_LARGEST_FIELD)
        try:
            found = next(lines, None)
        finally:
            csv.field_size_limit(largest)
        if found is None:
            return
        line, record, fault = found
        if fault is None and not record:
            continue  # a blank line
        if fault is None and len(record) != len(header):
            fault = f"has {len(record)} fields where the header has {len(header)} ({hint})"
        yield Row(f"line {line}", {} if fault else dict(zip(header, record, strict=True)), fault)


def _lines(reader: Any) -> Iterator[tuple[int, list[str], str | None]]:
    """`(line it starts on, fields, fault)` of each record; the reader goes on with the next line after a fault."""
    while True:
        line = reader.line_num + 1
        try:
            yield line, next(reader), None
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                yield line, [], _NEVER_CLOSES
                return
            last = f" up to line {reader.line_num}" if reader.line_num > line else ""
            yield line, [], f"is not well quoted{last} ({error})"


def _keys(rows: Iterable[Row]) -> tuple[str, ...]:
    columns: dict[str, None] = {}
    for row in rows:
        columns.update(dict.fromkeys(row.cells))
    return tuple(columns)


def _json_lines(path: Path, source: Iterable[str]) -> Iterator[Row]:
    begun = False
    for number, line in enumerate(source, start=1):
        if not line.strip():
            continue
        if not begun and line.lstrip().startswith("["):
            raise DataError(f"{path}, line 1: is a JSON array; write one object a line (jq -c '.[]')")
        begun = True
        where = f"line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Row(where, {}, f"is not JSON ({getattr(error, 'msg', 'nested too deeply')})")
            continue
        if not isinstance(value, dict):
            yield Row(where, {}, f"holds {shown(value)} where an object {{...}} was expected")
            continue
        yield Row(where, value)


def _stream_json_lines(path: Path) -> Stream:
    def read() -> Iterator[Row]:
        with open_text(path) as text:
            text.reconfigure(newline="\n")  # type: ignore[attr-defined]
            yield from _json_lines(path, text)

    def rows(names: Iterable[str]) -> Iterator[Row]:
        wanted = set(names)
        return (_restricted(row, wanted) for row in read())

    return Stream(path, _keys(read()), rows)


def _read_parquet(path: Path) -> Table:
    stream = _stream_parquet(path)
    return Table(path, stream.columns, tuple(stream.rows(stream.columns)))


def _stream_parquet(path: Path) -> Stream:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise DataError(f"{path}: Parquet needs pyarrow; pip install 'pyro_rationale[parquet]'") from None

    def damaged(error: Exception) -> DataError:
        reason = shown(str(error), 80)[1:-1]
        return DataError(f"{path}: is no Parquet file, or a damaged one ({reason}); write it again")

    check_readable(path)  # the faults that every file can have, said in the same words
    try:
        with pq.ParquetFile(path) as file:
            columns, count = tuple(file.schema_arrow.names), file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise damaged(error) from None
    if not count:
        raise DataError(f"{path}: has columns and no rows")

    def rows(names: Iterable[str]) -> Iterator[Row]:
        wanted = set(names)
        number = 0
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=1024, columns=[name for name in columns if name in wanted]):
                    for cells in batch.to_pylist():
                        number += 1
                        yield Row(f"row {number}", cells)
        except (pa.ArrowException, OSError) as error:
            raise damaged(error) from None

    return Stream(path, columns, rows)
