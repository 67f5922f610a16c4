"""Cells of a study: a variant with a seed on a corpus, fitted once, measured once, and read from its folder after."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import pstdev
from typing import Any

import numpy as np

from pyro_rationale.config import Config
from pyro_rationale.data import load_corpus
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.row_digests import row_digests
from pyro_rationale.evaluation.evaluate import evaluate_documents, measure_averages
from pyro_rationale.evaluation.metrics import lexicon_metrics
from pyro_rationale.evaluation.results import train
from pyro_rationale.experiments.grid import GridRunner
from pyro_rationale.experiments.same_fit import is_interrupted
from pyro_rationale.experiments.studies.attention import StudyAttention
from pyro_rationale.experiments.studies.positions import position_metrics
from pyro_rationale.experiments.studies.question_variants import LEXICON_CORPORA, RELAXED, Flags, Variant
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.prediction.shown_masks import decode_all
from pyro_rationale.run_files import CONFIG, read_config
from pyro_rationale.storage import note
from pyro_rationale.training.defaults import resolve

STUDY = "study.json"
Measures = dict[str, Any]
AVERAGED = 8  # masks behind "average over samples"


@dataclass(frozen=True)
class StudyCell:
    """One fit: a variant with a seed."""

    variant: Variant
    seed: int

    def __str__(self) -> str:
        return f"{self.variant.name}, seed {self.seed}"


@dataclass(frozen=True)
class Study(GridRunner[StudyCell]):
    """Cells of a study in one folder, and what they have in common.

    The folder of a cell is the run folder of its fit, with the result file in it.

    Attributes:
        out: folder of all cells.
        base: fields of the configuration for every variant.
    """

    out: Path
    base: Flags
    _read: dict[DataOptions, Corpus] = field(default_factory=dict, init=False, repr=False, compare=False)
    _rows: dict[DataOptions, dict[str, str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    result = STUDY
    required = frozenset({"measures"})

    def folder(self, cell: StudyCell) -> Path:
        """Folder of a cell; its name fixes the variant, so that two names of one variant share it."""
        variant = cell.variant
        named = [f"{key}={json.dumps(value).strip(chr(34))}" for key, value in sorted(variant.flags.items())]
        name = f"attention-{variant.attention}" if variant.attention else "-".join(named) or "base"
        return self.out / name / f"seed-{cell.seed}"

    def config(self, cell: StudyCell) -> Config:
        """Configuration of a cell; attention has the networks of the independent guide."""
        values = {**self.base, **cell.variant.flags, "seed": cell.seed}
        if cell.variant.attention:
            values["guide"] = "independent"
        return (Config() if "preset" in values else Config().settled()).changed(**values)

    def rows(self, cell: StudyCell) -> dict[str, str]:
        """Digests of the rows that the corpus of a cell holds now."""
        config = self.config(cell)
        if config.data not in self._rows:
            self._rows[config.data] = row_digests(self._corpus(config))
        return self._rows[config.data]

    def _corpus(self, config: Config) -> Corpus:
        """The corpus of a cell; that of the cell before, if it is the same."""
        if config.data not in self._read:
            self._read.clear()
            self._read[config.data] = load_corpus(config.data)
        return self._read[config.data]

    def stored_options(self, cell: StudyCell, facts: dict[str, Any]) -> Config | dict[str, Any]:
        """Options of a finished cell; older ones stand beside the result file, or are those of the relaxed cell."""
        if "config" in facts:
            return super().stored_options(cell, facts)
        if (self.folder(cell) / CONFIG).exists():
            return read_config(self.folder(cell))[0]
        made = read_config(self.folder(StudyCell(RELAXED, cell.seed)))[0]  # whose share of words attention was given
        return made.changed(guide="independent")

    def measures(self, variant: Variant, seed: int) -> Measures:
        """Measures of a cell, which is run if need be; waits for another process that is making it."""
        cell = StudyCell(variant, seed)
        self.run(cell, wait=True)
        measures: Measures = self.read(cell)["measures"]
        return measures

    def measure(self, cell: StudyCell, config: Config) -> dict[str, Any]:
        """Fit and measure a cell."""
        variant = cell.variant
        measures = self._fit_attention(cell, config) if variant.attention else self._fit(cell, config)
        note(self.folder(cell), rows=self.rows(cell))
        return {"variant": variant.name, "flags": variant.flags, "seed": cell.seed, "measures": measures}

    def _fit(self, cell: StudyCell, config: Config) -> Measures:
        folder = self.folder(cell)
        resume = is_interrupted(config, self._corpus(config), folder)
        start = time.process_time()
        run, metrics = train(config, folder, resume=resume)
        seconds = None if resume else time.process_time() - start
        documents = run.corpus.test
        masks, _ = decode_all(run.fitted, documents, DecodeOptions())
        measures = numbers(metrics.test)
        measures |= mask_measures(config, documents, masks)
        measures |= {"cpu_seconds": seconds, "recoveries": metrics.recoveries}
        if cell.variant.rules:
            measures["rules"] = score_rules(run.fitted, documents)
        return measures

    def _fit_attention(self, cell: StudyCell, config: Config) -> Measures:
        corpus = self._corpus(config)
        config = resolve(config, corpus)
        # As many words as the latent-variable model of the same seed keeps: rationales are compared at equal size.
        share = float(self.measures(RELAXED, cell.seed)["selected"])
        start = time.process_time()
        attention = StudyAttention(config, corpus, cell.variant.attention, share)
        attention.fit()
        seconds = time.process_time() - start
        measures = numbers(attention.measure(corpus.test))
        return measures | mask_measures(config, corpus.test, attention.masks(corpus.test)) | {"cpu_seconds": seconds}


def mask_measures(config: Config, documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> Measures:
    """Figures of the masks of test documents that no test table has."""
    measures: Measures = dict(position_metrics(documents, masks))
    measures["rate_sd"] = pstdev(float(np.mean(mask)) for mask in masks)
    if config.data.data in LEXICON_CORPORA:
        from pyro_rationale.data.corpora._vader import lexicon

        measures |= lexicon_metrics(documents, masks, frozenset(lexicon(config.data.cache)))
    return measures


def numbers(metrics: Measures) -> Measures:
    """The metrics that are single numbers."""
    return {name: value for name, value in metrics.items() if isinstance(value, (int, float))}


def score_rules(fitted: FittedModel, documents: Sequence[Document]) -> dict[str, Measures]:
    """Test tables under every test-time rule; `average` predicts with the mean over several drawn masks."""
    rules = {rule: evaluate_documents(fitted, documents, rule) for rule in ("agreeing", "mode", "threshold", "sample")}
    rules["threshold .2"] = evaluate_documents(fitted, documents, "threshold", threshold=0.2)
    draws = [decode_all(fitted, documents, DecodeOptions("sample", seed=seed)) for seed in range(AVERAGED)]
    mean = np.mean([values for _, values in draws], axis=0)
    average: Measures = measure_averages(fitted, documents, mean)
    average["selected"] = float(np.mean([np.mean(np.concatenate(masks)) for masks, _ in draws]))
    rules["average of 8"] = average
    return {rule: numbers(table) for rule, table in rules.items()}
