"""Cells of a benchmark: fit, then measure, and keep both; several processes may share them.

A cell is made in two phases that nothing connects but the fitted marker. Fitting and the search for levels get the
training and development texts, without gold, and no test text at all; measuring gets the test texts and can change
nothing any more. So there is nothing that could be chosen on test labels.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from pyro_rationale.config import Config
from pyro_rationale.data import load_corpus
from pyro_rationale.data.corpus import Corpus, Document, TargetSpec
from pyro_rationale.errors import ConfigError, DataError, RunError
from pyro_rationale.evaluation.evaluate import targets_of
from pyro_rationale.evaluation.metrics import Metrics, Predictions
from pyro_rationale.evaluation.metrics.prediction import prediction_statistics
from pyro_rationale.evaluation.rate_curves import Curve, Marks, marks_of, measure, trace, ways_of
from pyro_rationale.experiments.baselines.methods import METHODS, fit_method
from pyro_rationale.experiments.benchmark.spec import Cell, CorpusPlan, Plan
from pyro_rationale.fitted import CONFIG
from pyro_rationale.prediction.predictor import Mask, unlabelled
from pyro_rationale.prediction.rationalizer import Rationalizer
from pyro_rationale.storage import read_json, write_bytes
from pyro_rationale.tasks import task_of

FORMAT = 1
CELL, DOCUMENTS, FIT, LOCK = "cell.json", "documents.json", "fit", "lock"
FREE = ("device", "threads")  # options by which a finished cell may differ from what is asked now
OWN, MATCHED, PRIOR = "own", "matched", "prior"
VIEWS = {
    OWN: "its own masks",
    MATCHED: "words above one threshold of the marginals, at the target rate",
    PRIOR: "its masks under a prior of the target rate",
}
STATES = ("finished", "being made", "interrupted", "missing")


@dataclass(frozen=True)
class Chosen:
    """What selection has settled, before any test text is seen.

    Attributes:
        marker: fitted.
        levels: by view, the threshold or the price of a word that meets the target rate on development texts.
    """

    marker: Rationalizer
    levels: dict[str, float]


class Corpora:
    """The corpora of a plan, each read once.

    Args:
        plan: the benchmark.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._read: dict[str, Corpus] = {}

    def __getitem__(self, own: CorpusPlan) -> Corpus:
        """The corpus.

        Raises:
            DataError: it cannot be read, or has no test or development texts.
        """
        if own.name not in self._read:
            corpus = load_corpus(self.plan.data(own))
            for split in ("dev", "test"):
                if not getattr(corpus, split):
                    raise DataError(f"corpora.{own.name}: no text in the {split} split; name a file for it")
            self._read[own.name] = corpus
        return self._read[own.name]


def for_selection(corpus: Corpus) -> Corpus:
    """The corpus as fitting may see it: no test text, and no gold anywhere."""
    train, dev = (
        tuple(replace(document, gold=None, opinion=None, maps=None) for document in documents)
        for documents in (corpus.train, corpus.dev)
    )
    return replace(corpus, train=train, dev=dev, test=())


def select(method: str, config: Config, corpus: Corpus, folder: Path) -> Chosen:
    """Fit, and find the levels; `corpus` is what `for_selection` leaves."""
    marker = fit_method(method, config, corpus, folder)
    texts = [unlabelled(document) for document in corpus.dev]
    levels = {}
    for view, way in ((MATCHED, "threshold"), (PRIOR, "prior")):
        marks = _marks(marker, texts, way)
        if marks is not None:
            levels[view] = marks.level(config.model.rate)
    return Chosen(marker, levels)


def _marks(marker: Rationalizer, texts: Sequence[Document], way: str) -> Marks | None:
    """`None` where a way makes no sense: no prior, or marginals that rank no word above another."""
    if way not in ways_of(marker):
        return None
    if way == "threshold" and len({float(score) for row in marker.marginals(texts) for score in row}) < 2:
        return None
    return marks_of(marker, texts, way)


@dataclass(frozen=True)
class Measured:
    """A cell's figures.

    Attributes:
        views: by view, metrics with `level`.
        documents: per test document `ids`, `words`, `gold` (`None` where there is none), `known` (targets) and, in
            `views`, by view `hits`, `kept` and `cost` (squared error, or targets that were right, summed).
        curves: of the model at other rates.
    """

    views: dict[str, Metrics]
    documents: dict[str, Any]
    curves: list[Curve]


def measure_cell(chosen: Chosen, corpus: Corpus, rates: Sequence[float] = ()) -> Measured:
    """The test texts, at last.

    Args:
        chosen: fitted, with levels.
        corpus: whole.
        rates: for curves; their thresholds and prices come from development texts as well.
    """
    marker, documents = chosen.marker, corpus.test
    texts = [unlabelled(document) for document in documents]
    masks: dict[str, list[Mask]] = {OWN: marker.masks(texts)}
    for view, way in ((MATCHED, "threshold"), (PRIOR, "prior")):
        if view in chosen.levels:
            masks[view] = marks_of(marker, texts, way).at(chosen.levels[view])
    views = {
        view: {"level": chosen.levels.get(view)} | measure(marker, documents, found) for view, found in masks.items()
    }
    curves = []
    if rates:
        dev = [unlabelled(document) for document in corpus.dev]
        ways = [way for way in ways_of(marker) if _marks(marker, dev, way) is not None]
        curves = [trace(marker, documents, way, rates, levels_from=dev) for way in ways]
    return Measured(views, per_document(marker, documents, masks), curves)


