"""A corpus as an Arrow file that is mapped into memory, beside a JSON file that describes it.

    NAME-KEY.arrow   record batches of documents: id, text, words, spans, cells, gold, opinion, maps, two keys
    NAME-KEY.json    the spellings that the words are numbers of, and a fingerprint; written last

Words, spans and flags are read in place: only the record batches in use cost memory, and they are released again after
a while.
"""

from __future__ import annotations

import json
import os
import uuid
import weakref
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.cache.columns import Packed
from pyro_rationale.errors import DataError, reason_of
from pyro_rationale.optional import install_command
from pyro_rationale.storage import checksum, replacing, write_bytes

FORMAT = 2  # raised when older files can no longer be read
_CHUNKS = 256  # record batches of one map, before it is closed and opened anew

Metadata = dict[str, Any]


class Damaged(ValueError):
    """A file that differs from what was written; the message says how, in a few words."""


def arrow() -> Any:
    """Import pyarrow.

    Raises:
        DataError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise DataError(f"--cache: Arrow files need pyarrow; {install_command('parquet')}") from None
    return pyarrow


@dataclass(frozen=True)
class Chunk:
    """One record batch: numbers as arrays in the mapped file, the rest as Arrow columns."""

    columns: Any
    words: NDArray[np.int32]
    starts: NDArray[np.int32]
    spans: NDArray[np.int32]

    @cached_property
    def _bits(self) -> dict[str, tuple[NDArray[np.bool_] | None, NDArray[np.int32], NDArray[np.uint8]]]:
        """For each column of flags: the rows that have any (`None`: all), the first bit of each row, and the bits."""
        bits_of = {}
        for name in ("gold", "opinion"):
            column = self.columns.column(name)
            valid = column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else None
            bits = column.values.buffers()[1]
            content = np.frombuffer(bits, np.uint8) if bits is not None else np.zeros(0, np.uint8)
            bits_of[name] = (valid, column.offsets.to_numpy(), content)
        return bits_of

    def flags(self, row: int, name: str) -> NDArray[np.bool_] | None:
        """`gold` or `opinion` of a row, `(n,)`, or `None`."""
        valid, starts, bits = self._bits[name]
        if valid is not None and not valid[row]:
            return None
        start, end = int(starts[row]), int(starts[row + 1])
        some = np.unpackbits(bits[start >> 3 : (end + 7) >> 3], bitorder="little")
        return some[start & 7 : (start & 7) + end - start].view(bool)


class ArrowFile:
    """The documents of one file, by their index.

    The file stays open: another process that replaces it does not change what is read here.

    Args:
        path: of the Arrow file; the JSON file stands beside it.
        stamp: of the file that is wanted, which was checked when it was first opened. Without it every byte is compared
            with the checksum now, before anything in the file is believed.

    Raises:
        Damaged: it is incomplete, or differs from what was written.
        DataError: it is not the one that is wanted.
        FileNotFoundError: one of the two is missing.
    """

    def __init__(self, path: Path, stamp: str | None = None) -> None:
        self.path = path
        self.facts = _read_facts(path)
        self.spellings: tuple[str, ...] = tuple(self.facts.pop("spellings"))
        if stamp is None and checksum(path) != self.facts["checksum"]:
            raise Damaged("of another checksum than when it was written")
        if stamp not in (None, self.facts["stamp"]):
            raise DataError(f"{path}: replaced by another process meanwhile; start again")
        self._handle = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._handle)
        self._reader = self._opened()
        self.lengths = self._lengths()
        self._firsts: list[int] = self.bounds.tolist()
        self._chunks: dict[int, Chunk] = {}

    def _opened(self) -> Any:
        pa = arrow()
        return pa.ipc.open_file(pa.py_buffer(mmap(self._handle, 0, access=ACCESS_READ)))

    def _lengths(self) -> NDArray[np.int32]:
        """Words per document `(N,)`; sets `bounds`, the first document of each record batch."""
        lengths = []
        for batch in self._batches():
            lengths.append(np.diff(batch.column("words").offsets.to_numpy()))
        self.bounds = np.cumsum([0, *map(len, lengths)])
        return np.concatenate(lengths) if lengths else np.zeros(0, np.int32)

    def _batches(self) -> Iterator[Any]:
        """Each record batch in turn; pages that were read are released by mapping the file anew now and then."""
        for start in range(0, self._reader.num_record_batches, _CHUNKS):
            reader = self._opened()
            yield from map(reader.get_batch, range(start, min(start + _CHUNKS, reader.num_record_batches)))

    def __len__(self) -> int:
        return len(self.lengths)

    def __reduce__(self) -> tuple[type[ArrowFile], tuple[Path, str]]:
        return ArrowFile, (self.path, self.facts["stamp"])  # a map cannot be pickled

    def chunk(self, number: int) -> Chunk:
        """The `number`-th record batch."""
        chunk = self._chunks.get(number)
        if chunk is None:
            if len(self._chunks) >= _CHUNKS:
                self._reader, self._chunks = self._opened(), {}
            columns = self._reader.get_batch(number)
            words, spans = columns.column("words"), columns.column("spans")
            chunk = self._chunks[number] = Chunk(
                columns, words.values.to_numpy(), words.offsets.to_numpy(), spans.values.to_numpy()
            )
        return chunk

    def locate(self, index: int) -> tuple[Chunk, int]:
        """The record batch that holds a document, and its row there."""
        number = bisect_right(self._firsts, index) - 1
        return self.chunk(number), index - self._firsts[number]

    def streamed(self, column: str) -> Iterator[tuple[int, Any]]:
        """Index of the first document, and one column, of each record batch in turn."""
        for first, batch in zip(self.bounds.tolist(), self._batches(), strict=False):
            yield first, batch.column(column)

    def keys(self, column: str) -> NDArray[np.int64]:
        """The whole column `text_key` or `word_key`, `(N,)`."""
        parts = [values.to_numpy().copy() for _, values in self.streamed(column)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def facts_path(path: Path) -> Path:
    """Path of the JSON file of an Arrow file."""
    return path.with_suffix(".json")


def _read_facts(path: Path) -> Metadata:
    """Read the JSON file that belongs to an Arrow file.

    Raises:
        Damaged: it, or the size of the Arrow file, differs from what was written.
    """
    try:
        facts: Metadata = json.loads(facts_path(path).read_bytes())
        if facts["format"] != FORMAT:
            raise Damaged(f"of format {facts['format']}, not {FORMAT}")
        if facts.pop("digest") != _digest(facts):
            raise Damaged("its JSON file differs from what was written")
        if path.stat().st_size != facts["bytes"]:
            raise Damaged(f"of {path.stat().st_size:,} bytes, not {facts['bytes']:,}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = reason_of(error, 120)
        raise error if isinstance(error, Damaged) else Damaged(f"its JSON file is unreadable ({reason})") from None
    return facts


def _digest(facts: Metadata) -> int:
    return zlib.crc32(json.dumps(facts).encode())


def write_arrow(path: Path, chunks: Iterable[Packed], facts: Metadata) -> None:
    """Write documents chunk by chunk; a kill at any moment leaves the old files or none.

    Args:
        path: of the Arrow file.
        chunks: documents.
        facts: their source, anything that JSON can hold; may be completed while `chunks` are read.
    """
    pa = arrow()
    path.parent.mkdir(parents=True, exist_ok=True)
    stamp, schema = uuid.uuid4().hex, _schema(pa)
    numbers: dict[str, int] = {}
    documents = words = 0
    with replacing(path) as partial:
        with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for packed in chunks:
                if len(packed.lengths):
                    writer.write_batch(_record_batch(pa, schema, packed, numbers))
                documents += len(packed.lengths)
                words += len(packed.words)
        about = facts | {"format": FORMAT, "stamp": stamp, "documents": documents, "words": words}
        about |= {"bytes": partial.stat().st_size, "checksum": checksum(partial), "spellings": list(numbers)}
        facts_path(path).unlink(missing_ok=True)
    text = json.dumps(about | {"digest": _digest(about)}, ensure_ascii=False)
    write_bytes(facts_path(path), f"{text}\n".encode())


def _schema(pa: Any) -> Any:
    flags = pa.list_(pa.bool_())
    return pa.schema(
        [
            ("id", pa.string()),
            ("text", pa.string()),
            ("words", pa.list_(pa.int32())),
            ("spans", pa.list_(pa.int32())),
            ("cells", pa.list_(pa.string())),
            ("gold", flags),
            ("opinion", flags),
            ("maps", pa.list_(flags)),
            ("rationales", pa.list_(flags)),
            ("text_key", pa.int64()),
            ("word_key", pa.int64()),
        ]
    )


def _record_batch(pa: Any, schema: Any, packed: Packed, numbers: dict[str, int]) -> Any:
    """A chunk whose words have the numbers of the whole corpus; new words get the next numbers."""
    known = np.array([numbers.setdefault(word, len(numbers)) for word in packed.spellings], dtype=np.int32)
    ends = np.concatenate([[0], np.cumsum(packed.lengths, dtype=np.int64)]).astype(np.int32)
    columns: list[Any] = [
        packed.ids,
        packed.texts,
        pa.ListArray.from_arrays(ends, known[packed.words] if len(known) else packed.words),
        pa.ListArray.from_arrays(2 * ends, packed.spans),
        packed.cells,
        packed.gold,
        packed.opinion,
        packed.maps,
        packed.rationales,
        packed.text_keys,
        packed.word_keys,
    ]
    made = [c if isinstance(c, pa.Array) else pa.array(c, field.type) for c, field in zip(columns, schema, strict=True)]
    return pa.record_batch(made, schema=schema)
