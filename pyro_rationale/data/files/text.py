"""Reading text files, and reporting rows that cannot be used: each fault is one line with its remedy."""

from __future__ import annotations

import codecs
import gzip
import io
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, NoReturn, TextIO, TypeVar, cast

from pyro_rationale.errors import DataError
from pyro_rationale.errors import listed as listed
from pyro_rationale.errors import shown as shown

log = logging.getLogger("pyro_rationale")
Row = TypeVar("Row")
Parsed = TypeVar("Parsed")

_GZIP = b"\x1f\x8b"
_BLOCK_BYTES = 1 << 22


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, gzipped or not, with or without a byte order mark.

    Raises:
        DataError: see :func:`check_text`.
    """
    check_text(path)
    with open_text(path) as text:
        return text.read()


def open_text(path: Path) -> TextIO:
    """A text file that :func:`check_text` has passed, as a stream with its line ends as they are."""
    return io.TextIOWrapper(cast(IO[bytes], open_bytes(path)), encoding="utf-8-sig", newline="")


def check_text(path: Path) -> None:
    """Read a file once, piece by piece, to make sure that all of it is UTF-8 text.

    Raises:
        DataError: If it is missing, a folder, unreadable, empty, a damaged archive, binary or in another encoding.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines, empty = 1, True
    for block in _blocks(path):
        if empty and block.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(f"{path}: is UTF-16; save it as UTF-8")
        if b"\0" in block:
            line = lines + block.count(b"\n", 0, block.index(b"\0"))
            raise DataError(f"{path}, line {line}: holds a zero byte, so it is no text file; expected UTF-8 text")
        pending = decoder.getstate()[0]  # the beginning of a character that the last block cut in two
        try:
            decoder.decode(block)
        except UnicodeDecodeError as error:
            _raise_not_utf8(path, lines + block.count(b"\n", 0, max(error.start - len(pending), 0)), error)
        lines += block.count(b"\n")
        empty = empty and not block.strip()
    if empty:
        raise _empty(path)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        _raise_not_utf8(path, lines, error)


def check_readable(path: Path) -> None:
    """Make sure that a file, of text or not, exists, can be read, and is not empty.

    Raises:
        DataError: If not.
    """
    if not any(block.strip() for block in _blocks(path)):
        raise _empty(path)


def _empty(path: Path) -> DataError:
    return DataError(f"{path}: is empty; expected rows of text")


def _blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file piece by piece, unpacked if it is gzipped."""
    try:
        with open_bytes(path) as file:
            while block := file.read(_BLOCK_BYTES):
                yield block
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"{path}: the gzip archive is cut short or damaged; copy or download it again") from None


def open_bytes(path: Path) -> io.BufferedIOBase:
    """A file as a stream of bytes, unpacked if its first bytes say gzip.

    Raises:
        DataError: If it is missing, a folder, or cannot be read, or if its name says gzip and its content does not.
    """
    try:
        if path.is_dir():
            raise DataError(f"{path}: is a folder; name a file in it")
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
        if path.suffix == ".gz" and not packed and path.stat().st_size:
            raise DataError(f"{path}: is named .gz and is no gzip archive; rename it or download it again")
        return gzip.open(path) if packed else path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def _raise_not_utf8(path: Path, line: int, error: UnicodeDecodeError) -> NoReturn:
    byte = error.object[error.start]
    raise DataError(
        f"{path}, line {line}: byte 0x{byte:02x} is not UTF-8; convert it (iconv -f WINDOWS-1252 -t UTF-8)"
    ) from None


class Faults:
    """Unusable rows of one file.

    Args:
        path: the file, for messages.
        skip: count such rows, to be left out, instead of stopping at the first.

    Attributes:
        rows: rows that were looked at.
        count: rows that cannot be used.
        first: the first of them.
    """

    def __init__(self, path: Path, skip: bool) -> None:
        self.path, self.skip = path, skip
        self.rows = self.count = 0
        self.first = ""

    def parsed(self, rows: Iterable[tuple[str, Row]], parse: Callable[[str, Row], Parsed]) -> Iterator[Parsed]:
        """Parse each row by `parse(where, row)`; rows for which it raises ValueError are faulty.

        Raises:
            DataError: A row is faulty, and rows may not be left out.
        """
        for where, row in rows:
            self.rows += 1
            try:
                item = parse(where, row)
            except ValueError as error:
                self.add(where, str(error))
            else:
                yield item

    def add(self, where: str, problem: str) -> None:
        """Record a row that cannot be used.

        Raises:
            DataError: Unless rows may be left out.
        """
        if not self.skip:
            remedy = "mend the row, or leave such rows out: --skip-bad-rows"
            raise DataError(f"{self.path}, {where}: {problem}; {remedy}")
        self.count += 1
        self.first = self.first or f"{where}: {problem}"

    def report(self) -> None:
        """Log in one line how many rows were left out."""
        if self.count:
            log.warning("%s: left out %d of %d rows, first %s", self.path, self.count, self.rows, self.first)