def per_document(marker: Rationalizer, documents: Sequence[Document], masks: dict[str, list[Mask]]) -> dict[str, Any]:
    """What `Measured.documents` holds."""
    targets = targets_of(documents, marker.spec)
    texts = [unlabelled(document) for document in documents]
    gold = [None if d.gold is None else np.asarray(d.gold, dtype=bool) for d in documents]
    found: dict[str, Any] = {
        "ids": [document.id for document in documents],
        "words": [len(document.tokens) for document in documents],
        "gold": [None if marked is None else int(marked.sum()) for marked in gold],
        "known": (~np.isnan(targets)).sum(1).tolist(),
        "views": {},
    }
    for view, own in masks.items():
        values = marker.predict(texts, own)
        found["views"][view] = {
            "hits": [_hits(marked, mask) for marked, mask in zip(gold, own, strict=True)],
            "kept": [int(sum(mask)) for mask in own],
            "cost": _costs(marker.spec, Predictions(values, targets)),
        }
    return found


def _hits(marked: NDArray[np.bool_] | None, mask: Mask) -> int:
    return 0 if marked is None else int((marked & np.asarray(mask, dtype=bool)).sum())


def _costs(spec: TargetSpec, predictions: Predictions) -> list[float]:
    statistics = prediction_statistics(spec, predictions)
    if not statistics:
        return [0.0] * len(predictions.targets)
    return [float(value) for value in statistics[task_of(spec).cost_name].table[:, 0]]


class GridRunner:
    """Makes the cells of a plan, or reads those that are there.

    Args:
        plan: the benchmark.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.corpora = Corpora(plan)

    def folder(self, cell: Cell) -> Path:
        """Where a cell is."""
        return self.plan.out / cell.path

    def config(self, cell: Cell) -> Config:
        """Its configuration; the corpus is read if the rate is a multiple of its gold share."""
        share = cell.rate.number
        if cell.rate.of_gold:
            share = cell.rate.share(self.corpora[cell.corpus], cell.corpus.name)
        return self.plan.config(cell, share)

    def state(self, cell: Cell) -> str:
        """One of `STATES`."""
        folder = self.folder(cell)
        if (folder / CELL).exists():
            return "finished"
        if (folder / LOCK).exists() and not _free(folder / LOCK):
            return "being made"
        return "interrupted" if (folder / FIT / CONFIG).exists() else "missing"

    @contextmanager
    def held(self, cell: Cell) -> Iterator[bool]:
        """Whether the cell is ours to make; nobody else gets it inside. The lock goes with the process that has it."""
        folder = self.folder(cell)
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def make(self, cell: Cell) -> None:
        """Fit and measure, unless the cell is finished; a fit that was cut short is taken up.

        Raises:
            RationaleError: the corpus, the configuration or the fit cannot be used.
        """
        folder = self.folder(cell)
        config = self.config(cell)
        if (folder / CELL).exists():
            self.read(cell)
            return
        corpus = self.corpora[cell.corpus]
        torch.set_num_threads(config.train.threads)
        torch.set_flush_denormal(True)
        resumed, started = (folder / FIT / CONFIG).exists(), time.process_time()
        chosen = select(cell.method, config, for_selection(corpus), folder / FIT)
        seconds = time.process_time() - started
        measured = measure_cell(chosen, corpus, self.plan.curve)
        facts = {
            "format": FORMAT,
            "corpus": cell.corpus.name,
            "rate": {"label": cell.rate.label, "share": config.model.rate},
            "method": cell.method,
            "title": METHODS[cell.method].title,
            "seed": cell.seed,
            "kind": corpus.spec.kind,
            "config": config.to_dict(),
            "seconds": None if resumed else round(seconds, 2),  # of this process: what came before is not known
            "views": measured.views,
            "curves": [asdict(curve) for curve in measured.curves],
        }
        _write(folder / DOCUMENTS, measured.documents)
        _write(folder / CELL, facts)

    def read(self, cell: Cell) -> dict[str, Any]:
        """A finished cell's figures.

        Raises:
            RunError: the file is damaged or of another version.
            ConfigError: it was made with other options than the plan's.
        """
        path = self.folder(cell) / CELL
        facts = read_json(path)
        if not isinstance(facts, dict) or facts.get("format") != FORMAT or "views" not in facts:
            raise RunError(f"{path}: no cell of this version; delete {path.parent} and run the benchmark again")
        check_same(facts, self.config(cell), path.parent)
        return facts

    def documents(self, cell: Cell) -> dict[str, Any]:
        """A finished cell's counts per document.

        Raises:
            RunError: the file is missing or damaged.
        """
        found: dict[str, Any] = read_json(self.folder(cell) / DOCUMENTS)
        return found


def check_same(facts: dict[str, Any], config: Config, folder: Path) -> None:
    """Make sure that a finished cell is the one that is asked for.

    Raises:
        ConfigError: it was made with other options.
    """
    made = Config.from_dict(facts["config"]).to_dict()  # an option that is younger than the cell had its default
    for part, values in config.to_dict().items():
        for name, value in values.items():
            known = made[part][name]
            if known != value and name not in FREE:
                raise ConfigError(
                    f"{folder}: was made with {name} = {known}, and the file asks for {value}; name another out, or "
                    "delete that folder"
                )


def _free(path: Path) -> bool:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    lock.release()
    return True


def _write(path: Path, value: Any) -> None:
    """Strict JSON on one line: there are thousands of counts."""
    finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
    write_bytes(path, (json.dumps(finite, ensure_ascii=False, separators=(",", ":")) + "\n").encode())
