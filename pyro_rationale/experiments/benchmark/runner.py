"""Cells of a benchmark: fit, then measure, and keep both; several processes may share them.

A cell is made in two phases that nothing connects but the fitted rationalizer. Fitting and the search for levels get
the training and development texts, without gold, and no test text at all; measuring gets the test texts and can change
nothing any more. So nothing can be chosen on test labels.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus, Document, TargetSpec
from pyro_rationale.data.row_digests import row_digests
from pyro_rationale.evaluation.metrics import Metrics, Predictions, targets_of
from pyro_rationale.evaluation.metrics.prediction import prediction_statistics
from pyro_rationale.evaluation.rate_curves import Curve, MaskRule, mask_rule, mask_rules_of, measure, trace
from pyro_rationale.experiments.baselines import find_method, fit_method
from pyro_rationale.experiments.benchmark.spec import Cell, CorpusPlan, Plan
from pyro_rationale.experiments.grid import GridRunner
from pyro_rationale.experiments.same_fit import check_same_settings
from pyro_rationale.experiments.sample_texts import read_corpus
from pyro_rationale.experiments.yardsticks import rule_of
from pyro_rationale.prediction.decoding import Mask, unlabelled
from pyro_rationale.prediction.rationalizer import Rationalizer
from pyro_rationale.run_files import CONFIG
from pyro_rationale.storage import note, read_json, to_json, write_bytes
from pyro_rationale.tasks import Decision, task_of

CELL, DOCUMENTS, FIT, JUDGE = "cell.json", "documents.json", "fit", "judge"
OWN, MATCHED, PRIOR = "own", "matched", "prior"
VIEWS = {
    OWN: "its own masks",
    MATCHED: "words above one threshold of the marginals, at the target rate",
    PRIOR: "its masks under a prior of the target rate",
}


@dataclass(frozen=True)
class Selected:
    """A fitted method and its levels, settled before any test text is seen.

    Attributes:
        rationalizer: the fitted method.
        levels: by view, the threshold or the price of a word that meets the target rate on development texts.
    """

    rationalizer: Rationalizer
    levels: dict[str, float]


class Corpora:
    """The corpora of a plan, each read once.

    Args:
        plan: the benchmark.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._read: dict[str, Corpus] = {}
        self._rows: dict[str, dict[str, str]] = {}

    def __getitem__(self, own: CorpusPlan) -> Corpus:
        """The corpus.

        Raises:
            DataError: it cannot be read, or has no test or development texts.
        """
        if own.name not in self._read:
            self._read[own.name] = read_corpus(own.name, self.plan.data(own), own.texts, ("dev", "test"))
        return self._read[own.name]

    def rows(self, own: CorpusPlan) -> dict[str, str]:
        """Digests of the rows of a corpus."""
        if own.name not in self._rows:
            self._rows[own.name] = row_digests(self[own])
        return self._rows[own.name]


def for_selection(corpus: Corpus) -> Corpus:
    """A corpus without test texts and without any gold: what fitting may see."""
    train, dev = (
        tuple(replace(document, gold=None, opinion=None, maps=None, rationales=None) for document in documents)
        for documents in (corpus.train, corpus.dev)
    )
    return replace(corpus, train=train, dev=dev, test=())


def select(method: str, config: Config, corpus: Corpus, folder: Path, settings: Any = None) -> Selected:
    """Fit a method, with settings of its own, and find its levels, on a corpus from `for_selection`."""
    rationalizer = fit_method(method, config, corpus, folder, settings)
    texts = [unlabelled(document) for document in corpus.dev]
    if config.train.decides_by_f1 and getattr(rationalizer, "decision", None) is None and corpus.spec.classes:
        rationalizer = Deciding(rationalizer, rule_of(rationalizer, corpus, rationalizer.masks))
    levels = {}
    for view, way in ((MATCHED, "threshold"), (PRIOR, "prior")):
        marks = _marks(rationalizer, texts, way)
        if marks is not None:
            levels[view] = marks.level(config.model.rate)
    return Selected(rationalizer, levels)


