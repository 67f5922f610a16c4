"""Reading text files, and reporting rows that cannot be used: each fault is one line with its remedy."""

from __future__ import annotations

import codecs
import gzip
import io
import logging
import re
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, NoReturn, TextIO, TypeVar, cast

from pyro_rationale.data.files.foreign import remedy_by_bytes
from pyro_rationale.errors import DataError
from pyro_rationale.errors import listed as listed
from pyro_rationale.errors import shown as shown

log = logging.getLogger("pyro_rationale")
Row = TypeVar("Row")
Parsed = TypeVar("Parsed")

LONGEST_LINE = 1 << 24  # characters: some three million words
LONGEST_TEXT = 1 << 28  # characters of a file that is read as a whole
# Texts are packed three to fifty times; archives that are made to fill the memory, a thousand times.
_MOST_PACKED, _SMALL_BYTES = 100, 1 << 22
_GZIP = b"\x1f\x8b"
_BLOCK_BYTES = 1 << 22
_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
          codecs.BOM_UTF16_BE: "utf-16"}  # fmt: skip
_SAMPLE_BYTES = 1 << 15
_WESTERN = re.compile(
    r"[\x00-\x7f\xa0-\xa3\xa7\xa9\xab\xad\xae\xb0-\xb2\xb4\xb7\xbb\xbf-\xcf\xd1-\xdc\xdf-\xef\xf1-\xf6\xf8-\xfc"
    r"\u0152\u0153\u2013-\u2026\u20ac\u2122]*"
)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, gzipped or not, with or without a byte order mark.

    Raises:
        DataError: see :func:`check_text`.
    """
    check_text(path, longest=LONGEST_TEXT)
    with open_text(path) as text:
        content = text.read(LONGEST_TEXT + 1)
    if len(content) > LONGEST_TEXT:
        raise DataError(f"{path}: holds more than {LONGEST_TEXT:,} characters, too many to be read at once; split it")
    return content


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a UTF-8 file that are not blank, each with its place ("line 17"); read one by one.

    Raises:
        DataError: see :func:`check_text`.
    """
    check_text(path)
    with open_text(path, newline="\n") as text:
        for number, line in enumerate(text, start=1):
            if line.strip():
                yield f"line {number}", line.removesuffix("\n")


def open_text(path: Path, encoding: str | None = None, newline: str = "") -> TextIO:
    """A text file that :func:`check_text` has passed, as a stream with its line ends as they are."""
    return io.TextIOWrapper(cast(IO[bytes], open_bytes(path)), encoding=_marked(encoding), newline=newline)


def _marked(encoding: str | None) -> str:
    """The encoding, without the mark that may stand in front of UTF-8."""
    return "utf-8-sig" if encoding is None or codecs.lookup(encoding).name == "utf-8" else encoding


def check_text(path: Path, encoding: str | None = None, flag: str | None = None, longest: int = LONGEST_LINE) -> None:
    """Read a file once, piece by piece, to make sure that all of it is text.

    Args:
        path: the file.
        encoding: its encoding; default: UTF-8.
        flag: the option that can name another encoding, for messages.
        longest: characters that a line may have.

    Raises:
        DataError: If it is missing, a folder, unreadable, empty, a damaged archive or one that unpacks without end,
            binary, in another encoding, or if a line is too long.
    """
    decoder = codecs.getincrementaldecoder(_marked(encoding))()
    lines, length, empty = 1, 0, True
    for block in chain(_blocks(path), [b""]):
        if empty and encoding is None and (mark := next(filter(block.startswith, _MARKS), None)):
            other = f", or give {flag} {_MARKS[mark]}" if flag else ""
            raise DataError(f"{path}: is {_MARKS[mark].upper()}; save it as UTF-8{other}")
        if empty and (remedy := remedy_by_bytes(block)):
            raise DataError(f"{path}: {remedy}")
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            text = error.object.decode(error.encoding, errors="replace")
            if "\0" not in text:
                _raise_not_text(path, lines, error, encoding, flag)
        except UnicodeError as error:  # a codec that wants a mark of the order of bytes, and finds none
            ways = f"give {flag} {encoding}-le or {encoding}-be, or none for UTF-8" if flag else "save it as UTF-8"
            raise DataError(f"{path}: is not {encoding} ({error}); {ways}") from None
        if "\0" in text:
            line = lines + text.count("\n", 0, text.index("\0"))
            raise DataError(f"{path}, line {line}: holds a zero byte{of_zeros(block, encoding, flag)}")
        end = text.find("\n")
        length += len(text) if end < 0 else end
        if length > longest:
            raise DataError(f"{path}, line {lines}: has more than {longest:,} characters; write one row a line")
        length = length if end < 0 else len(text) - text.rindex("\n") - 1
        lines += text.count("\n")
        empty = empty and not text.strip()
    if empty:
        raise _empty(path)


def of_zeros(block: bytes, encoding: str | None = None, flag: str | None = None) -> str:
    """End of a line about zero bytes in a block: plain letters in UTF-16 have one each, all on one side."""
    pairs = len(block) // 2
    for name, side in (("utf-16-le", block[1::2]), ("utf-16-be", block[::2])):
        if encoding is None and pairs > 1 and 2 * side.count(0) > pairs > 2 * (block.count(0) - side.count(0)):
            return f", as UTF-16 does; save it as UTF-8{f', or give {flag} {name}' if flag else ''}"
    return ", so it is no text file; name one of UTF-8 text"


