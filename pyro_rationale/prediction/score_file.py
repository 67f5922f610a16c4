"""A file of predictions that grows chunk by chunk, and that a kill at any moment leaves ready to be gone on with.

Lines are written to `OUT.partial`, and after each chunk `OUT.partial.json` says how many of them are whole; at the end
`OUT` is put in its place in one step, and `.OUT.json` says what it was made of.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import count, islice, zip_longest
from pathlib import Path
from typing import Any

from pyro_rationale.data.files.text import LONGEST_LINE
from pyro_rationale.errors import ConfigError
from pyro_rationale.optional import optional
from pyro_rationale.prediction.rows import Cells, Layout
from pyro_rationale.prediction.scorer import Chunk
from pyro_rationale.storage import locked, naming, parse_json, replacing, write_json

ROWS_AT_ONCE = 2048  # of a Parquet file's row group
OTHERS = object()  # in the place of the id of a row that nothing of ours has written


@dataclass
class Counts:
    """Numbers of the rows that have been written so far.

    Attributes:
        rows: number of texts.
        empty: number of those without a word.
        foreign: number of those with many unknown words.
        cut: number of those that were not read to their end.
        numbered: whether all ids are whole numbers.
        unread: number of rows that could not be read.
        trained: number of the texts that the run was trained on.
    """

    rows: int = 0
    empty: int = 0
    foreign: int = 0
    cut: int = 0
    numbered: bool = True
    unread: int = 0
    trained: int = 0

    def add(self, chunk: Chunk) -> None:
        """Count another chunk."""
        self.rows += chunk.rows
        self.empty += chunk.empty
        self.foreign += chunk.foreign
        self.cut += chunk.cut
        self.numbered &= chunk.numbered
        self.unread += chunk.unread
        self.trained += chunk.trained


@dataclass
class ScoreFile:
    """A file of predictions that is being written.

    Attributes:
        path: where it will stand.
        settings: what its lines depend on, as plain values; another file cannot be gone on with.
        head: the first line, `""` for none.
        counts: of what is written.
    """

    path: Path
    settings: Mapping[str, Any]
    head: str = ""
    counts: Counts = field(default_factory=Counts)

    @property
    def partial(self) -> Path:
        """Where the lines stand until all are there."""
        return self.path.with_name(f"{self.path.name}.partial")

    @property
    def state(self) -> Path:
        """Where it stands how many of them are whole."""
        return self.path.with_name(f"{self.path.name}.partial.json")

    @property
    def record(self) -> Path:
        """Where it stands what the finished file was made of."""
        return self.path.with_name(f".{self.path.name}.json")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Context in which no other process writes the file; two would cut off and double each other's lines.

        Raises:
            ConfigError: another one is writing it.
        """
        with locked(self.path.with_name(f"{self.path.name}.partial.lock")) as free:
            if not free:
                raise ConfigError(
                    f"--out {self.path}: another process is writing it; wait for its end, or name another file"
                )
            yield

    def check_free(self, force: bool) -> None:
        """Make sure that nothing is overwritten that somebody may need.

        Raises:
            ConfigError: the file is there, or the beginning of one, and nothing was said about it.
        """
        if force:
            return
        if self.path.exists():
            raise ConfigError(f"--out {self.path}: is there already; name another file, or replace it with --force")
        if self.state.exists():
            raise ConfigError(f"--out {self.path}: was interrupted; go on with --resume, or start anew with --force")

    def check_whole(self, form: str, ids: Iterator[Any]) -> None:
        """Make sure that the file, which is finished, is about the texts with these ids, and made of the same.

        Whoever copies the file without its record has only the ids compared.

        Raises:
            ConfigError: it is about others, or was made of other texts, with another run or with other options.
        """
        both = zip_longest(map(_as_written, _ids_of(self.path, form)), map(_as_written, ids))
        for number, (found, expected) in enumerate(both, 1):
            if found != expected:
                raise ConfigError(
                    f"--resume: {self.path} is about other texts from row {number:,} on; name another file, or replace "
                    "it with --force"
                )
        if not self.record.exists():
            return
        try:
            differ = self._differing(parse_json(self.record.read_bytes())["settings"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(f"{self.record}: is damaged; delete it, or make the file again with --force") from None
        if differ:
            raise ConfigError(f"--resume: {self.path} was made with other {', '.join(differ)}; give the same, name "
                              "another file, or replace it with --force")

    def start(self) -> None:
        """Begin with nothing but the first line."""
        self.state.unlink(missing_ok=True)
        with naming(self.partial):
            self.partial.write_bytes(encoded(self.head))
        self._save(self.partial.stat().st_size)

    def resume(self) -> bool:
        """Go on behind the last whole chunk; `False` where there is nothing to go on with.

        Raises:
            ConfigError: what is there was made of other texts or with other options.
        """
        if not (self.state.exists() and self.partial.exists()):
            return False
        try:
            state = parse_json(self.state.read_bytes())
            known, size, counts = state["settings"], state["bytes"], Counts(**state["counts"])
            differ = self._differing(known)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(f"{self.state}: is damaged; start anew with --force") from None
        if differ or self.partial.stat().st_size < size:
            what = f"other {', '.join(differ)}" if differ else "more lines than are left"
            raise ConfigError(f"--resume: {self.partial} was made with {what}; give the same, or start with --force")
        with self.partial.open("r+b") as file:
            file.truncate(size)
        self.counts = counts
        return True

    def append(self, chunk: Chunk) -> None:
        """Write the lines of a chunk; they are there from then on, whatever happens."""
        with naming(self.partial), self.partial.open("ab") as file:
            file.write(encoded(chunk.lines))
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        self.counts.add(chunk)
        self._save(size)

    def finish(self, layout: Layout | None = None) -> None:
        """Put the file in its place.

        Args:
            layout: columns of a Parquet file, whose lines are JSON so far.
        """
        write_json(self.record, {"settings": self.settings})
        if layout is None:
            os.replace(self.partial, self.path)
        else:
            write_parquet(self.partial, self.path, layout, self.counts.numbered)
            self.partial.unlink()
        self.state.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what was begun and holds no row."""
        if not self.counts.rows:
            for path in (self.partial, self.state):
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def _differing(self, known: Mapping[str, Any]) -> list[str]:
        """Names of the settings that are others than these."""
        asked = json.loads(json.dumps(dict(self.settings)))
        return sorted(name for name in asked.keys() | known.keys() if asked.get(name) != known.get(name))

    def _save(self, size: int) -> None:
        write_json(self.state, {"settings": self.settings, "bytes": size, "counts": asdict(self.counts)})


def _as_written(id: Any) -> str:
    """An id as a CSV file has it: nothing for none."""
    return "" if id is None else str(id)


def _ids_of(path: Path, form: str) -> Iterator[Any]:
    """The id of each row of a finished file; `""` for none, `OTHERS` where no such command has written it."""
    if form == "parquet":
        parquet = optional("pyarrow.parquet", "Parquet needs", "parquet")
        try:
            with parquet.ParquetFile(path) as table:
                for batch in table.iter_batches(columns=["id"]):
                    yield from batch.column(0).to_pylist()
        except (ValueError, OSError, IndexError):  # pyarrow's own errors are some of these; nothing that is ours
            yield OTHERS
    elif form == "csv":
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            yield from _first_cells(csv.reader(file))
    else:
        with path.open("rb") as file:
            for line in file:
                try:
                    row = parse_json(line)
                except ValueError:
                    row = None
                yield row.get("annotation_id" if form == "eraser" else "id", "") if isinstance(row, dict) else OTHERS


def _first_cells(rows: Iterator[list[str]]) -> Iterator[str]:
    """The first cell of each row but that of names, where ids stand; cells may be as long as their texts."""
    for number in count():
        largest = csv.field_size_limit(LONGEST_LINE)  # the limit is global: put it back
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            row = []  # nothing that this command has written
        finally:
            csv.field_size_limit(largest)
        if number:
            yield row[0] if row else ""


def encoded(text: str) -> bytes:
    """UTF-8; half of a surrogate pair, which is no character, becomes a question mark."""
    return text.encode("utf-8", errors="replace")


def write_parquet(lines: Path, path: Path, layout: Layout, numbered: bool) -> None:
    """Write JSON lines as a Parquet file, some rows at a time.

    Args:
        lines: a file of JSON objects.
        path: the Parquet file.
        layout: its columns.
        numbered: whether ids are whole numbers; else they are texts.
    """
    pa, pq = optional("pyarrow", "Parquet needs", "parquet"), optional("pyarrow.parquet", "Parquet needs", "parquet")
    parts = [("start", pa.int64()), ("end", pa.int64()), ("text", pa.string())]
    if layout.contributions:
        names = () if layout.own else layout.task.spec.names
        each = pa.struct([(name, pa.float64()) for name in names])
        parts.append(("contribution", each if len(names) > 1 else pa.float64()))
    types = {
        "id": pa.int64() if numbered else pa.string(),
        "number": pa.float64(),
        "spans": pa.list_(pa.struct(parts)),
    }
    kinds = layout.kinds
    schema = pa.schema([(name, types.get(kind, pa.string())) for name, kind in kinds.items()])
    with replacing(path) as partial, pq.ParquetWriter(partial, schema) as writer, lines.open("rb") as file:
        while rows := [parse_json(line) for line in islice(file, ROWS_AT_ONCE)]:
            columns = {name: [_cell(row, name, kind, numbered) for row in rows] for name, kind in kinds.items()}
            writer.write_table(pa.table(columns, schema=schema))


def _cell(row: Cells, name: str, kind: str, numbered: bool) -> Any:
    value, as_text = row[name], kind == "label" or (kind == "id" and not numbered)
    return str(value) if as_text and value is not None else value
