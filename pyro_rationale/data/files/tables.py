"""Reading CSV, TSV, JSON lines and Parquet in one way: named columns, and rows that know their line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from pyro_rationale.data.files.text import check_readable, check_text, listed, open_text, shown
from pyro_rationale.errors import DataError

_LARGEST_FIELD = 2**31 - 1
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
        """Names of the columns in their order."""
        return tuple(dict.fromkeys(name for row in self._stream(None) for name in row.cells))

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
    hint = f"; did you mean {flag} {near[0]}?" if near else f"; name one of them with {flag}"
    raise DataError(f"{path}: has no column {name!r}, only {listed(columns)}{hint}")


def read_table(path: Path) -> Table:
    """A table whose kind its name tells: .csv .tsv .jsonl .ndjson (each also with .gz) .parquet.

    Raises:
        DataError: If the file cannot be read as what its name says.
    """
    kind = _kind(path)
    if kind == "parquet":
        return _parquet(path)
    check_text(path)
    table = Table(path, lambda _: _json_lines(path)) if kind == "jsonl" else _separated(path, kind)
    if next(table.rows(), None) is None:
        raise DataError(f"{path}: has a header and no rows below it")
    return table


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


def _separated(path: Path, kind: str) -> Table:
    with open_text(path) as text:
        first = next((line for line in text if line.strip("\r\n")), "")
    separator = "\t" if kind == "tsv" else max(",;\t", key=first.count)

    def rows(quoting: int) -> Iterator[Row]:
        records = _records(path, separator, quoting)
        header = _header(path, records)
        for line, fields, fault in records:
            if fault is None and len(fields) != len(header):
                hint = f"is a {separator!r} in a text not quoted?"
                fault = f"has {len(fields)} fields where the header has {len(header)} ({hint})"
            yield Row(f"line {line}", {} if fault else dict(zip(header, fields, strict=True)), fault)

    def well_formed(quoting: int) -> bool:
        try:
            return not any(row.fault for row in rows(quoting))
        except DataError:
            return False

    quoting = csv.QUOTE_MINIMAL
    # Many tab-separated files know no quoting: a quotation mark in a text looks like the start of a field.
    if separator == "\t" and not well_formed(quoting) and well_formed(csv.QUOTE_NONE):
        quoting = csv.QUOTE_NONE
    return Table(path, lambda _: rows(quoting), _header(path, _records(path, separator, quoting)))


def _header(path: Path, records: Iterator[tuple[int, list[str], str | None]]) -> tuple[str, ...]:
    """Names of the columns, taken from the first record."""
    for line, fields, fault in records:
        if fault is not None:
            raise DataError(f"{path}, line {line}: {fault}; expected a header with the names of the columns")
        return tuple(name.strip() for name in fields)
    return ()


def _records(path: Path, separator: str, quoting: int) -> Iterator[tuple[int, list[str], str | None]]:
    """First line, fields and fault of each record that is not blank; after a fault the next line is read on."""
    with open_text(path) as text:
        reader = csv.reader(text, delimiter=separator, quoting=quoting, strict=True)  # type: ignore[arg-type]
        while True:
            line, fault = reader.line_num + 1, None
            largest = csv.field_size_limit(_LARGEST_FIELD)  # the limit is global: put it back
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end" in str(error):  # it took the rest of the file with it: more than one bad row
                    problem = "a quotation mark opens here and never closes"
                    remedy = "close it, or double it if it is part of the text"
                    raise DataError(f"{path}, line {line}: {problem}; {remedy}") from None
                last = f" up to line {reader.line_num}" if reader.line_num > line else ""
                fields, fault = [], f"is not well quoted{last} ({error})"
            finally:
                csv.field_size_limit(largest)
            if fields or fault:
                yield line, fields, fault


def _json_lines(path: Path) -> Iterator[Row]:
    begun = False
    with open_text(path) as text:
        text.reconfigure(newline="\n")  # type: ignore[attr-defined]  # a carriage return alone ends no line
        for number, line in enumerate(text, start=1):
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
            if isinstance(value, dict):
                yield Row(where, value)
            else:
                yield Row(where, {}, f"holds {shown(value)} where an object {{...}} was expected")


def _parquet(path: Path) -> Table:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise DataError(f"{path}: Parquet needs pyarrow; pip install 'pyro_rationale[parquet]'") from None

    def damaged(error: Exception) -> DataError:
        reason = shown(str(error), 80)[1:-1]
        return DataError(f"{path}: is no Parquet file, or a damaged one ({reason}); write it again")

    check_readable(path)  # the faults that every file can have, in the same words
    try:
        with pq.ParquetFile(path) as file:
            columns, count = tuple(file.schema_arrow.names), file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise damaged(error) from None
    if not count:
        raise DataError(f"{path}: has columns and no rows")

    def stream(names: frozenset[str] | None) -> Iterator[Row]:
        needed = [name for name in columns if names is None or name in names]
        first = 1
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=1024, columns=needed):
                    for number, cells in enumerate(batch.to_pylist(), start=first):
                        yield Row(f"row {number}", cells)
                    first += len(batch)
        except (pa.ArrowException, OSError) as error:
            raise damaged(error) from None

    return Table(path, stream, columns)