def exists(path: Path) -> bool:
    """Whether a file has that name, to be looked for where there need not be one.

    Raises:
        DataError: If something has it that cannot be read as a file, such as a link that leads nowhere.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if not path.is_symlink():
            return False
        problem = "leads nowhere"
    except OSError as error:
        raise _unreadable(path, error) from None
    else:
        if stat.S_ISREG(status.st_mode):
            return True
        problem = "is no file"
    raise DataError(f"{path}: {problem}; put the file there, or remove what is there")


def check_whole(what: str, text: Iterable[str]) -> None:
    """Refuse a text, or words, that no file can hold, which JSON can write all the same.

    Raises:
        ValueError: If there is a lone surrogate; begins with `what`.
    """
    try:
        "".join(text).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{what} holds half a character (a lone surrogate)") from None


def first_line(path: Path) -> str:
    """The first line of a file; what is no UTF-8 in it is replaced."""
    return next(_blocks(path), b"").partition(b"\n")[0].decode("utf-8-sig", errors="replace").removesuffix("\r")


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
    with reading(path) as file:
        most, count = max(_SMALL_BYTES, _MOST_PACKED * path.stat().st_size), 0
        while block := file.read(_BLOCK_BYTES):
            yield block
            count += len(block)
            if count > most:
                remedy = "no text does; unpack it yourself if you trust it"
                raise DataError(f"{path}: unpacks to more than {_MOST_PACKED} times its size; {remedy}")


@contextmanager
def reading(path: Path) -> Iterator[io.BufferedIOBase]:
    """A file as a stream of bytes, unpacked if it is gzipped; what goes wrong in the block is an error in one line."""
    try:
        with open_bytes(path) as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"{path}: the gzip archive is cut short or damaged; copy or download it again") from None
    except OSError as error:  # of a disk, or of a share that is gone
        raise _unreadable(path, error) from None


def open_bytes(path: Path) -> io.BufferedIOBase:
    """A file as a stream of bytes, unpacked if its first bytes say gzip.

    Raises:
        DataError: If it is missing, a folder, a pipe or a device, or cannot be read, or if its name says gzip and its
            content does not.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise DataError(f"{path}: is a folder; name a file in it")
        if not stat.S_ISREG(status.st_mode):  # it could make us wait, or never end
            raise DataError(f"{path}: is a pipe or a device; write what it gives to a file, and name that")
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
        if path.suffix == ".gz" and not packed and status.st_size:
            raise DataError(f"{path}: is named .gz and is no gzip archive; rename it or download it again")
        return gzip.open(path) if packed else path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")


def _raise_not_text(
    path: Path, lines: int, error: UnicodeDecodeError, encoding: str | None, flag: str | None
) -> NoReturn:
    before = error.object[: error.start].decode(error.encoding, errors="replace")
    problem = f"{path}, line {lines + before.count(chr(10))}: byte 0x{error.object[error.start]:02x} is not"
    if encoding is not None:
        raise DataError(f"{problem} {encoding}; give another {flag}, or none for UTF-8") from None
    guess = _guess(error.object, error.start)
    if guess is None:
        other = f", or give its {flag}" if flag else ""
        raise DataError(f"{problem} UTF-8; save the file as UTF-8{other}") from None
    name, word = guess
    remedy = f"give {flag} {name}" if flag else f"convert it (iconv -f {name} -t UTF-8)"
    raise DataError(f"{problem} UTF-8; in {name} the place reads {shown(word)}: if that is right, {remedy}") from None


def _guess(content: bytes, start: int) -> tuple[str, str] | None:
    """The encoding that bytes are most likely in, and the word at `start` read by it."""
    from charset_normalizer import from_bytes

    lines = [line for line in content[max(start - _SAMPLE_BYTES, 0) :].split(b"\n") if not line.isascii()]
    sample = b"\n".join(lines)[:_SAMPLE_BYTES]
    # Few accents among plain letters say too little for statistics: most such files are of Windows in the West.
    western = sample.decode("cp1252", errors="replace")
    accented = "".join(word for word in re.findall(r"\w+", western) if not word.isascii())
    rare = 4 * sum(byte > 127 for byte in sample) < len(sample)
    rare = rare or 5 * sum(letter > "\x7f" for letter in accented) <= 2 * len(accented) > 0
    if rare and _WESTERN.fullmatch(western):
        name = "cp1252"
    elif (best := from_bytes(sample).best()) is not None:
        name = best.encoding
    else:
        return None
    around = content[max(start - 40, 0) : start], content[start : start + 40]
    left, right = (part.decode(name, errors="replace") for part in around)
    return name, re.findall(r"\w*$", left)[0] + re.findall(r"^\w*", right)[0]


KINDS = 3  # of faults that a line about rows left out shows
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")  # by which faults of one kind differ


class Faults:
    """Unusable rows of one file.

    Args:
        path: the file, for messages.
        skip: count such rows, to be left out, instead of stopping at the first.

    Attributes:
        rows: rows that were looked at.
        count: rows that cannot be used.
        kinds: the first row of each kind of fault, and how many there are, by the fault without its values.
    """

    def __init__(self, path: Path, skip: bool) -> None:
        self.path, self.skip = path, skip
        self.rows = self.count = 0
        self.kinds: dict[str, tuple[str, int]] = {}

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
        kind = _VALUES.sub("", problem)
        example, count = self.kinds.get(kind, (f"{where}: {problem}", 0))
        self.kinds[kind] = (example, count + 1)

    @property
    def first(self) -> str:
        """The first row that cannot be used, and why; empty if all can."""
        return next(iter(self.kinds.values()), ("", 0))[0]

    def report(self, done: str = "left out") -> None:
        """Log in one line how many rows cannot be used, with a row of each of the first kinds of faults.

        Args:
            done: what was done with them, in words that stand before their number.
        """
        if self.count:
            others = [f"{count} like {told}" for told, count in [*self.kinds.values()][1:KINDS]]
            first = "; ".join([self.first, *others])
            log.warning("%s: %s %d of %d rows, first %s", self.path, done, self.count, self.rows, first)
