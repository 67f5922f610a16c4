"""Predictions by simpler means, on the texts of a fit, to stand beside its result.

A linear model of tf-idf is what anybody would try first; the fit's own encoder on whole texts is what its rationales
can hope to reach. (The constant, below which a fit has failed, is added by
:func:`pyro_rationale.evaluation.results.finish_run`.)
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pyro_rationale.config import Config
from pyro_rationale.data.cache.dataset import target_rows
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.data.pairs import PairCorpus
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.evaluate import compute
from pyro_rationale.evaluation.metrics import MetricInputs
from pyro_rationale.evaluation.statistic import Metrics
from pyro_rationale.experiments.baselines.tfidf import fit_tfidf
from pyro_rationale.prediction.calibration import calibration_texts
from pyro_rationale.prediction.decoding import Mask, unlabelled
from pyro_rationale.prediction.rationalizer import ModelRationalizer, Rationalizer
from pyro_rationale.tasks import Decision, task_of
from pyro_rationale.training.ensemble import EnsembleRun
from pyro_rationale.training.reader import Progress, full_text_reader
from pyro_rationale.training.run import TrainingRun

TFIDF, FULL_TEXT = "tfidf", "full-text"
MOST = 20_000  # training texts of the linear model: many more take it longer than the fit, and add little


def baseline_rows(
    run: TrainingRun | EnsembleRun,
    names: Collection[str],
    progress: Progress | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Metrics]:
    """Errors on the test split by the names of the baselines; none without test texts.

    Args:
        run: the finished fit; of an ensemble the first member's encoder is the one that reads whole texts.
        names: of the baselines, out of `TFIDF` and `FULL_TEXT`.
        progress: called as the encoder is trained on whole texts.
        say: told in a line why one is left out.
    """
    run = run.members[0] if isinstance(run, EnsembleRun) else run
    corpus, documents = run.corpus, run.corpus.test
    predicted: dict[str, Any] = {}
    if not documents or isinstance(corpus, PairCorpus):
        return {}
    if TFIDF in names:
        try:
            some = _some(corpus, run.fitted.config.seed)
            if _linear_has_a_choice(some):
                predicted[TFIDF] = _tfidf(run.fitted.config, some)
        except ConfigError as problem:
            say(str(problem))
    if FULL_TEXT in names:
        predicted[FULL_TEXT] = ModelRationalizer(full_text_reader(run, progress))
    rows = {}
    for name, rationalizer in predicted.items():
        values = rationalizer.predict(documents, _all_words(documents))
        decision = None if run.fitted.decision is None else rule_of(rationalizer, corpus, _all_words)
        rows[name] = compute(MetricInputs(documents, corpus.spec, values=values, decision=decision)).metrics
    return rows


def rule_of(
    rationalizer: Rationalizer, corpus: Corpus, masks: Callable[[Sequence[Document]], Sequence[Mask]]
) -> Decision | None:
    """A rule that names classes by the same development texts as that of the fit, which it is compared with.

    Args:
        rationalizer: another method.
        corpus: with development texts.
        masks: of texts without labels, from which it predicts.
    """
    documents = calibration_texts(corpus.dev, corpus.spec)
    texts = [unlabelled(document) for document in documents]
    values = rationalizer.predict(texts, masks(texts))
    return task_of(corpus.spec).fit_decision(values, target_rows(documents, len(corpus.spec.names)))


def _some(corpus: Corpus, seed: int) -> Corpus:
    """The corpus with `MOST` training texts by chance, which the linear model is fitted to."""
    if len(corpus.train) <= MOST:
        return corpus
    chosen = np.sort(np.random.default_rng(seed).choice(len(corpus.train), MOST, replace=False))
    return replace(corpus, train=[corpus.train[i] for i in chosen.tolist()])


def _tfidf(config: Config, corpus: Corpus) -> Any:
    """The linear model; it is fitted in seconds, and not kept."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="pyro-rationale-") as folder:
        warnings.filterwarnings("ignore", module="sklearn")  # of iterations that have not converged to the last digit
        return fit_tfidf(config, corpus, Path(folder))


def _linear_has_a_choice(corpus: Corpus) -> bool:
    """Whether every target of classes has two of them in training, without which there is no logistic regression."""
    targets = target_rows(corpus.train, len(corpus.spec.names))
    return not corpus.spec.classes or all(len(np.unique(column[~np.isnan(column)])) > 1 for column in targets.T)


def _all_words(documents: Sequence[Document]) -> list[tuple[bool, ...]]:
    return [(True,) * len(document.tokens) for document in documents]