class Deciding:
    """A rationalizer that names classes by a rule; all else is its own."""

    def __init__(self, rationalizer: Rationalizer, decision: Decision | None) -> None:
        self.rationalizer, self.decision = rationalizer, decision

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rationalizer, name)


def _marks(rationalizer: Rationalizer, texts: Sequence[Document], way: str) -> MaskRule | None:
    """Masks of a rationalizer by a selection rule; `None` without a prior, or if the marginals rank no words."""
    if way not in mask_rules_of(rationalizer):
        return None
    if way == "threshold" and len({float(score) for row in rationalizer.marginals(texts) for score in row}) < 2:
        return None
    return mask_rule(rationalizer, texts, way)


@dataclass(frozen=True)
class Measured:
    """A cell's figures.

    Attributes:
        views: by view, metrics with `level`.
        documents: per test document `ids`, `words`, `gold` (`None` where there is none), `known` (targets) and, in
            `views`, by view `hits`, `kept` and `cost` (squared error, or targets that were right, summed).
        curves: of the model at other rates.
        rows: digests of the rows of every split.
        per_text: seconds of this process for the masks of a test text.
    """

    views: dict[str, Metrics]
    documents: dict[str, Any]
    curves: list[Curve]
    rows: dict[str, str]
    per_text: float = 0.0


def measure_cell(
    selected: Selected, corpus: Corpus, rates: Sequence[float] = (), judge: Rationalizer | None = None
) -> Measured:
    """Measure a method on the test texts.

    Args:
        selected: the method.
        corpus: the whole corpus.
        rates: for curves; their thresholds and prices come from development texts as well.
        judge: before whom comprehensiveness and sufficiency are measured.
    """
    rationalizer, documents = selected.rationalizer, corpus.test
    texts = [unlabelled(document) for document in documents]
    started = time.process_time()
    masks: dict[str, list[Mask]] = {OWN: rationalizer.masks(texts)}
    per_text = (time.process_time() - started) / len(texts)
    for view, way in ((MATCHED, "threshold"), (PRIOR, "prior")):
        if view in selected.levels:
            masks[view] = mask_rule(rationalizer, texts, way).at(selected.levels[view])
    views = {
        view: {"level": selected.levels.get(view)} | measure(rationalizer, documents, own, judge)
        for view, own in masks.items()
    }
    curves = []
    if rates:
        dev = [unlabelled(document) for document in corpus.dev]
        ways = [way for way in mask_rules_of(rationalizer) if _marks(rationalizer, dev, way) is not None]
        curves = [trace(rationalizer, documents, way, rates, levels_from=dev) for way in ways]
    return Measured(views, per_document(rationalizer, documents, masks), curves, row_digests(corpus), per_text)


def per_document(
    rationalizer: Rationalizer, documents: Sequence[Document], masks: dict[str, list[Mask]]
) -> dict[str, Any]:
    """Counts per document; see `Measured.documents`."""
    targets = targets_of(documents, rationalizer.spec)
    texts = [unlabelled(document) for document in documents]
    gold = [None if d.gold is None else np.asarray(d.gold, dtype=bool) for d in documents]
    counts: dict[str, Any] = {
        "ids": [document.id for document in documents],
        "words": [len(document.tokens) for document in documents],
        "gold": [None if marked is None else int(marked.sum()) for marked in gold],
        "known": (~np.isnan(targets)).sum(1).tolist(),
        "views": {},
    }
    for view, own in masks.items():
        values = rationalizer.predict(texts, own)
        counts["views"][view] = {
            "hits": [_hits(marked, mask) for marked, mask in zip(gold, own, strict=True)],
            "kept": [int(sum(mask)) for mask in own],
            "cost": _costs(rationalizer.spec, Predictions(values, targets, getattr(rationalizer, "decision", None))),
        }
    return counts


def _hits(marked: NDArray[np.bool_] | None, mask: Mask) -> int:
    return 0 if marked is None else int((marked & np.asarray(mask, dtype=bool)).sum())


