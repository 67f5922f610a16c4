"""Texts that a user hands over: as arguments, in a file or a column of a table, or through a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyro_rationale.data.document import Document, make_document, with_words
from pyro_rationale.data.files.tables import Row, Table, check_column, kind_of, read_table
from pyro_rationale.data.files.text import Faults, check_text, check_whole, of_zeros, open_bytes
from pyro_rationale.data.garbled import Garbled
from pyro_rationale.data.tokenizers import Tokenizer
from pyro_rationale.data.tokenizers.unicode import tokenize
from pyro_rationale.errors import ConfigError, DataError, listed, shown
from pyro_rationale.storage import user_path

STANDARD_INPUT = "-"
STANDARD_INPUT_NAME = "standard input"


def gather(
    arguments: Sequence[str],
    file: str | None,
    max_words: int | None,
    tokenizer: Tokenizer = tokenize,
    reader: str = "predict reads tables, a row each",
) -> Iterator[Document]:
    """The texts as documents, one by one: arguments, else the lines of `file`, else of standard input.

    A line without a word, or one of several arguments, is a document without a token, so that what comes out can be
    laid beside what went in; blank lines at the end are no texts.

    Args:
        arguments: texts from the command line.
        file: a path, `-` for standard input, or `None`.
        max_words: words to read of each.
        tokenizer: splits a text into words.
        reader: the command that reads tables with a run like this, for a message.

    Raises:
        ConfigError: texts in two places, or nowhere.
        DataError: a single argument without a word, or input that is not text; names the line.
    """
    if arguments and file is not None:
        raise ConfigError("give texts either as arguments or by --file, not both")
    if arguments:
        named: Iterable[tuple[str, str]] = ((f"text {i}", text) for i, text in enumerate(arguments, 1))
    elif file in (None, STANDARD_INPUT):
        if sys.stdin is None or sys.stdin.isatty():
            raise ConfigError("no text given: write it as an argument, name a --file, or pipe it in")
        named = _lines(sys.stdin.buffer, STANDARD_INPUT_NAME)
    else:
        path = user_path(file)
        if path.is_file() and is_table(file):  # or labels would be read as words
            raise DataError(f"{path}: is a table; python -m pyro_rationale.{reader}")
        named = _lines(_opened(path), str(file))
    return (_document(name, text, max_words, tokenizer, len(arguments) == 1) for name, text in named)


def is_table(source: str) -> bool:
    """Whether a path names a table, or a saved data set; other files hold a text per line."""
    path = user_path(source)
    return source != STANDARD_INPUT and (kind_of(path) is not None or path.is_dir())


@dataclass(frozen=True)
class Texts:
    """Texts with their ids, of a file or of standard input.

    Attributes:
        rows: makes a pass over them; standard input has one only. The text of a row that cannot be read is `None`.
        faults: the rows that cannot be read, of standard input those so far.
        count: how many there are; `None` for standard input.
        own_ids: whether rows that cannot be read are left out, since their ids may be another's.
    """

    rows: Callable[[], Iterator[tuple[Any, str | None]]]
    faults: Faults
    count: int | None = None
    own_ids: bool = False

    def report(self) -> None:
        """Log in one line how many rows cannot be read, and why."""
        self.faults.report("left out" if self.own_ids else "no prediction for")


def read_texts(
    source: str,
    text_column: str | None = None,
    id_column: str | None = None,
    usual: Sequence[str] = (),
    own_ids: bool = False,
    skip_bad_rows: bool = False,
    **layout: Any,
) -> Texts:
    """Texts of a table, a row each, or of a text file or standard input, a line each; numbered from 1 unless named.

    All of a file is read once to begin with, so that whatever is wrong with it is said before anything is done.

    Args:
        source: a path, or `-`.
        text_column: of a table; default: the first of the `usual` ones that is there, else `text`.
        id_column: of a table; default: texts are numbered.
        usual: names of columns with texts.
        own_ids: a row without an id, or with that of another row, cannot be used.
        skip_bad_rows: go on where a row cannot be read: it keeps its place and its id, so that the others keep theirs.
        layout: of the table, see :func:`~pyro_rationale.data.files.tables.read_table`.

    Raises:
        DataError: the file cannot be read, or a row of it, or no row at all.
        ConfigError: an option that means nothing for it.
    """
    path = user_path(source)
    if is_table(source):
        table = read_table(path, **layout)
        encoding = layout.get("encoding")
        return _table_texts(table, text_column, id_column, usual, own_ids, skip_bad_rows, encoding)
    given = {"--text-column": text_column, "--id-column": id_column, "--encoding": layout.get("encoding"),
             "--separator": layout.get("separator"), "--no-header": not layout.get("header", True)}  # fmt: skip
    for flag in filter(given.get, given):
        raise ConfigError(f"{flag}: is about tables, and {source} has a text per line; leave it out")
    if source == STANDARD_INPUT:
        if sys.stdin is None or sys.stdin.isatty():
            raise ConfigError("no text given: pipe it in, or name a file in place of -")
        faults = Faults(Path(STANDARD_INPUT_NAME), skip_bad_rows)
        return Texts(lambda: _numbered(sys.stdin.buffer, STANDARD_INPUT_NAME, faults), faults)
    if not path.exists():
        raise DataError(f"{path}: no such file; name a table, a text file of a text per line, or - for standard input")
    faults = Faults(path, False)  # a file that is opened is text, all of it

    def lines() -> Iterator[tuple[Any, str | None]]:
        return _numbered(_opened(path), source, faults)

    return Texts(lines, faults, sum(1 for _ in lines()))


def _numbered(content: Iterable[bytes], source: str, faults: Faults) -> Iterator[tuple[Any, str | None]]:
    """Lines with their numbers; `None` for one that is no text, where such lines may be passed over."""
    for number, raw in _raw_lines(content, source, blank_end=True):
        faults.rows += 1
        text = None
        try:
            text = _decoded(raw)
        except ValueError as fault:
            if not faults.skip:
                raise DataError(f"{source}, line {number}: {fault}, or leave such lines out: --skip-bad-rows") from None
            faults.add(f"line {number}", str(fault))
        yield number, text


def _table_texts(
    table: Table,
    text: str | None,
    id_column: str | None,
    usual: Sequence[str],
    own_ids: bool,
    skip: bool,
    encoding: str | None,
) -> Texts:
    columns = table.columns
    column = text or next((name for name in (*usual, "text") if name in columns), None)
    if column is None:
        raise ConfigError(f"{table.path}: name the column of the texts with --text-column; it has {listed(columns)}")
    check_column(table.path, columns, column, "--text-column")
    if id_column is not None:
        check_column(table.path, columns, id_column, "--id-column")

    def id_of(number: int, row: Row) -> Any:
        named = number if id_column is None else row.cells.get(id_column)
        check_whole(f"the id in {id_column!r}", str(named))
        return named if named is None or type(named) in (int, str) else str(named)

    def text_of(row: Row) -> str:
        if row.fault is not None:
            raise ValueError(row.fault)
        if column not in row.cells:
            raise ValueError(f"has no {column!r}")
        cell = row.cells[column]
        if cell is not None and not isinstance(cell, str):
            raise ValueError(f"{column!r} holds {shown(cell)}, not a text")
        check_whole(f"the text in {column!r}", content := cell or "")
        return content

    def rows(faults: Faults) -> Iterator[tuple[str, Any, str | None]]:
        seen: dict[str, str] = {}
        for number, row in enumerate(table.rows([column, *([] if id_column is None else [id_column])]), 1):
            faults.rows += 1
            id, content, where = None, None, _place(row.where, number)
            try:
                content, id = text_of(row), id_of(number, row)
                if own_ids and id_column is not None:
                    _check_own(id, where, seen)
            except ValueError as fault:
                faults.add(where, str(fault))
                if own_ids:  # scorers go by ids, and not by places
                    continue
                content = None
                with suppress(ValueError):
                    id = id_of(number, row)
            yield where, id, content

    from pyro_rationale.data.targets import is_gap, warn_of_gaps  # which need torch

    found, gaps, garbled, count = Faults(table.path, skip), [], Garbled(), 0
    for where, _, content in rows(found):
        count += 1
        garbled.add(where, content or "")
        if content is not None and is_gap(content):
            gaps.append((where, content))
    if found.count == found.rows:
        raise DataError(f"{table.path}: none of its {found.rows} rows can be read (first fault: {found.first})")
    warn_of_gaps(table.path, gaps, f"{count}")
    garbled.report(table.path, encoding)
    return Texts(lambda: ((id, text) for _, id, text in rows(Faults(table.path, skip))), found, count, own_ids)


def _place(where: str, number: int) -> str:
    """Line of a row in its file, and, where that is another, its number in what is written.

    Headers, blank lines and texts of several lines make them differ.
    """
    return where if where.endswith(f" {number}") else f"{where} (row {number})"


def _check_own(id: Any, where: str, seen: dict[str, str]) -> None:
    """Refuse an id that is empty, or that another row has."""
    name = "" if id is None else str(id)
    if not name.strip():
        raise ValueError("has no id, by which scorers of its records know it")
    if name in seen:
        raise ValueError(f"the id {shown(name)} stands in {seen[name]} already, and scorers would take both for one")
    seen[name] = where


def count_lines(file: str | None) -> int | None:
    """How many lines a file has, for a progress bar; `None` if that cannot be told before they are read."""
    if file is None or not user_path(file).is_file():
        return None
    with user_path(file).open("rb") as lines:
        return sum(block.count(b"\n") for block in iter(lambda: lines.read(1 << 20), b""))


def _opened(path: Path) -> Iterator[bytes]:
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
    for number, raw in _raw_lines(content, source):
        try:
            yield (name := f"{source}, line {number}"), _decoded(raw)
        except ValueError as fault:
            raise DataError(f"{name}: {fault}") from None


def _raw_lines(content: Iterable[bytes], source: str, blank_end: bool = False) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers; blank ones at the end are no texts, unless `blank_end` is given."""
    number, lines = 0, _split(content)
    for number, line in enumerate(lines if blank_end else _without_blank_end(lines), 1):
        yield number, line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"")
    if not number:
        raise DataError(f"{source}: empty; expected one text per line")


def _decoded(raw: bytes) -> str:
    """A line as text.

    Raises:
        ValueError: it is none; says what is wrong, and what helps.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{raw[error.start]:02x} at position {error.start + 1}"
        raise ValueError(f"expected UTF-8 text, found {byte}; convert the file first") from None
    if "\0" in text:
        raise ValueError(f"holds a zero byte{of_zeros(raw)}")
    return text


def _document(name: str, text: str, max_words: int | None, tokenizer: Tokenizer, needs_word: bool) -> Document:
    document = make_document(name, text, (), max_words, tokenizer=tokenizer)
    return with_words([document])[0] if needs_word else document
