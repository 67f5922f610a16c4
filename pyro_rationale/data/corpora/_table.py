"""Any CSV, TSV, JSON lines or Parquet file as a corpus: `--data FILE --text-column C --target-column D`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import numpy as np

from pyro_rationale.data.cache.dataset import ArrowDocuments, document_weights, taken, target_rows, text_keys
from pyro_rationale.data.corpora._gold import NO_COLUMN, gold_columns, rationales_of
from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.document import Document, document_maker
from pyro_rationale.data.doubts import check_files_alike, warn_of_far_values, warn_of_odd_labels
from pyro_rationale.data.files.tables import Row, Table, check_column, check_filled, read_table
from pyro_rationale.data.files.text import Faults, check_whole, listed, log, shown
from pyro_rationale.data.garbled import Garbled
from pyro_rationale.data.notation import is_date
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.splits import three_way_split
from pyro_rationale.data.targets import (
    Cell,
    TargetReader,
    is_gap,
    read_cell,
    reader_of,
    warn_of_gaps,
)
from pyro_rationale.data.weighting import EQUAL
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.storage import user_path
from pyro_rationale.tasks._cells import MOSTLY, is_number, number_of

FEWEST_ROWS = 10
MOST_UNRATED = 0.5  # share of rows without a target, beyond which the column is likely the wrong one
_LARGE = 1 << 29  # bytes
_MANY = 1000  # texts that tell what a column holds


def load_table(options: DataOptions, spec: TargetSpec | None = None) -> Corpus:
    """Read a table given by path.

    With several targets an empty cell means "not rated" (NaN), and a row without any rating is left out; a single
    target must be there in every row. A column `rationale` holds gold rationales, see
    :func:`pyro_rationale.data.document.make_document`, and a column `rationales` (JSON lines, Parquet) a list of
    them, one per annotator. Copies of one text stay on the same side of the split.

    Args:
        options: `data` (and `dev_data`, `test_data`: files with the same columns; what is not given is split off).
        spec: of a fitted run: its columns (unless others are named), classes and ranges are used.

    Raises:
        DataError: Naming file, row and remedy, for anything that cannot be read as texts with targets.
        ConfigError: If the column options do not go together.
    """
    for path in paths(options):
        if path.is_file() and path.stat().st_size > _LARGE:
            log.warning("%s: is large; --cache FOLDER cuts it into words once and then needs little memory", path)
    tables = [opened(path, options) for path in paths(options)]
    text, names = columns_of(tables, options, spec)
    return corpus_of(options, spec, [_HeldTable(table, text, names, options, spec) for table in tables])


def paths(options: DataOptions) -> list[Path]:
    """Files of the training documents and, where they have their own, of dev and test documents."""
    return [user_path(path) for path in (options.data, options.dev_data, options.test_data) if path]


def opened(path: Path, options: DataOptions) -> Table:
    """A table, read as the options say."""
    return read_table(path, options.encoding, options.delimiter, options.header)


class TableRows(ABC):
    """The usable rows of one table, in memory or in an Arrow file; their targets are still cells.

    Attributes:
        path: the table.
        columns: names of its columns.
        unrated: rows left out because they have none of the targets.
        faults: the unusable rows, and the number of rows in all.
        weight: the column with the weights of the rows, whose cells stand behind those of the targets; `None`: none.
    """

    def __init__(
        self, path: Path, columns: tuple[str, ...], unrated: int, faults: Faults, weight: str | None = None
    ) -> None:
        self.path, self.columns, self.unrated, self.faults, self.weight = path, columns, unrated, faults, weight

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def cells(self, i: int, width: int) -> Iterator[Cell]:
        """Cells of the `i`-th of `width` target columns."""

    @abstractmethod
    def documents(self, reader: TargetReader, names: Sequence[str], weighted: bool = True) -> Sequence[Document]:
        """The documents, with the cells of the columns `names` read as targets; adds to `faults`.

        Their weights are read where there is a column of them; unless `weighted`, only whether they are 0.
        """


class _HeldTable(TableRows):
    """Rows of one table in memory."""

    def __init__(
        self, table: Table, text: str, names: tuple[str, ...], options: DataOptions, spec: TargetSpec | None
    ) -> None:
        faults, make = Faults(table.path, options.skip_bad_rows), document_maker(options)
        gold = gold_columns(table, text, options, spec)
        weight = weight_column(table.columns, options)
        rows = ((row.where, row) for row in rows_of(table, text, names, gold, weight))
        cut = list(faults.parsed(rows, lambda _, row: cut_row(row, text, names, gold, make, weight)))
        self._rated = [pair for pair in cut if pair is not None]
        super().__init__(table.path, table.columns, len(cut) - len(self._rated), faults, weight)

    def __len__(self) -> int:
        return len(self._rated)

    def cells(self, i: int, width: int) -> Iterator[Cell]:
        return (cells[i] for _, cells in self._rated)

    def documents(self, reader: TargetReader, names: Sequence[str], weighted: bool = True) -> tuple[Document, ...]:
        documents = []
        for document, cells in self._rated:
            try:
                targets = tuple(reader.read(cells[i], i, repr(name)) for i, name in enumerate(names))
                weight = 1.0 if self.weight is None else read_weight(cells[-1], repr(self.weight), weighted)
            except ValueError as error:
                self.faults.add(document.id, str(error))
            else:
                documents.append(replace(document, targets=targets, weight=weight))
        return tuple(documents)


def corpus_of(options: DataOptions, spec: TargetSpec | None, tables: Sequence[TableRows]) -> Corpus:
    """A corpus of the rows of one to three tables; see :func:`load_table`."""
    text, names = columns_of(tables, options, spec)
    for table in tables:
        if table.unrated:
            count, rows = table.unrated, table.faults.rows
            if count == rows:
                empty = f"columns {', '.join(map(repr, names))} are" if len(names) > 1 else f"column {names[0]!r} is"
                raise DataError(f"{table.path}: {empty} empty in all {rows} rows; name another with --target-column")
            if count > MOST_UNRATED * rows and not options.skip_bad_rows:
                raise DataError(
                    f"{table.path}: {count} of its {rows} rows have nothing in {', '.join(map(repr, names))}; name "
                    "another --target-column, or leave such rows out: --skip-bad-rows"
                )
            log.warning("%s: left out %d of %d rows that rate none of %s", table.path, count, rows, ", ".join(names))
    if spec is None and not any(map(len, tables)):
        faults = tables[0].faults
        reason = f" (first fault: {faults.first})" if faults.count else "; look at the first ones"
        raise DataError(f"{options.data}: none of its {faults.rows} rows can be used{reason}")
    width = len(names)
    columns = [chain(*(table.cells(i, width) for table in tables)) for i in range(width)]
    fewest = FEWEST_ROWS if spec is None else 1
    _check_enough(tables[0], len(tables[0]), fewest)  # what so few rows hold tells nothing
    reader = reader_of(options.data, names, columns, options.task, options.target_range, spec)
    known = reader.spec
    parts = []
    for table in tables:
        # A fitted run needs no weights, but has to leave out the rows that the fit left out: splits depend on it.
        documents = table.documents(reader, names, weighted=spec is None or options.skip_bad_rows)
        faults = table.faults
        faults.report()
        documents = rows_with_weight(table.path, documents)
        _look_for_faulty(table.path, documents, options.encoding)
        if spec is None:
            EQUAL.relative(documents, f"{table.path}, ")
            _check_texts(table.path, text, documents)
        _check_enough(table, len(documents), fewest)
        parts.append(documents)
        fewest = 1
    if spec is None:
        named = [(str(table.path), part) for table, part in zip(tables, parts, strict=True)]
        warn_of_far_values(known, named, options.target_range is not None)
        warn_of_odd_labels(known, named)
        check_files_alike(known, named, options.target_range is not None)
    first, *given = parts
    dev = given.pop(0) if options.dev_data else None
    test = given.pop(0) if options.test_data else None
    # Documents without a rating make one stratum: NaN as a key would make one of each.
    classes = [None if target != target else target for target in target_rows(first, len(names))[:, 0].tolist()]
    strata = classes if known.classes else None
    splits = three_way_split(first, options.split_seed, text_keys(first), strata, dev=dev, test=test)
    return Corpus(options.data, known, *splits)


def _check_enough(table: TableRows, count: int, fewest: int) -> None:
    """Make sure that so many rows of a table can be used.

    Raises:
        DataError: there are fewer; says how many, and how many it takes.
    """
    if count < fewest:
        faults, are = table.faults, "row" if table.faults.rows == 1 else "rows"
        reason = f" (first fault: {faults.first})" if faults.count else ""
        raise DataError(
            f"{table.path}: {count} of its {faults.rows} {are} can be used{reason}; too few: it takes {fewest} or more"
        )


def _check_texts(path: Path, column: str, documents: Sequence[Document]) -> None:
    """Look at the first texts: numbers alone are no texts, nor are dates.

    Raises:
        ConfigError: most of them are such.
    """
    texts = [document.text.strip() for document in islice(documents, _MANY)]
    for what, is_such in (("numbers", is_number), ("dates or times", is_date)):
        such = list(filter(is_such, texts))
        if texts and len(such) >= MOSTLY * len(texts):
            raise ConfigError(f"{path}: column {column!r} holds {what}, such as {such[0]}; name another --text-column")


def _look_for_faulty(path: Path, documents: Sequence[Document], encoding: str | None) -> None:
    """Log texts that may say that there is none, or are garbled; of an Arrow file, perhaps a large one, the first."""
    most = _MANY if isinstance(documents, ArrowDocuments) else len(documents)
    gaps, garbled = [], Garbled()
    for document in islice(documents, most):
        garbled.add(document.id, document.text)
        if is_gap(document.text):
            gaps.append((document.id, document.text))
    garbled.report(path, encoding)
    warn_of_gaps(path, gaps, str(len(documents)) if most >= len(documents) else f"the first {most}")


def columns_of(
    tables: Sequence[Table | TableRows], options: DataOptions, spec: TargetSpec | None
) -> tuple[str, tuple[str, ...]]:
    """The text column and the target columns, all of them in every file."""
    first = tables[0]
    names = options.target_column or (spec.names if spec else ())
    if len(options.text_columns) > 1:
        raise ConfigError(f"--text-column: names {listed(options.text_columns)}; two texts are for --task ranking")
    text = next(iter(options.text_columns), "text" if "text" in first.columns else "")
    for flag, value in (("--text-column", text), ("--target-column", names)):
        if not value:
            data = any(len(name.split()) > 5 or name.replace(".", "").isdigit() for name in first.columns)
            hint = "; if its first line is no header: --no-header" if data and options.header else ""
            hint = hint or ("; or name another --separator" if len(first.columns) == 1 else "")
            raise ConfigError(f"{first.path}: name a column with {flag}; it has {listed(first.columns)}{hint}")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ConfigError(f"--target-column: names {listed(twice)} twice; name each target once")
    if text in names:
        raise ConfigError(f"--target-column: {text} is the column of the texts; name another, or another --text-column")
    if spec is not None and len(names) != len(spec.names):
        raise ConfigError(f"--target-column: the run predicts {', '.join(spec.names)}; name as many, not {len(names)}")
    if spec is not None and set(names) == set(spec.names) and tuple(names) != tuple(spec.names):
        raise ConfigError(f"--target-column: the run predicts {', '.join(spec.names)}, in this order; name them in it")
    for table in tables:
        check_column(table.path, table.columns, text, "--text-column")
        for name in names:
            check_column(table.path, table.columns, name, "--target-column")
        if isinstance(table, Table):
            check_filled(table, text, "--text-column")
    if options.weight_column is not None and spec is None:
        check_column(first.path, first.columns, options.weight_column, "--weight-column")
        if options.weight_column in (text, *names):
            raise ConfigError(f"--weight-column: {options.weight_column} is the text or a target; name another column")
    if options.rationale_column not in (None, NO_COLUMN) and spec is None:
        check_column(first.path, first.columns, str(options.rationale_column), "--rationale-column")
    return text, names


def weight_column(columns: Sequence[str], options: DataOptions) -> str | None:
    """The column with the weights; `None` if none is named, or a file has none: then its rows count alike."""
    return options.weight_column if options.weight_column in columns else None


def read_weight(cell: Cell, name: str, weighted: bool = True) -> float:
    """A cell of the column with the weights; unless `weighted`, 0 for a weight of 0 and 1 for everything else.

    Raises:
        ValueError: it is no number of 0 or more; the message begins with `name`.
    """
    weight = math.nan if cell is None else number_of(cell)
    if not weighted:
        return float(weight != 0.0)
    if weight is None or not 0.0 <= weight < math.inf:
        raise ValueError(f"{name} is {'empty' if cell is None else shown(cell)}, not a weight of 0 or more")
    return weight


def rows_with_weight(path: Path, documents: Sequence[Document]) -> Sequence[Document]:
    """The documents without those of weight 0, which count as no text at all."""
    weights = document_weights(documents)
    if weights.all():
        return documents
    log.warning("%s: left out %d of %d rows whose weight is 0", path, int((weights == 0).sum()), len(documents))
    return taken(documents, np.flatnonzero(weights))


def rows_of(
    table: Table, text: str, names: Sequence[str], gold: Sequence[str], weight: str | None = None
) -> Iterator[Row]:
    """The rows of a table with the cells that :func:`cut_row` needs."""
    return table.rows((text, *names, *gold, *([] if weight is None else [weight])))


def cut_row(
    row: Row,
    text: str,
    names: Sequence[str],
    gold: Sequence[str],
    make: Callable[..., Document],
    weight: str | None = None,
) -> tuple[Document, tuple[str | None, ...]] | None:
    """Cut a row into words.

    Args:
        row: of a table.
        text: the column with the text.
        names: the columns with the targets.
        gold: the columns with the rationales.
        make: makes documents, see :func:`pyro_rationale.data.document.document_maker`.
        weight: the column with the weight, if there is one.

    Returns:
        A document without targets, and the target cells, with that of the weight behind them; `None` for a row that
        has none of the targets.

    Raises:
        ValueError: It cannot be used; the message says why.
    """
    content = _text(row, text)
    cells = tuple(read_cell(row.cells, name, required=False) for name in names)
    if all(cell is None for cell in cells):
        return None
    try:
        document = make(row.where, content, rationales=rationales_of(row, gold))
    except ValueError as error:
        given = [name for name in gold if row.cells.get(name) is not None]
        hint = f" (if {given[0]!r} holds no rationales: --rationale-column none)" if given else ""
        raise ValueError(f"{error}{hint}") from None
    if not document.tokens:
        raise ValueError("the text holds no word")
    return document, cells if weight is None else (*cells, read_cell(row.cells, weight, required=False))


def _text(row: Row, name: str) -> str | list[str]:
    """The text of a row. Raises ValueError with what is wrong with it."""
    if row.fault:
        raise ValueError(row.fault)
    text = row.cells.get(name)
    if isinstance(text, list):
        if not all(isinstance(word, str) and word.strip() for word in text):
            raise ValueError(f"{name!r} is a list that holds other things than words")
    elif not isinstance(text, str | None):
        raise ValueError(f"{name!r} is {shown(text)}, not a text")
    if not text or (isinstance(text, str) and not text.strip()):
        raise ValueError(f"the text in {name!r} is empty")
    check_whole(f"the text in {name!r}", text)
    return text