def _costs(spec: TargetSpec, predictions: Predictions) -> list[float]:
    statistics = prediction_statistics(spec, predictions)
    if not statistics:
        return [0.0] * len(predictions.targets)
    return [float(value) for value in statistics[task_of(spec).cost_name].table[:, 0]]


class BenchmarkRunner(GridRunner[Cell]):
    """Runs the cells of a benchmark, or reads those that are finished.

    Args:
        plan: the benchmark.
    """

    result, fit, required = CELL, FIT, frozenset({"views"})

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.corpora = Corpora(plan)

    def folder(self, cell: Cell) -> Path:
        """Folder of a cell."""
        return self.plan.out / cell.path

    def config(self, cell: Cell) -> Config:
        """Configuration of a cell; the corpus is read if the rate is a multiple of its gold share."""
        share = cell.rate.number
        if cell.rate.of_gold:
            share = cell.rate.share(self.corpora[cell.corpus], cell.corpus.name)
        return self.plan.config(cell, share)

    def rows(self, cell: Cell) -> dict[str, str]:
        """Digests of the rows that the corpus of a cell holds now."""
        return self.corpora.rows(cell.corpus)

    def measure(self, cell: Cell, config: Config) -> dict[str, Any]:
        """Fit and measure a cell; counts per document go into a file of their own."""
        corpus, folder = self.corpora[cell.corpus], self.fit_folder(cell)
        settings = self.plan.settings(cell)
        resumed, started = (folder / CONFIG).exists(), time.process_time()
        selected = select(cell.method, config, for_selection(corpus), folder, settings)
        seconds = time.process_time() - started
        measured = measure_cell(selected, corpus, self.plan.curve, self.judge(cell))
        note(self.folder(cell), rows=measured.rows)
        counts = to_json(measured.documents) + "\n"  # on one line: there are thousands
        write_bytes(self.folder(cell) / DOCUMENTS, counts.encode(), listed=True)
        return {
            "corpus": cell.corpus.name,
            "rate": {"label": cell.rate.label, "share": config.model.rate},
            "method": cell.method,
            "title": find_method(cell.method).title,
            "seed": cell.seed,
            "settings": None if settings is None else asdict(settings),
            "kind": corpus.spec.kind,
            "seconds": None if resumed else round(seconds, 2),  # of this process: what came before is not known
            "seconds_per_text": measured.per_text,
            "views": measured.views,
            "curves": [asdict(curve) for curve in measured.curves],
        }

    def judge(self, cell: Cell) -> Rationalizer | None:
        """The judge of a cell, the same for all methods; fitted by the first process that asks."""
        if not self.plan.judge:
            return None
        own = replace(cell, method=self.plan.judge)
        folder = self.plan.out / cell.corpus.name / cell.rate.label / JUDGE / f"seed-{cell.seed}"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            return fit_method(own.method, self.config(own), for_selection(self.corpora[cell.corpus]), folder)

    def read(self, cell: Cell) -> dict[str, Any]:
        """Contents of the result file of a finished cell.

        Raises:
            RunError: the file is damaged or of another version.
            ConfigError: the cell was made with other options, or other settings of the method.
        """
        facts = super().read(cell)
        if settings := self.plan.settings(cell):
            check_same_settings(facts.get("settings") or {}, settings, self.folder(cell))
        return facts

    def unjudged(self, cells: Sequence[Cell]) -> list[Cell]:
        """Finished cells without a judge's figures, although there is a judge: made before the file named one."""
        finished = [cell for cell in cells if self.plan.judge and self.is_finished(cell)]
        return [cell for cell in finished if "sufficiency" not in self.read(cell)["views"][OWN]]

    def documents(self, cell: Cell) -> dict[str, Any]:
        """Counts per document of a finished cell.

        Raises:
            RunError: the file is missing or damaged.
        """
        counts: dict[str, Any] = read_json(self.folder(cell) / DOCUMENTS)
        return counts
