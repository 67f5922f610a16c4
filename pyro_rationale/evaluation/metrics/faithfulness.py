"""Does a reader need the marked words, and are they enough for it? Comprehensiveness and sufficiency (ERASER, 4.2).

The reader is a *judge*, who predicts from whatever words it is given; ERASER asks the model that made the rationale,
we ask another one. With x the text, r the rationale and m the judge's prediction:

    comprehensiveness = drop(m(x), m(x without r)), large where r holds what the judge needs
    sufficiency       = drop(m(x), m(r)),           small where r is enough for it

For classes the drop is that of the probability of the class that the judge predicts from the whole text, as in ERASER;
it may be negative. For ratings, which ERASER has none of, it is the absolute change of the predicted rating in units of
its scale (0: none, 1: from one end to the other), whatever its direction. Several targets are averaged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from pyro_rationale.data.corpus import Document
from pyro_rationale.data.document import highest
from pyro_rationale.evaluation.metrics._base import Judge, Metric, MetricFamily, MetricInputs, numbers, targets_of
from pyro_rationale.evaluation.metrics.prediction import Predictions, prediction_statistics
from pyro_rationale.evaluation.statistic import (
    Flags,
    Masks,
    Numbers,
    Statistics,
    as_flags,
    average,
)
from pyro_rationale.tasks import task_of

BINS = (0.01, 0.05, 0.1, 0.2, 0.5)  # shares of the words, ERASER's
ROUNDING = 1e-9  # .07 * 100 is a little more than 7


def faithfulness_statistics(
    judge: Judge,
    documents: Sequence[Document],
    masks: Masks,
    scores: Sequence[Numbers] | None = None,
    seed: int = 0,
) -> Statistics:
    """Comprehensiveness and sufficiency before a judge, and what random words of the same number get.

    Args:
        judge: who predicts.
        documents: at least one.
        masks: the rationales.
        scores: by which words are ranked, a number per word, for the averages over `BINS`; of each text so
            large a share of the words, rounded up, is taken from the top.
        seed: of the random words.

    Returns:
        `comprehensiveness` and `sufficiency` of the masks, means over documents; `aopc_comprehensiveness` and
        `aopc_sufficiency` of the top-ranked words, averaged over bins as well; each also with `_random` behind it,
        after each document's flags (or scores) were shuffled among its words. `comprehensiveness_at_5` and so on: of
        the top-ranked words of one bin, in per cent.
    """
    marks = [as_flags(mask) for mask in masks]
    ranks = None if scores is None else [np.asarray(row, dtype=float) for row in scores]
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(document.tokens)) for document in documents]
    full = judge.predict(documents, [np.ones(len(d.tokens), dtype=bool).tolist() for d in documents])
    statistics: Statistics = {}
    for name, shuffle in (("", False), ("_random", True)):
        own = [mark[order] for mark, order in zip(marks, orders, strict=True)] if shuffle else marks
        statistics |= _named("{}" + name, _drops(judge, documents, full, own))
        if ranks is None:
            continue
        ranked = [row[order] for row, order in zip(ranks, orders, strict=True)] if shuffle else ranks
        drops = [_drops(judge, documents, full, [top_share(row, share) for row in ranked]) for share in BINS]
        statistics |= _named("aopc_{}" + name, np.mean(drops, axis=0))
        if not shuffle:
            for share, both in zip(BINS, drops, strict=True):
                statistics |= _named(f"{{}}_at_{100 * share:g}", both)
    return statistics


def _named(name: str, drops: Numbers) -> Statistics:
    """Means of drops `(2, N)` as `_drops` gives them."""
    kinds = ("comprehensiveness", "sufficiency")
    return {name.format(kind): average(row) for kind, row in zip(kinds, drops, strict=True)}


def _drops(judge: Judge, documents: Sequence[Document], full: Numbers, marks: Sequence[Flags]) -> Numbers:
    """`(2, N)`: without the marked words, and from them alone."""
    others = (np.logical_not(mark).tolist() for mark in marks), (mark.tolist() for mark in marks)
    drops = [_drop(judge, documents, full, judge.predict(documents, list(masks))) for masks in others]
    return np.array(drops)


def _drop(judge: Judge, documents: Sequence[Document], full: Numbers, other: Numbers) -> Numbers:
    """Loss of predictions from some of the words, `(N,)`: the mean of all targets, or of a row the one it is about."""
    task = task_of(judge.spec, getattr(judge, "decision", None))
    if not documents or documents[0].aspect is None:
        return task.drop(full, other)
    own = np.arange(len(judge.spec.names)) == np.array([[document.aspect] for document in documents])
    return own.shape[1] * task.drop(full, np.where(own, other, full))  # others do not change, and add nothing


def top_share(scores: Numbers, share: float) -> Flags:
    """The words with the highest scores, a share of them rounded up; of equal scores the earlier words."""
    return highest(scores, math.ceil(share * len(scores) - ROUNDING))


def judge_statistics(judge: Judge, documents: Sequence[Document], masks: Masks) -> Statistics:
    """Errors of the judge itself: `judge_mse` and so on from whole texts, `judge_kept_mse` and so on from kept words.

    A judge that cannot predict from whole texts proves nothing by what it makes of their parts.
    """
    statistics: Statistics = {}
    targets = targets_of(documents, judge.spec)
    whole = [[True] * len(document.tokens) for document in documents]
    for kind, marks in (("judge", whole), ("judge_kept", masks)):
        predictions = Predictions(judge.predict(documents, marks), targets, getattr(judge, "decision", None))
        errors = prediction_statistics(judge.spec, predictions)
        statistics |= {f"{kind}_{name}": statistic for name, statistic in errors.items()}
    return statistics


def _compute(inputs: MetricInputs) -> Statistics:
    assert inputs.judge is not None
    assert inputs.masks is not None
    statistics = faithfulness_statistics(inputs.judge, inputs.documents, inputs.masks, inputs.scores, seed=inputs.seed)
    return statistics | judge_statistics(inputs.judge, inputs.documents, inputs.masks)


def _both(name: str, label: str, better: Literal["higher", "lower"]) -> tuple[Metric, Metric]:
    """A metric, and what random words get."""
    chance = Metric(f"{name}_random", "  of random words", ".3f", main=True)
    return Metric(name, label, ".3f", better, tested=True, main=True), chance


faithfulness_metrics = numbers(faithfulness_statistics)

REGISTERED = MetricFamily(
    (
        *_both("comprehensiveness", "comprehensiveness", "higher"),
        *_both("sufficiency", "sufficiency", "lower"),
        *_both("aopc_comprehensiveness", "comprehensiveness, AOPC", "higher"),
        *_both("aopc_sufficiency", "sufficiency, AOPC", "lower"),
        Metric("judge_mse", "squared error of the judge", ".4g", "lower", main=True),
        Metric("judge_kept_mse", "  from kept words alone", ".4g", "lower", tested=True, main=True),
        Metric("judge_accuracy", "accuracy of the judge", "%", "higher", main=True),
        Metric("judge_kept_accuracy", "  from kept words alone", "%", "higher", tested=True, main=True),
    ),
    _compute,
    needs=("masks", "judge"),
)
