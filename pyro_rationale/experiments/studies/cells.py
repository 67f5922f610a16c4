"""One cell of a study: an arm with a seed on a corpus, fitted once, measured once, and read from its folder after.

Several processes may share the folder: a lock beside each cell sees to it that one of them makes it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import pstdev
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data import load_corpus
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.evaluation.evaluate import evaluate_documents, targets_of
from pyro_rationale.evaluation.metrics import Predictions, lexicon_metrics, prediction_metrics
from pyro_rationale.evaluation.results import train
from pyro_rationale.experiments.studies.attention import Attention
from pyro_rationale.experiments.studies.positions import position_metrics
from pyro_rationale.experiments.studies.question_variants import LEXICON_CORPORA, RELAXED, Flags, Variant
from pyro_rationale.fitted import CONFIG, FittedModel
from pyro_rationale.prediction.predictor import DecodeOptions, decode_all
from pyro_rationale.storage import read_json, write_json

STUDY = "study.json"
Measures = dict[str, Any]
AVERAGED = 8  # masks behind "average over samples"


@dataclass(frozen=True)
class Study:
    """Where the cells are, and what they have in common.

    Attributes:
        folder: of all cells; one folder per arm and seed in it.
        base: fields of the configuration for every arm.
    """

    folder: Path
    base: Flags

    def config(self, arm: Variant, seed: int) -> Config:
        """The configuration of a cell."""
        values = {**self.base, **arm.flags, "seed": seed}

        def part(kind: type[Any]) -> Any:
            return kind(**{item.name: values.pop(item.name) for item in fields(kind) if item.name in values})

        config = Config(part(DataOptions), part(ModelOptions), part(TrainOptions))
        assert not values, f"no such options: {', '.join(values)}"
        return config

    def cell(self, arm: Variant, seed: int) -> Measures:
        """Measures of a cell; fitted, or taken up where it was interrupted, if need be. Waits for who is at it."""
        self.make(arm, seed, wait=True)
        found: Measures = read_json(self._place(arm, seed) / STUDY)["measures"]
        return found

    def make(self, arm: Variant, seed: int, wait: bool = False) -> bool:
        """Fit and measure a cell unless that is done; `False` if another process is at it and we do not `wait`."""
        place = self._place(arm, seed)
        if (place / STUDY).exists():
            return True
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(f"{place}.lock", timeout=-1 if wait else 0):
                if not (place / STUDY).exists():  # nobody made it while we waited
                    measures = self._attend(arm, seed) if arm.attention else self._fit(arm, seed, place)
                    place.mkdir(exist_ok=True)
                    write_json(place / STUDY, {"arm": arm.name, "flags": arm.flags, "seed": seed, "measures": measures})
        except Timeout:
            return False
        return True

    def _place(self, arm: Variant, seed: int) -> Path:
        return self.folder / _slug(arm) / f"seed-{seed}"

    def _fit(self, arm: Variant, seed: int, place: Path) -> Measures:
        config = self.config(arm, seed)
        resume = (place / CONFIG).exists()
        start = time.process_time()
        _, metrics = train(config, place, resume=resume)
        seconds = None if resume else time.process_time() - start
        fitted = FittedModel.load(place, config.train.device)
        corpus = load_corpus(config.data, fitted.spec)
        masks, _ = decode_all(fitted, corpus.test, DecodeOptions())
        measures: Measures = {k: v for k, v in metrics.test.items() if isinstance(v, (int, float))}
        measures |= self._more(config, corpus, masks) | {"cpu_seconds": seconds, "recoveries": metrics.recoveries}
        if arm.rules:
            measures["rules"] = score_rules(fitted, corpus.test)
        return measures

    def _attend(self, arm: Variant, seed: int) -> Measures:
        config = self.config(replace(arm, flags={**arm.flags, "guide": "independent"}), seed)
        corpus = load_corpus(config.data)
        # As many words as the latent-variable model of the same seed keeps: rationales are compared at equal size.
        share = float(self.cell(RELAXED, seed)["selected"])
        start = time.process_time()
        attention = Attention(config, corpus, arm.attention, share)
        attention.fit()
        seconds = time.process_time() - start
        measures = attention.measure(corpus.test)
        return measures | self._more(config, corpus, attention.masks(corpus.test)) | {"cpu_seconds": seconds}

    def _more(self, config: Config, corpus: Corpus, masks: Sequence[Sequence[bool]]) -> Measures:
        measures: Measures = dict(position_metrics(corpus.test, masks))
        measures["rate_sd"] = pstdev(float(np.mean(mask)) for mask in masks)
        if config.data.data in LEXICON_CORPORA:
            from pyro_rationale.data.corpora._vader import lexicon

            measures |= lexicon_metrics(corpus.test, masks, frozenset(lexicon(config.data.cache)))
        return measures


def score_rules(fitted: FittedModel, documents: Sequence[Document]) -> dict[str, Measures]:
    """The test table under every test-time rule; `average` predicts with the mean over several drawn masks."""
    rules = {rule: evaluate_documents(fitted, documents, rule) for rule in ("mode", "threshold", "sample")}
    rules["threshold .2"] = evaluate_documents(fitted, documents, "threshold", threshold=0.2)
    draws = [decode_all(fitted, documents, DecodeOptions("sample", seed=seed)) for seed in range(AVERAGED)]
    mean = np.mean([values for _, values in draws], axis=0)
    average: Measures = dict(prediction_metrics(fitted.spec, Predictions(mean, targets_of(documents, fitted.spec))))
    average["selected"] = float(np.mean([np.mean(np.concatenate(masks)) for masks, _ in draws]))
    rules["average of 8"] = average
    return {rule: {k: v for k, v in found.items() if isinstance(v, (int, float))} for rule, found in rules.items()}


def _slug(arm: Variant) -> str:
    """A folder's name that fixes the arm: two names of one arm share its cells."""
    if arm.attention:
        return f"attention-{arm.attention}"
    return "-".join(f"{key}={json.dumps(value).strip(chr(34))}" for key, value in sorted(arm.flags.items())) or "base"
