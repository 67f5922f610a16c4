"""A table that is cut into words once and then read from an Arrow file: what `--cache FOLDER` does to tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.cache import build
from pyro_rationale.data.cache.arrow import ArrowFile, Metadata
from pyro_rationale.data.cache.columns import Packed, pack
from pyro_rationale.data.cache.dataset import ArrowDocuments
from pyro_rationale.data.corpora import _table
from pyro_rationale.data.corpora._gold import gold_columns
from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.document import document_maker, words_beyond
from pyro_rationale.data.files.saved_datasets import is_dataset, read_files
from pyro_rationale.data.files.tables import Row
from pyro_rationale.data.files.text import Faults
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.targets import Cell, TargetReader
from pyro_rationale.data.text_lengths import MOST_WORDS, fitting_counts
from pyro_rationale.data.tokenizers import TOKENIZERS

_COUNTED = 10_000
_READER = 4  # counted up when rows or cells of a file are read otherwise than before


def load_cached_table(
    options: DataOptions, spec: TargetSpec | None = None, progress: build.Progress | None = None
) -> Corpus:
    """Load the corpus of :func:`pyro_rationale.data.corpora._table.load_table` from Arrow files in `options.cache`.

    Without `options.max_words`, some of the texts decide how much is read of all; the corpus says how much that is.
    """
    if options.max_words is None:
        options = replace(options, max_words=_fitting_length(options, spec))
    tables = [_CachedTable(path, options, spec, progress) for path in _table.paths(options)]
    return replace(_table.corpus_of(options, spec, tables), max_words=options.max_words)


def _fitting_length(options: DataOptions, spec: TargetSpec | None) -> int:
    """Words to read of each text, by the first `_COUNTED` of each table, and by every tenth of the others."""
    tables = [_table.opened(path, options) for path in _table.paths(options)]
    text, names = _table.columns_of(tables, options, spec)
    make = document_maker(replace(options, max_words=MOST_WORDS))
    lengths, unread = [], 0
    for table in tables:
        for number, row in enumerate(_table.rows_of(table, text, names, ())):
            if number < _COUNTED or number % 10 == 0:
                document = make("", str(row.cells.get(text) or ""))
                lengths.append(len(document.tokens))
                unread += words_beyond(document, MOST_WORDS)
    return fitting_counts(lengths, unread)


class _CachedTable(_table.TableRows):
    """Rows of one table in an Arrow file."""

    def __init__(
        self, path: Path, options: DataOptions, spec: TargetSpec | None, progress: build.Progress | None
    ) -> None:
        self._file = build.cached_file(_source(path, options, spec), options, progress)
        facts = self._file.facts
        faults = Faults(path, options.skip_bad_rows)
        if facts["faults"]:
            faults.add(*facts["first_fault"].split(": ", 1))
            faults.count = facts["faults"]
        faults.rows = facts["rows"]
        columns = tuple(facts["columns"])
        weight = _table.weight_column(columns, options)
        super().__init__(path, columns, facts["unrated"], faults, weight)
        self._columns: dict[int, _Column] = {}

    def __len__(self) -> int:
        return len(self._file)

    def cells(self, i: int, width: int) -> Iterator[Cell]:
        column = self._column(i, width)
        return map(column.different.__getitem__, column.which.tolist())

    def documents(self, reader: TargetReader, names: Sequence[str], weighted: bool = True) -> ArrowDocuments:
        columns = [
            self._column(i, len(names)).read(partial(reader.read, i=i, name=repr(name))) for i, name in enumerate(names)
        ]
        targets, weights = np.stack([values for values, _ in columns], axis=1), None
        if self.weight is not None:
            parse = partial(_table.read_weight, name=repr(self.weight), weighted=weighted)
            columns.append(self._column(len(names), len(names)).read(parse))
            weights = columns[-1][0]
        faults: dict[int, str] = {}
        for _, problems in columns:
            faults = problems | faults
        documents = ArrowDocuments(self._file, np.arange(len(self)), targets, weights=weights)
        for index in sorted(faults):
            self.faults.add(documents[index].id, faults[index])
        return documents.taken(np.delete(np.arange(len(self)), list(faults))) if faults else documents

    def _column(self, i: int, width: int) -> _Column:
        if i not in self._columns:
            self._columns[i] = _Column(self._file, i, width + (self.weight is not None))
        return self._columns[i]


class _Column:
    """Cells of one of `width` columns: the different ones, and which of them each document has."""

    def __init__(self, file: ArrowFile, i: int, width: int) -> None:
        numbers: dict[str | None, int] = {}
        which = [np.zeros(0, np.int32)]
        for _, cells in file.streamed("cells"):
            every = np.arange(i, width * len(cells), width)
            coded = cells.values.take(every).dictionary_encode(null_encoding="encode")
            known = [numbers.setdefault(cell, len(numbers)) for cell in coded.dictionary.to_pylist()]
            which.append(np.array(known, dtype=np.int32)[coded.indices.to_numpy()])
        self.different, self.which = list(numbers), np.concatenate(which)

    def read(self, parse: Callable[[Cell], float]) -> tuple[NDArray[np.float64], dict[int, str]]:
        """The numbers `(N,)`, and the faults of documents whose cell is none such, by their index.

        Args:
            parse: a cell as a number; raises ValueError with what is wrong with it.
        """
        values = np.full(len(self.different), np.nan)
        faults: dict[int, str] = {}
        for number, cell in enumerate(self.different):
            try:
                values[number] = parse(cell)
            except ValueError as error:
                faults[number] = str(error)
        faulty = np.flatnonzero(np.isin(self.which, list(faults))) if faults else ()
        return values[self.which], {int(index): faults[self.which[index]] for index in faulty}


def _source(path: Path, options: DataOptions, spec: TargetSpec | None) -> build.Source:
    names = options.target_column or (spec.names if spec else ())
    if not names:
        _table.columns_of([_table.opened(path, options)], options, spec)  # raises, and says which columns there are
    try:
        files = [file.stat() for file in (read_files(path) if is_dataset(path) else [path])]
    except OSError:
        _table.opened(path, options)  # raises with what is wrong
        raise
    request: dict[str, Any] = {
        "kind": "table",
        "source": str(path.resolve()),
        "text_column": options.text_column,
        "target_columns": list(names),
        "max_words": options.max_words,
    }
    named = ("rationale_column", "weight_column", "encoding", "separator", "header")
    reading = {name: getattr(options, name) for name in named}
    request |= {name: value for name, value in reading.items() if value != getattr(DataOptions, name)}
    state = {
        "bytes": sum(file.st_size for file in files), "modified": max(file.st_mtime_ns for file in files),
        "tokenizer": TOKENIZERS[options.tokenizer].version,
        "reader": _READER,
    }  # fmt: skip
    return build.Source(path.name.partition(".")[0], request, state, partial(_chunks, path, options, spec))


def _chunks(path: Path, options: DataOptions, spec: TargetSpec | None, facts: Metadata) -> Iterator[Packed]:
    table = _table.opened(path, options)
    text, names = _table.columns_of([table], options, spec)
    gold = gold_columns(table, text, options, spec)
    counts = ("rows", "unrated", "cut", "beyond")
    facts |= {"columns": list(table.columns), "faults": 0, "first_fault": "", **dict.fromkeys(counts, 0)}
    weight = _table.weight_column(table.columns, options)
    rows = _table.rows_of(table, text, names, gold, weight)
    jobs = iter(lambda: list(islice(rows, build.CHUNK)), [])
    faults = Faults(path, options.skip_bad_rows)
    for packed in build.in_processes(partial(_pack, text, names, gold, weight, options), jobs, options.workers):
        for where, problem in packed.faults:
            faults.add(where, problem)
        facts |= {name: facts[name] + getattr(packed, name) for name in counts}
        facts |= {"faults": faults.count, "first_fault": faults.first}
        yield packed


def _pack(
    text: str,
    names: tuple[str, ...],
    gold: tuple[str, ...],
    weight: str | None,
    options: DataOptions,
    rows: Sequence[Row],
) -> Packed:
    make, faults, cut = document_maker(options), [], []
    for row in rows:
        try:
            cut.append(_table.cut_row(row, text, names, gold, make, weight))
        except ValueError as error:
            faults.append((row.where, str(error)))
    rated = [pair for pair in cut if pair is not None]
    cells = [row for _, row in rated]
    beyond = [count for document, _ in rated if (count := words_beyond(document, options.max_words))]
    packed = pack([document for document, _ in rated], cells, len(rows), len(cut) - len(rated), faults)
    return replace(packed, cut=len(beyond), beyond=sum(beyond))
