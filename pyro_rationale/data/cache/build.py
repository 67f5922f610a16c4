"""Corpora that are cut into words once and then read from disk: `--cache FOLDER`, for tables and planted reviews.

A cache is good for one source as it was (its size and the time of its last change), for one choice of columns and one
way of cutting texts into words; else it is made again. Split, task and range of the targets are decided at every load
and can be changed freely.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice, pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pyro_rationale.data.cache.arrow import ArrowFile, Metadata
from pyro_rationale.data.cache.columns import Packed, pack
from pyro_rationale.data.cache.dataset import ArrowDocuments
from pyro_rationale.data.cache.sources import kept, watched
from pyro_rationale.data.corpora import _table as tabular
from pyro_rationale.data.corpora import synthetic
from pyro_rationale.data.corpus import Corpus, Document, TargetSpec
from pyro_rationale.data.files.tables import Row, Stream, stream_table
from pyro_rationale.data.files.text import Faults
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.parallel import in_order
from pyro_rationale.data.splits import filled_places
from pyro_rationale.data.targets import Cell, decide_spec
from pyro_rationale.data.tokenize import VERSION
from pyro_rationale.errors import DataError

Job = TypeVar("Job")
CHUNK = 1000  # rows that a process gets at once, and documents of a record batch


def load_prepared_table(paths: Sequence[Path], options: DataOptions, spec: TargetSpec | None) -> Corpus:
    """As :func:`pyro_rationale.data.corpora._table.load_tabular`, from Arrow files in `options.cache`.

    Args:
        paths: of the table, and of those for dev and test if there are any.
        options: as there.
        spec: as there.

    Raises:
        DataError: as there.
        ConfigError: as there.
    """
    files = [_table_file(path, options, spec) for path in paths]
    tables = [Stream(p, tuple(f.facts["columns"]), _no_rows) for p, f in zip(paths, files, strict=True)]
    _, names = tabular.columns_of(tables, options, spec)
    faults = [_faults(path, file, options.skip_bad_rows) for path, file in zip(paths, files, strict=True)]
    for path, file in zip(paths, files, strict=True):
        tabular.report_unrated(path, file.facts["unrated"], file.facts["rows"], names)
    cells = [[_Column(file, i, len(names)) for i in range(len(names))] for file in files]
    known, fewest = spec, 1 if spec else tabular.FEWEST_ROWS
    if known is None:
        if not any(len(file) for file in files):
            raise DataError(f"{options.data}: no row can be used; look at the first ones")
        columns = [[cell for part in cells for cell in part[i].cells()] for i in range(len(names))]
        known = decide_spec(options.data, names, columns, options.task, options.target_range)
    parts = []
    for i, (path, file, fault) in enumerate(zip(paths, files, faults, strict=True)):
        parts.append(_usable(file, cells[i], names, known, fault))
        fault.report(file.facts["rows"])
        tabular.check_enough(path, len(parts[i]), file.facts["rows"], 1 if i else fewest, fault)
    train, dev, test = _split(parts, options, known)
    return Corpus(options.data, known, train, dev, test)


def prepared_reviews(options: DataOptions, aspects: Sequence[str]) -> list[ArrowDocuments]:
    """Planted reviews in an Arrow file in `options.cache`: train, dev and test."""
    sizes = synthetic.sizes(options)
    asked = {name: getattr(options, name) for name in ("documents", "split_seed", "noise", "correlation", "max_words")}
    asked |= {"kind": "synthetic", "aspects": list(aspects)}
    some = list(synthetic.planted_reviews(options, "train", range(20), aspects))  # another grammar writes others
    state = {"grammar": hashlib.blake2b(repr(some).encode(), digest_size=8).hexdigest()}

    def chunks(facts: Metadata) -> Iterator[Packed]:
        jobs = (
            (split, range(start, min(start + CHUNK, count)))
            for split, count in sizes.items()
            for start in range(0, count, CHUNK)
        )
        made = _spread(partial(_pack_reviews, options, tuple(aspects)), jobs, options.workers)
        return watched(made, "planted reviews", sum(sizes.values()))

    file = kept(options, "synthetic", asked, state, chunks)
    ratings = [cells.values.cast("float64").to_numpy() for _, cells in file.streamed("cells")]
    targets = np.concatenate(ratings).reshape(-1, len(aspects))
    ends = np.cumsum([0, *sizes.values()])
    places = [np.arange(start, end) for start, end in pairwise(ends.tolist())]
    return [ArrowDocuments(file, part, targets[part]) for part in places]


def _spread(work: Callable[[Job], Packed], jobs: Iterator[Job], workers: int) -> Iterator[Packed]:
    """`work` of each job, in processes if there are to be several."""
    if workers == 1:
        return map(work, jobs)
    return in_order(work, jobs, ProcessPoolExecutor(workers, get_context("spawn")), 2 * workers)


def _pack_reviews(options: DataOptions, aspects: tuple[str, ...], job: tuple[str, range]) -> Packed:
    return pack(list(synthetic.planted_reviews(options, *job, aspects)))


def _table_file(path: Path, options: DataOptions, spec: TargetSpec | None) -> ArrowFile:
    names = options.target_column or (spec.names if spec else ())
    if not names:
        tabular.columns_of([stream_table(path)], options, spec)  # raises, and says which columns there are
    try:
        now = path.stat()
    except OSError:
        stream_table(path)  # raises with what is wrong
        raise
    asked = {
        "kind": "table",
        "source": str(path.resolve()),
        "text_column": options.text_column,
        "target_columns": list(names),
        "max_words": options.max_words,
    }
    state = {"bytes": now.st_size, "modified": now.st_mtime_ns, "tokenizer": VERSION}

    def chunks(facts: Metadata) -> Iterator[Packed]:
        stream = stream_table(path)
        text, columns = tabular.columns_of([stream], options, spec)
        facts |= {"columns": list(stream.columns), "rows": 0, "unrated": 0, "faults": 0, "first_fault": ""}
        rows = stream.rows((text, *columns, tabular.GOLD_COLUMN, tabular.MAPS_COLUMN))
        jobs = iter(lambda: list(islice(rows, CHUNK)), [])
        faults = Faults(path, options.skip_bad_rows)
        made = _spread(partial(_pack_rows, text, columns, options.max_words), jobs, options.workers)
        for packed in watched(made, path.name, None):
            for where, problem in packed.faults:
                faults.add(where, problem)
            facts["rows"] += packed.rows
            facts["unrated"] += packed.unrated
            facts |= {"faults": faults.count, "first_fault": faults.first}
            yield packed

    return kept(options, path.name.partition(".")[0], asked, state, chunks)


def _pack_rows(text: str, names: tuple[str, ...], max_words: int, rows: Sequence[Row]) -> Packed:
    documents: list[Document] = []
    cells: list[tuple[str | None, ...]] = []
    faults: list[tuple[str, str]] = []
    unrated = 0
    for row in rows:
        try:
            example = tabular.example_of(row, text, names)
            if len(names) > 1 and not any(cell is not None for cell in example.cells):
                unrated += 1
                continue
            documents.append(tabular.document_of(example, (), max_words))
            cells.append(tuple(repr(cell) if isinstance(cell, float) else cell for cell in example.cells))
        except ValueError as error:
            faults.append((row.where, str(error)))
    return pack(documents, cells, len(rows), unrated, faults)


class _Column:
    """The cells of one of `width` targets, told apart once: the different ones, and which of them each document has."""

    def __init__(self, file: ArrowFile, i: int, width: int) -> None:
        numbers: dict[str | None, int] = {}
        which = [np.zeros(0, np.int32)]
        for _, cells in file.streamed("cells"):
            coded = cells.values.take(_every(i, width, len(cells))).dictionary_encode(null_encoding="encode")
            known = [numbers.setdefault(cell, len(numbers)) for cell in coded.dictionary.to_pylist()]
            which.append(np.array(known, dtype=np.int32)[coded.indices.to_numpy()])
        self.different, self.which = list(numbers), np.concatenate(which)

    def cells(self) -> Iterator[Cell]:
        """Of each document."""
        return map(self.different.__getitem__, self.which.tolist())

    def read(self, spec: TargetSpec, i: int, name: str) -> tuple[Any, dict[int, str]]:
        """The targets `(N,)`, and what is wrong, by the places of documents that have none."""
        values = np.full(len(self.different), np.nan)
        wrong: dict[int, str] = {}
        for number, cell in enumerate(self.different):
            try:
                values[number] = tabular.named_target(cell, spec, i, name)
            except ValueError as error:
                wrong[number] = str(error)
        faulty = np.flatnonzero(np.isin(self.which, list(wrong))) if wrong else ()
        return values[self.which], {int(place): wrong[self.which[place]] for place in faulty}


def _every(i: int, width: int, count: int) -> Any:
    return np.arange(i, width * count, width)


def _usable(
    file: ArrowFile, cells: Sequence[_Column], names: Sequence[str], spec: TargetSpec, faults: Faults
) -> ArrowDocuments:
    """The documents of a file whose targets can be used."""
    read = [column.read(spec, i, name) for i, (column, name) in enumerate(zip(cells, names, strict=True))]
    targets = np.stack([values for values, _ in read], axis=1)
    wrong: dict[int, str] = {}
    for _, found in read:
        wrong = found | wrong
    documents = ArrowDocuments(file, np.arange(len(file)), targets)
    for place in sorted(wrong):
        faults.add(documents[place].id, wrong[place])
    return documents.taken(np.delete(np.arange(len(file)), list(wrong))) if wrong else documents


def _faults(path: Path, file: ArrowFile, skip: bool) -> Faults:
    """What was wrong with the rows of a file when it was cut into words.

    Raises:
        DataError: something, and rows may not be left out.
    """
    faults = Faults(path, skip)
    if file.facts["faults"]:
        faults.add(*file.facts["first_fault"].split(": ", 1))
        faults.count = file.facts["faults"]
    return faults


def _split(parts: list[ArrowDocuments], options: DataOptions, spec: TargetSpec) -> list[ArrowDocuments]:
    """Train, dev and test, as a table that is held in memory is split."""
    first, *given = parts
    dev, test = options.dev_data is not None, options.test_data is not None
    groups = first.keys("text_key").tolist()
    assert first.targets is not None
    strata = first.targets[:, 0].tolist() if spec.classes else None
    places = filled_places(len(first), dev, test, options.split_seed, groups, strata)
    split = [first.taken(np.array(part, dtype=np.int64)) for part in places]
    if dev:
        split[1] = given.pop(0)
    if test:
        split[2] = given.pop(0)
    return split


def _no_rows(names: Any) -> Iterator[Row]:
    return iter(())
