"""A table of two texts a row, with or without a label: `--task ranking --data FILE --text-column A --text-column B`.

Quora's question pairs and SemEval-2016 task 3 B, exported to CSV, are such tables.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyro_rationale.data.compact import CompactDocuments
from pyro_rationale.data.corpora import CorpusLoader
from pyro_rationale.data.corpora._pair_files import divided
from pyro_rationale.data.corpora._table import opened
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import Document, document_maker
from pyro_rationale.data.files.tables import Row, check_column, check_filled
from pyro_rationale.data.files.text import Faults, check_whole, listed, shown
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.pairs import PairCorpus, Query, check_spec, pair_corpus
from pyro_rationale.data.targets import is_gap
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.storage import user_path

_YES = {"1", "1.0", "true", "yes", "y", "duplicate", "similar", "relevant", "perfectmatch", "good"}
_NO = {"0", "0.0", "false", "no", "n", "different", "irrelevant", "bad"}
_FEWEST_JUDGED = 5  # texts beside a query that make a list to rank


class _Pairs:
    """Texts, each once, and the rows that name them."""

    def __init__(self, make: Callable[..., Document]) -> None:
        self.make = make
        self.documents: list[Document] = []
        self.number: dict[str, int] = {}
        self.second: dict[int, None] = {}  # texts of the second column

    def index(self, id: str, text: str) -> int:
        """Index of a text, which gets a document of this id if it is new."""
        number = self.number.get(text)
        if number is None:
            check_whole("the text", text)
            document = self.make(id, text)
            if not document.tokens:
                raise ValueError(f"{shown(text)} holds no word")
            number = self.number[text] = len(self.documents)
            self.documents.append(document)
        return number


def load_pair_table(options: DataOptions, spec: TargetSpec | None = None) -> PairCorpus:
    """Read a table of two texts a row.

    With `--target-column`, a row says whether its texts are similar (1 or 0, true or false, yes or no, duplicate,
    relevant), in both directions. A query that is judged beside five texts or more has these as its candidates.
    Without it every row is a query and a text that is similar to it, and a search finds texts of the second column. A
    text that stands in several rows is one document.

    Args:
        options: `data` (and `dev_data`, `test_data`: tables with the same columns; what is not given is split off, by
            component).
        spec: of a fitted run.

    Raises:
        DataError: a file, column or row cannot be used.
        ConfigError: the columns are not named.
    """
    columns = options.text_columns
    check_spec(options.data, spec)
    if len(options.target_column) > 1:
        raise ConfigError(f"--target-column: names {listed(options.target_column)}; one column says what is similar")
    label = next(iter(options.target_column), None)
    pairs = _Pairs(document_maker(options))
    given: dict[str, list[Query] | None] = {}
    files = {"train": options.data, "dev": options.dev_data, "test": options.test_data}
    for split, name in files.items():
        given[split] = None if name is None else _queries(user_path(name), options, columns, label, pairs)
    if not (given["train"] if spec is None else any(given.values())):
        by = "" if label is None else f" by column {label!r}"
        remedy = "look at its first rows, and at --target-column"
        raise DataError(f"{options.data}: no row has two similar texts{by}; {remedy}")
    documents = CompactDocuments(pairs.documents)
    queries = divided(given, documents, options.split_seed)
    return pair_corpus(options.data, documents, queries, None if label else sorted(pairs.second))


def _queries(
    path: Path, options: DataOptions, columns: tuple[str, ...], label: str | None, pairs: _Pairs
) -> list[Query]:
    table, faults = opened(path, options), Faults(path, options.skip_bad_rows)
    if len(columns) != 2:
        raise ConfigError(
            f"{path}: name the two columns with texts, --text-column A --text-column B; it has "
            f"{listed(table.columns)}; for groups of texts that ask the same: --data clusters:{path}"
        )
    for name in columns:
        check_column(path, table.columns, name, "--text-column")
        check_filled(table, name, "--text-column")
    if label is not None:
        check_column(path, table.columns, label, "--target-column")
        check_filled(table, label, "--target-column")
    similar: dict[int, dict[int, None]] = {}
    judged: dict[int, dict[int, None]] = {}
    said: dict[tuple[int, int], tuple[bool, str]] = {}

    def parse(where: str, row: Row) -> None:
        yes = True if label is None else _similar(row, label)
        first, second = (pairs.index(f"{where} {name}", _text(row, name)) for name in columns)
        if first == second:
            raise ValueError("holds the same text twice")
        known, place = said.setdefault((min(first, second), max(first, second)), (yes, where))
        if known != yes:
            raise ValueError(f"says that its texts are {'' if yes else 'not '}similar, and {place} says the opposite")
        pairs.second[second] = None
        for one, other in ((first, second), (second, first))[: 1 if label is None else 2]:
            judged.setdefault(one, {})[other] = None
            if yes:
                similar.setdefault(one, {})[other] = None

    needed = [*columns, *([label] if label else [])]
    for _ in faults.parsed(((row.where, row) for row in table.rows(needed)), parse):
        pass
    faults.report()
    return [
        Query(one, tuple(found), tuple(judged[one]) if len(judged[one]) >= _FEWEST_JUDGED else ())
        for one, found in similar.items()
    ]


def _text(row: Row, name: str) -> str:
    if row.fault:
        raise ValueError(row.fault)
    value: Any = row.cells.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"the text in {name!r} is {'empty' if not value or isinstance(value, str) else shown(value)}")
    if is_gap(value.strip()):  # one text that is similar to all that stand beside it
        raise ValueError(f"the text in {name!r} is {shown(value.strip())}, as if nothing were there")
    return value.strip()


def _similar(row: Row, label: str) -> bool:
    if row.fault:
        raise ValueError(row.fault)
    cell = str(row.cells.get(label)).strip().lower().replace(" ", "")
    if cell not in _YES | _NO:
        raise ValueError(f"{label!r} is {shown(row.cells.get(label))}, expected 1 or 0, yes or no, duplicate, relevant")
    return cell in _YES


PAIR_TABLE = CorpusLoader(
    load_pair_table,
    "a table of two texts a row, and of whether they are similar",
    options=(
        "text_column", "target_column", "encoding", "separator", "dev_data", "test_data",
    ),
    pairs=True,
)  # fmt: skip
