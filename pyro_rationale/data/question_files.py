"""Files of questions, each with an id, a title and a body: read one by one, so that none has to fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pyro_rationale.data.document import Document, document_maker
from pyro_rationale.data.files.tables import Row, Table, check_column, kind_of, read_table
from pyro_rationale.data.files.text import Faults, check_whole, first_line, log, read_lines
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError, listed, shown

IDS = ("id", "_id", "qid")
TITLES = ("title",)
BODIES = ("body", "text", "question", "content")
_NAMES = {*IDS, *TITLES, *BODIES, "cluster"}


class Question(NamedTuple):
    """A text as a file holds it.

    Attributes:
        id: its name; its place in the file where it has none.
        title: in one line; empty where there is none.
        body: empty where there is none.
        more: cells of other columns.
    """

    id: str
    title: str
    body: str
    more: dict[str, Any]


def read_questions(path: Path, options: DataOptions) -> Iterator[Document]:
    """The questions of a file, as documents whose text is the title and, below it, the body.

    Read are tables (CSV, TSV, JSON lines, Parquet; a column `id`, `_id` or `qid`, and `title`, `body`, `text`,
    `question` or `content`, or the columns that `--text-column` names, title first); saved data sets, likewise;
    tab-separated files of three columns without a header (id, title, body), as AskUbuntu's `text_tokenized.txt` is; and
    other files, a text a line.

    Args:
        path: the file, gzipped or not.
        options: how to cut the texts, and whether to leave unusable rows out.

    Raises:
        DataError: the file or one of its rows cannot be used.
        ConfigError: no column holds the text.
    """
    for document, _ in read_rows(path, options):
        yield document


def read_rows(path: Path, options: DataOptions, more: Sequence[str] = ()) -> Iterator[tuple[Document, dict[str, Any]]]:
    """The questions of a file, each with the cells of further columns; see :func:`read_questions`."""
    faults, make = Faults(path, options.skip_bad_rows), document_maker(options)
    seen: dict[str, str] = {}
    bare: list[str] = []

    def parse(where: str, row: Lazy) -> tuple[Document, dict[str, Any]]:
        question = _whole(where, row)
        if question.id in seen:
            raise ValueError(f"the id {shown(question.id)} stands in {seen[question.id]} already")
        document = titled(question.id, question.title, question.body, make)
        if not document.tokens:
            raise ValueError(f"the text {shown(question.id)} holds no word")
        if question.title and not question.body.strip():
            bare.append(where)
        seen[question.id] = where
        return document, question.more

    yield from faults.parsed(_rows(path, options, more), parse)
    faults.report()
    if bare:
        log.warning("%s: %d of %d texts have a title and no body, first %s", path, len(bare), len(seen), bare[0])


def read_queries(path: Path, options: DataOptions, id_column: str | None = None) -> Iterator[Document]:
    """The questions of a table, to be searched for, in their order; an id may stand twice, and a text hold no word.

    Args:
        path: the table, see :func:`read_questions`.
        options: how to cut the texts, and whether to leave unusable rows out.
        id_column: the column with ids; default: `id`, `_id` or `qid`, else questions are named by their place.

    Raises:
        DataError: the file or one of its rows cannot be used; before the first question.
        ConfigError: no column holds the text.
    """
    make = document_maker(options)
    for only_checked in (True, False):
        faults = Faults(path, options.skip_bad_rows)
        for question in faults.parsed(_rows(path, options, (), id_column), _whole):
            if not only_checked:
                yield titled(question.id, question.title, question.body, make)
    faults.report()


def titled(id: str, title: str, body: str, make: Callable[..., Document]) -> Document:
    """A document of a title, in one line, and a body below it; of one of them where the other is empty."""
    title = " ".join(title.split())
    text = f"{title}\n{body}" if title and body.strip() else title or body
    check_whole("the text", text)
    document = make(id, text)
    count = sum(end <= len(title) for _, end in document.offsets) if title else 0
    return replace(document, title=count) if count else document


Lazy = Callable[[], Question]


def _whole(where: str, row: Lazy) -> Question:
    question = row()
    check_whole("the id", question.id)
    check_whole("the text", (question.title, question.body))
    return question


def _rows(
    path: Path, options: DataOptions, more: Sequence[str], id_column: str | None = None
) -> Iterator[tuple[str, Lazy]]:
    """Each row of the file, with its place; a row that cannot be used raises ValueError when it is called."""
    name = path.name.removesuffix(".gz")
    kind = kind_of(path)
    if kind == "tsv" and not _NAMES & {cell.strip().lower() for cell in first_line(path).split("\t")}:
        kind = None
    if kind is None and not more and not path.is_dir():
        tabbed = name.endswith(".tsv") or "\t" in first_line(path)
        for where, line in read_lines(path):
            yield where, partial(_of_line, where, line.removesuffix("\r"), tabbed)
        return
    table = read_table(path, options.encoding, options.delimiter, options.header)
    known = columns_of(table, options, id_column)
    for column in more:
        check_column(path, table.columns, column, "--target-column")
    for row in table.rows({*filter(None, known), *more}):
        yield row.where, partial(_of_row, row, *known, tuple(more))


def _of_line(where: str, line: str, tabbed: bool) -> Question:
    if not tabbed:
        return Question(where, "", line, {})
    cells = line.split("\t")
    if len(cells) not in (2, 3) or not cells[0].strip():
        raise ValueError(f"has {len(cells)} fields, expected an id, a title and a body with tabs between them")
    return Question(cells[0].strip(), cells[1], cells[2] if len(cells) == 3 else "", {})


def columns_of(
    table: Table, options: DataOptions, id_column: str | None = None
) -> tuple[str | None, str | None, str | None]:
    """The columns of a table with ids, titles and bodies, each of which there need not be.

    Raises:
        ConfigError: neither titles nor bodies.
        DataError: a column is not there, or is there twice.
    """
    given = options.text_columns
    if len(given) > 2:
        raise ConfigError(f"--text-column: names {len(given)} columns; expected a title and a body")
    id = id_column or next((name for name in IDS if name in table.columns), None)
    if id is not None:
        check_column(table.path, table.columns, id, "--id-column")
    title, body = (None, *given)[-2:] if given else (
        next((name for name in names if name in table.columns), None) for names in (TITLES, BODIES)
    )
    if title is None and body is None:
        columns = listed(table.columns)
        raise ConfigError(f"{table.path}: name the column with the text by --text-column; it has {columns}")
    for column in filter(None, (title, body)):
        check_column(table.path, table.columns, column, "--text-column")
    return id, title, body


def _of_row(row: Row, id: str | None, title: str | None, body: str | None, more: tuple[str, ...]) -> Question:
    if row.fault:
        raise ValueError(row.fault)
    texts = [_cell(row, name) for name in (title, body)]
    name = row.where if id is None else str("" if row.cells.get(id) is None else row.cells[id]).strip()
    if not name:
        raise ValueError(f"{id!r} is empty")
    return Question(name, texts[0], texts[1], {column: row.cells.get(column) for column in more})


def _cell(row: Row, name: str | None) -> str:
    value = None if name is None else row.cells.get(name)
    if isinstance(value, str | None):
        return value or ""
    raise ValueError(f"{name!r} is {shown(value)}, not a text")
