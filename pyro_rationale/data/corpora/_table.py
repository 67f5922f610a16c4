"""Any CSV, TSV, JSON lines or Parquet file as a corpus: `--data FILE --text-column C --target-column D`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyro_rationale.data import rationale
from pyro_rationale.data.corpus import Corpus, Document, TargetSpec
from pyro_rationale.data.files.tables import Row, Stream, Table, check_column, read_table
from pyro_rationale.data.files.text import Faults, listed, log, shown
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.splits import filled_splits
from pyro_rationale.data.targets import Cell, cell_of, decide_spec, target_of
from pyro_rationale.errors import ConfigError, DataError

FEWEST_ROWS = 10
_LARGE = 1 << 29  # bytes
GOLD_COLUMN, MAPS_COLUMN = "rationale", "rationales"


@dataclass(frozen=True)
class Example:
    """A row whose text can be used; its targets are still cells."""

    where: str
    text: str | list[str]
    cells: tuple[Cell, ...]
    gold: Any
    maps: list[Any] | None


def load_tabular(options: DataOptions, spec: TargetSpec | None = None) -> Corpus:
    """Read a table given by path.

    With several targets an empty cell means "not rated" (NaN), and a row without any rating is left out; a single
    target must be there in every row. A column `rationale` holds gold rationales, see :func:`rationale.document`,
    and a column `rationales` (JSON lines, Parquet) a list of them, one per annotator.
    Copies of one text stay on the same side of the split.

    Args:
        options: `data` (and `dev_data`, `test_data`: files with the same columns; what is not given is split off).
        spec: of a fitted run: its columns (unless others are named), classes and ranges are used.

    Raises:
        DataError: Naming file, row and remedy, for anything that cannot be read as texts with targets.
        ConfigError: If the column options do not go together.
    """
    paths = [Path(p).expanduser() for p in (options.data, options.dev_data, options.test_data) if p]
    if options.cache is not None:
        from pyro_rationale.data.cache.build import load_prepared_table

        return load_prepared_table(paths, options, spec)
    for path in paths:
        if path.is_file() and path.stat().st_size > _LARGE:
            log.warning("%s: is large; --cache FOLDER cuts it into words once and then needs little memory", path)
    tables = [read_table(path) for path in paths]
    text_column, names = columns_of(tables, options, spec)
    faults = [Faults(path, options.skip_bad_rows) for path in paths]
    found = [_examples(t, f, text_column, names) for t, f in zip(tables, faults, strict=True)]
    known = spec or _new_spec(options, names, found)
    parts = [_documents(e, f, known, names, options.max_words) for e, f in zip(found, faults, strict=True)]
    fewest = FEWEST_ROWS if spec is None else 1
    for i, (table, fault, part) in enumerate(zip(tables, faults, parts, strict=True)):
        fault.report(len(table.rows))
        check_enough(table.path, len(part), len(table.rows), 1 if i else fewest, fault)
    return Corpus(options.data, known, *_split(options, known, parts))


def check_enough(path: Path, usable: int, rows: int, fewest: int, faults: Faults) -> None:
    """Make sure that a file has enough rows.

    Raises:
        DataError: It has not.
    """
    if usable < fewest:
        reason = f" (first fault: {faults.first})" if faults.count else ""
        raise DataError(f"{path}: {usable} of its {rows} rows can be used{reason}; too few")


def columns_of(
    tables: Sequence[Table | Stream], options: DataOptions, spec: TargetSpec | None
) -> tuple[str, tuple[str, ...]]:
    """The text column and the target columns, all of them in every file."""
    first = tables[0]
    names = options.target_column or (spec.names if spec else ())
    text = options.text_column or ("text" if "text" in first.columns else "")
    for flag, value in (("--text-column", text), ("--target-column", names)):
        if not value:
            raise ConfigError(f"{first.path}: name a column with {flag}; it has {listed(first.columns)}")
    if len({text, *names}) < 1 + len(names):
        raise ConfigError(f"--text-column and --target-column: {', '.join((text, *names))} names a column twice")
    if spec is not None and len(names) != len(spec.names):
        raise ConfigError(
            f"--target-column: the run predicts {', '.join(spec.names)}; name as many, not {len(names)}"
        )
    for table in tables:
        check_column(table.path, table.columns, text, "--text-column")
        for name in names:
            check_column(table.path, table.columns, name, "--target-column")
    return text, names


def _examples(table: Table, faults: Faults, text_column: str, names: tuple[str, ...]) -> list[Example]:
    examples = []
    unrated = 0
    for row in table.rows:
        try:
            example = example_of(row, text_column, names)
        except ValueError as error:
            faults.add(row.where, str(error))
            continue
        if len(names) > 1 and not any(cell is not None for cell in example.cells):
            unrated += 1
        else:
            examples.append(example)
    report_unrated(table.path, unrated, len(table.rows), names)
    return examples


def report_unrated(path: Path, unrated: int, rows: int, names: Sequence[str]) -> None:
    """Say in one line how many of `rows` rows were left out since they have no target at all."""
    if unrated:
        log.warning("%s: left out %d of %d rows that rate none of %s", path, unrated, rows, ", ".join(names))


def example_of(row: Row, text_column: str, names: tuple[str, ...]) -> Example:
    """A row's text and target cells. Raises ValueError with what is wrong with the row."""
    if row.fault:
        raise ValueError(row.fault)
    text = row.cells.get(text_column)
    if isinstance(text, list):
        if not all(isinstance(word, str) and word.strip() for word in text):
            raise ValueError(f"{text_column!r} is a list that holds other things than words")
    elif text is not None and not isinstance(text, str):
        raise ValueError(f"{text_column!r} is {shown(text)}, not a text")
    if not text or (isinstance(text, str) and not text.strip()):
        raise ValueError(f"the text in {text_column!r} is empty")
    try:
        "".join(text).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"the text in {text_column!r} holds half a character (a lone surrogate)") from None
    cells = []
    for name in names:
        try:
            cell = cell_of(row.cells.get(name))
        except ValueError as error:
            raise ValueError(f"{name!r} {error}") from None
        if cell is None and len(names) == 1:
            raise ValueError(f"{name!r} is empty")
        cells.append(cell)
    gold, maps = (row.cells.get(name) for name in (GOLD_COLUMN, MAPS_COLUMN))
    return Example(row.where, text, tuple(cells), gold, maps if isinstance(maps, list) else None)


