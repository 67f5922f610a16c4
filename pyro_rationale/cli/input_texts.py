"""Texts that a user hands over: as arguments, in a file, or through a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pyro_rationale.data.document import Document, make_document
from pyro_rationale.data.files.tables import kind_of
from pyro_rationale.data.files.text import check_text, open_bytes
from pyro_rationale.data.tokenizers import Tokenizer
from pyro_rationale.data.tokenizers.unicode import tokenize
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.storage import user_path

STANDARD_INPUT = "-"


def gather(
    arguments: Sequence[str], file: str | None, max_words: int | None, tokenizer: Tokenizer = tokenize
) -> Iterator[Document]:
    """The texts as documents, one by one: arguments, else the lines of `file`, else of standard input.

    A line without a word is a document without a token, so that what comes out can be laid beside what went in; blank
    lines at the end are no texts.

    Args:
        arguments: texts from the command line.
        file: a path, `-` for standard input, or `None`.
        max_words: words to read of each.
        tokenizer: splits a text into words.

    Raises:
        ConfigError: texts in two places, or nowhere.
        DataError: an argument without a word, or input that is not text; names the line.
    """
    if arguments and file is not None:
        raise ConfigError("give texts either as arguments or by --file, not both")
    if arguments:
        named: Iterable[tuple[str, str]] = ((f"text {i}", text) for i, text in enumerate(arguments, 1))
    elif file in (None, STANDARD_INPUT):
        if sys.stdin is None or sys.stdin.isatty():
            raise ConfigError("no text given: write it as an argument, name a --file, or pipe it in")
        named = _lines(sys.stdin.buffer, "standard input")
    else:
        named = _lines(_opened(user_path(file)), str(file))
    return (_document(name, text, max_words, tokenizer, bool(arguments)) for name, text in named)


def count_lines(file: str | None) -> int | None:
    """How many lines a file has, for a progress bar; `None` if that cannot be told before they are read."""
    if file is None or not user_path(file).is_file():
        return None
    with user_path(file).open("rb") as lines:
        return sum(block.count(b"\n") for block in iter(lambda: lines.read(1 << 20), b""))


def _opened(path: Path) -> Iterator[bytes]:
    if kind_of(path) is not None and path.is_file():  # or labels would be read as words
        raise DataError(f"{path}: is a table, and texts are read a line each; write its column of texts to a .txt file")
    check_text(path)
    with open_bytes(path) as file:
        yield from file


def _split(content: Iterable[bytes]) -> Iterator[bytes]:
    """Lines that end as on any system: with LF, CR LF, or CR alone."""
    for line in content:
        yield from line.rstrip(b"\r\n").split(b"\r")


def _without_blank_end(lines: Iterable[bytes]) -> Iterator[bytes]:
    blank = 0
    for line in lines:
        if not line.strip():
            blank += 1
            continue
        yield from (b"",) * blank
        blank = 0
        yield line


def _lines(content: Iterable[bytes], source: str) -> Iterator[tuple[str, str]]:
    """Named lines; blank ones at the end are no texts."""
    number = 0
    for number, line in enumerate(_without_blank_end(_split(content)), 1):
        raw = line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"")
        name = f"{source}, line {number}"
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = f"byte 0x{raw[error.start]:02x} at position {error.start + 1}"
            raise DataError(f"{name}: expected UTF-8 text, found {byte}; convert the file first") from None
        if "\0" in text:
            raise DataError(f"{name}: expected text, found a zero byte; this looks like a binary file")
        yield name, text
    if not number:
        raise DataError(f"{source}: empty; expected one text per line")


def _document(name: str, text: str, max_words: int | None, tokenizer: Tokenizer, needs_word: bool) -> Document:
    document = make_document(name, text, (), max_words, tokenizer=tokenizer)
    if needs_word and not document.tokens:
        raise DataError(f"{name}: no word in it; write a text there, or leave it out")
    return document
