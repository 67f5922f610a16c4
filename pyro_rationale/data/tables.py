"""CSV, TSV, JSON lines and Parquet as one thing: named columns, and rows that know where they stand."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any

from pyro_rationale.data.reading import listed, read_bytes, read_text, shown
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

    def check_column(self, name: str, flag: str) -> None:
        """Make sure that there is one column `name`.

        Raises:
            DataError: If there is none, or two; says which columns there are, and the nearest.
        """
        found = self.columns.count(name)
        if found == 1:
            return
        if found:
            raise DataError(f"{self.path}, line 1: {found} columns are named {name!r}; rename all but one of them")
        near = get_close_matches(name, self.columns, n=1, cutoff=0.5) or [
            c for c in self.columns if c.lower() == name.lower()
        ]
        hint = f"; did you mean {flag} {near[0]}?" if near else f"; name one of them with {flag}"
        raise DataError(f"{self.path}: has no column {name!r}, only {listed(self.columns)}{hint}")


def read_table(path: Path) -> Table:
    """Read a table whose kind its name tells: .csv .tsv .jsonl .ndjson (each also with .gz) .parquet.

    Raises:
        DataError: If the file cannot be read as what its name says. Faulty *rows* are kept, with their fault.
    """
    kind = _kind(path)
    if kind is None:
        if path.is_dir():
            raise DataError(f"{path}: is a folder of no layout that is known; name a file in it")
        if not path.exists():
            raise DataError(f"{path}: no such file, and no corpus of that name (see --help for the corpora)")
        raise DataError(
            f"{path}: cannot tell what it is; rename it to .csv, .tsv, .jsonl (or these with .gz) or .parquet"
        )
    if kind == "parquet":
        return _read_parquet(path)
    text = read_text(path)
    table = _read_json_lines(path, text) if kind == "jsonl" else _read_separated(path, text, kind)
    if not table.rows:
        raise DataError(f"{path}: has a header and no rows below it")
    return table


def _kind(path: Path) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return _KINDS.get(suffixes[-1]) if suffixes else None


def _read_separated(path: Path, text: str, kind: str) -> Table:
    first = text.lstrip("\r\n").partition("\n")[0]
    separator = "\t" if kind == "tsv" else max(",;\t", key=first.count)
    largest = csv.field_size_limit(_LARGEST_FIELD)  # the limit is global: put it back
    try:
        header, rows = _records(path, text, separator, csv.QUOTE_MINIMAL)
        # Many tab-separated files know no quoting: a quotation mark in a text looks like the start of a field.
        if separator == "\t" and any(row.fault for row in rows):
            plain_header, plain = _records(path, text, separator, csv.QUOTE_NONE)
            if not any(row.fault for row in plain):
                header, rows = plain_header, plain
    finally:
        csv.field_size_limit(largest)
    if rows and rows[-1].fault == _NEVER_CLOSES:  # it took the rest of the file with it: more than one bad row
        raise DataError(
            f"{path}, {rows[-1].where}: {_NEVER_CLOSES}; close it, or double it if it is part of the text"
        )
    return Table(path, tuple(name.strip() for name in header), tuple(rows))


def _records(path: Path, text: str, separator: str, quoting: int) -> tuple[list[str], list[Row]]:
    source = StringIO(text, newline="")
    reader = csv.reader(source, delimiter=separator, quoting=quoting, strict=True)  # type: ignore[arg-type]
    header: list[str] | None = None
    rows: list[Row] = []
    for line, record, fault in _lines(reader):
        if fault is None and not record:
            continue  # a blank line
        if header is None:
            if fault is not None:
                raise DataError(f"{path}, line {line}: {fault}; expected a header with the names of the columns")
            header = [name.strip() for name in record]
            continue
        if fault is None and len(record) != len(header):
            hint = f"is a {separator!r} in a text not quoted?"
            fault = f"has {len(record)} fields where the header has {len(header)} ({hint})"
        cells = {} if fault else dict(zip(header, record, strict=True))
        rows.append(Row(f"line {line}", cells, fault))
    return header or [], rows


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


def _read_json_lines(path: Path, text: str) -> Table:
    columns: dict[str, None] = {}
    rows: list[Row] = []
    if text.lstrip().startswith("["):
        raise DataError(f"{path}, line 1: is a JSON array; write one object a line (jq -c '.[]')")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            rows.append(Row(where, {}, f"is not JSON ({getattr(error, 'msg', 'nested too deeply')})"))
            continue
        if not isinstance(value, dict):
            rows.append(Row(where, {}, f"holds {shown(value)} where an object {{...}} was expected"))
            continue
        columns.update(dict.fromkeys(value))
        rows.append(Row(where, value))
    return Table(path, tuple(columns), tuple(rows))


def _read_parquet(path: Path) -> Table:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise DataError(f"{path}: Parquet needs pyarrow; pip install 'pyro_rationale[parquet]'") from None
    read_bytes(path)  # the faults that every file can have, said in the same words
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = shown(str(error), 80)[1:-1]
        raise DataError(f"{path}: is no Parquet file, or a damaged one ({reason}); write it again") from None
    if not table.num_rows:
        raise DataError(f"{path}: has columns and no rows")
    rows = tuple(Row(f"row {i}", cells) for i, cells in enumerate(table.to_pylist(), start=1))
    return Table(path, tuple(table.column_names), rows)
