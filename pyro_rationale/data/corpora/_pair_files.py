"""Shared by loaders of similar texts: texts by their ids, pairs of ids, lists of candidates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pyro_rationale.data.compact import CompactDocuments
from pyro_rationale.data.document import Document
from pyro_rationale.data.files.text import Faults, log, read_lines, shown
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.pairs import SPLITS, Query, components_of, split_queries
from pyro_rationale.data.splits import three_way_split
from pyro_rationale.errors import DataError

Parsed = TypeVar("Parsed")
Pair = tuple[int, int]


class Texts:
    """Texts by their ids.

    Args:
        documents: with ids that no two share.
        path: the file that they are from, for messages.
    """

    def __init__(self, documents: Iterable[Document], path: Path) -> None:
        self.documents, self.path = CompactDocuments(documents), path
        self.number = {id: i for i, id in enumerate(self.documents.ids)}

    def __getitem__(self, id: str) -> int:
        """Index of the text of an id. Raises ValueError if there is none."""
        number = self.number.get(id.strip())
        if number is None:
            raise ValueError(f"{self.path.name} holds no text {shown(id.strip())}")
        return number

    def all_of(self, ids: str) -> list[int]:
        """Indices of the texts whose ids stand in a cell, with spaces between them."""
        return [self[id] for id in ids.split()]


def parsed_lines(
    path: Path, options: DataOptions, parse: Callable[[list[str]], Parsed], header: Callable[[list[str]], bool]
) -> Iterator[Parsed]:
    """The lines of a file, parsed from their tab-separated cells; those that cannot be are faults.

    Args:
        path: the file.
        options: whether to leave faults out.
        parse: of the cells of a line; raises ValueError with what is wrong.
        header: whether the first line names the columns.
    """
    faults = Faults(path, options.skip_bad_rows)
    lines = ((where, line.removesuffix("\r").split("\t")) for where, line in read_lines(path))
    first = True

    def rows() -> Iterator[tuple[str, list[str]]]:
        nonlocal first
        for where, cells in lines:
            if not (first and header(cells)):
                yield where, cells
            first = False

    yield from faults.parsed(rows(), lambda _, cells: parse(cells))
    faults.report()


def named(*names: str) -> Callable[[list[str]], bool]:
    """Whether the first cell of a line is one of these names, in any case: a header."""
    return lambda cells: cells[0].strip().lower() in names


def read_pairs(path: Path, options: DataOptions, texts: Texts) -> list[Pair]:
    """The pairs of a file: the ids of a query and of a similar text, with a tab between; more columns are not read.

    Raises:
        DataError: an id is unknown, a query is its own similar text, or a third column says 0 of some pairs and 1 of
            the others, as labels do.
    """
    marks: set[str] = set()

    def pair(cells: list[str]) -> Pair:
        if len(cells) < 2:
            raise ValueError("has one field, expected a query and a similar text with a tab between them")
        one, other = texts[cells[0]], texts[cells[1]]
        if one == other:
            raise ValueError(f"{shown(cells[0])} is given as similar to itself")
        if len(marks) <= 2:
            marks.add(cells[2].strip() if len(cells) > 2 else "")
        return one, other

    pairs = list(parsed_lines(path, options, pair, named("query", "query-id", "id", "question")))
    if marks == {"0", "1"}:
        raise DataError(f"{path}: every row is a pair of similar texts, and the third column holds 0 and 1; leave the "
                        "rows with 0 out, and the column if it says something else")  # fmt: skip
    return pairs


def read_lists(
    path: Path, options: DataOptions, texts: Texts, known: Mapping[int, Collection[int]] | None = None
) -> dict[int, tuple[list[int], list[int]]]:
    """Similar texts and candidates by query: lines of a query, its similar ones, its candidates, and perhaps scores.

    A candidate that is the query itself is left out; so are further copies of one.

    Args:
        path: the file.
        options: whether to leave faults out.
        texts: by their ids.
        known: similar texts of each query, as another file names them.

    Raises:
        DataError: an id is unknown, a query is its own similar text, or stands there twice, or `known` says otherwise.
    """
    seen: dict[int, tuple[list[int], list[int]]] = {}

    def row(cells: list[str]) -> None:
        if len(cells) < 3:
            raise ValueError(f"has {len(cells)} fields, expected a query, similar texts and candidates")
        query, similar = texts[cells[0]], texts.all_of(cells[1])
        if query in similar:
            raise ValueError(f"{shown(cells[0])} is given as similar to itself")
        if query in seen:
            raise ValueError(f"the query {shown(cells[0])} stands there twice")
        candidates = [i for i in dict.fromkeys(texts.all_of(cells[2])) if i != query]
        listed = {} if known is None else dict.fromkeys((*similar, *candidates), known.get(query, ()))
        for i, own in listed.items():
            if (i in similar) != (i in own):
                name, which = shown(texts.documents.ids[i]), ("", "not ") if i in similar else ("not ", "")
                raise ValueError(f"{name} is {which[0]}similar here, and {which[1]}so among the pairs")
        seen[query] = (list(dict.fromkeys(similar)), candidates)

    for _ in parsed_lines(path, options, row, named("query", "id")):
        pass
    return seen


def queries_with(lists: Mapping[int, tuple[Sequence[int], Sequence[int]]]) -> tuple[list[Query], int]:
    """A query for each of the lists that has a similar text, and the number of the others."""
    queries = [Query(query, tuple(similar), tuple(given)) for query, (similar, given) in lists.items() if similar]
    return queries, len(lists) - len(queries)


def divided(
    given: Mapping[str, Sequence[Query] | None], documents: Sequence[Document], seed: int
) -> dict[str, tuple[Query, ...]]:
    """Queries of the three splits, where dev and test are split off by component if they are not given."""
    train, dev, test = (given.get(split) for split in SPLITS)
    if dev is None and test is None:
        return split_queries(train or (), documents, seed)
    parts = three_way_split(train or (), seed, components_of(train or (), documents), dev=dev, test=test)
    return dict(zip(SPLITS, map(tuple, parts), strict=True))


def say_left_out(name: str, left_out: Mapping[str, int]) -> None:
    """Log how many queries of each split have no similar text."""
    counts = ", ".join(f"{count} {split}" for split, count in left_out.items() if count)
    if counts:
        log.warning("%s: %s queries have no similar text and are left out", name, counts)


def check_any(path: Path, queries: Iterable[object]) -> None:
    """Make sure that a file of pairs holds one.

    Raises:
        DataError: it holds none.
    """
    if not any(True for _ in queries):
        raise DataError(f"{path}: no row can be used; look at its first lines")
