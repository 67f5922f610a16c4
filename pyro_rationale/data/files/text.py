"""Files as text, and rows that cannot be used: every fault of a file becomes one line with its remedy."""

from __future__ import annotations

import codecs
import gzip
import io
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn, TextIO, cast

from pyro_rationale.errors import DataError
from pyro_rationale.errors import listed as listed
from pyro_rationale.errors import shown as shown

log = logging.getLogger("pyro_rationale")

_GZIP = b"\x1f\x8b"
_AT_ONCE = 1 << 22  # bytes


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, unpacked if it is gzipped (whatever its name).

    Raises:
        DataError: If it is missing, a folder, unreadable, empty, or a damaged archive.
    """
    try:
        if path.is_dir():
            raise DataError(f"{path}: is a folder; name a file in it")
        raw = path.read_bytes()
        content = gzip.decompress(raw) if raw.startswith(_GZIP) else raw
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"{path}: the gzip archive is cut short or damaged; copy or download it again") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if path.suffix == ".gz" and not raw.startswith(_GZIP) and raw:
        raise DataError(f"{path}: is named .gz and is no gzip archive; rename it or download it again")
    if not content.strip():
        raise DataError(f"{path}: is empty; expected rows of text")
    return content


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, gzipped or not, with or without a byte order mark.

    Raises:
        DataError: As :func:`read_bytes`, and if the file is binary or in another encoding.
    """
    content = read_bytes(path)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: is UTF-16; save it as UTF-8")
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise DataError(f"{path}, line {line}: holds a zero byte, so it is no text file; expected UTF-8 text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _raise_not_utf8(path, content.count(b"\n", 0, error.start) + 1, error)


def check_readable(path: Path) -> None:
    """Make sure that there is a file, that it can be read, and that it is not empty.

    Raises:
        DataError: As :func:`read_bytes`.
    """
    if not any(block.strip() for block in _blocks(path)):
        raise DataError(f"{path}: is empty; expected rows of text")


def open_text(path: Path) -> TextIO:
    """The same text as a stream, for files that do not fit in memory; line ends are left as they are.

    Raises:
        DataError: As :func:`read_text`, for anything in the file: it is read through once to make sure.
    """
    return io.TextIOWrapper(cast(IO[bytes], _checked(path)), encoding="utf-8-sig", newline="")


def _checked(path: Path) -> io.BufferedIOBase:
    """The bytes of a text file as a stream that stands at its beginning."""
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
        raise DataError(f"{path}: is empty; expected rows of text")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        _raise_not_utf8(path, lines, error)
    return _opened(path)


def _blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file piece by piece, unpacked if it is gzipped."""
    try:
        with _opened(path) as file:
            while block := file.read(_AT_ONCE):
                yield block
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"{path}: the gzip archive is cut short or damaged; copy or download it again") from None


def _opened(path: Path) -> io.BufferedIOBase:
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
    """What is wrong with the rows of one file: stops at the first, or (`skip`) leaves them out and counts them."""

    def __init__(self, path: Path, skip: bool) -> None:
        self.path, self.skip = path, skip
        self.count = 0
        self.first = ""

    def add(self, where: str, problem: str) -> None:
        """Note a row that cannot be used.

        Raises:
            DataError: Unless rows may be left out.
        """
        if not self.skip:
            raise DataError(
                f"{self.path}, {where}: {problem}; mend the row, or leave such rows out: --skip-bad-rows"
            )
        self.count += 1
        self.first = self.first or f"{where}: {problem}"

    def report(self, rows: int) -> None:
        """Say in one line how many of `rows` rows were left out."""
        if self.count:
            log.warning("%s: left out %d of %d rows, first %s", self.path, self.count, rows, self.first)