def _new_spec(options: DataOptions, names: tuple[str, ...], found: list[list[Example]]) -> TargetSpec:
    examples = [example for part in found for example in part]
    if not examples:
        raise DataError(f"{options.data}: no row can be used; look at the first ones")
    columns = [[example.cells[i] for example in examples] for i in range(len(names))]
    return decide_spec(options.data, names, columns, options.task, options.target_range)


def _documents(
    examples: list[Example], faults: Faults, spec: TargetSpec, names: tuple[str, ...], max_words: int
) -> list[Document]:
    documents = []
    for example in examples:
        try:
            targets = [
                named_target(cell, spec, i, name)
                for i, (cell, name) in enumerate(zip(example.cells, names, strict=True))
            ]
            document = document_of(example, targets, max_words)
        except ValueError as error:
            faults.add(example.where, str(error))
        else:
            documents.append(document)
    return documents


def document_of(example: Example, targets: Sequence[float], max_words: int) -> Document:
    """A row as a document. Raises ValueError with what is wrong with its text or its rationale."""
    where, text = example.where, example.text
    if example.maps:
        document = rationale.document_of_several(where, text, example.maps, targets, max_words)
    else:
        document = rationale.document(where, text, example.gold, targets, max_words)
    if not document.tokens:
        raise ValueError("the text holds no word")
    return document


def named_target(cell: Cell, spec: TargetSpec, i: int, name: str) -> float:
    """A cell of the `i`-th target column as a number. Raises ValueError with the column's name."""
    try:
        return target_of(cell, spec, i)
    except ValueError as error:
        raise ValueError(f"{name!r} {error}") from None


def _split(
    options: DataOptions, spec: TargetSpec, parts: list[list[Document]]
) -> tuple[tuple[Document, ...], tuple[Document, ...], tuple[Document, ...]]:
    """Train, dev and test; copies of a text stay together, classes keep their shares."""
    first, *given = parts
    dev = given.pop(0) if options.dev_data else None
    test = given.pop(0) if options.test_data else None
    groups = [document.text for document in first]
    strata = [document.targets[0] for document in first] if spec.classes else None
    return filled_splits(first, dev, test, options.split_seed, groups, strata)
