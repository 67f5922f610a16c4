"""Rate-error curves of one model: how good are its rationales and predictions at any share of words?

Three ways to mark a given share of words without fitting again:

- `threshold`: all words whose marginal P(kept | text) is above a threshold, the same for all documents;
- `top-k`: the same share of every document, its words with the largest marginals;
- `prior`: the guide is put under another prior, q'(z | x) proportional to q(z | x) exp(-delta |z|), as if every word
  had been dearer by delta nats, and the mode of q' is read. For an independent guide that shifts its logits, which is
  a threshold again; for a chain it shifts the fields and leaves the couplings, so that whole runs come and go.

The first two need nothing but scores of words, and so work for every
:class:`~pyro_rationale.prediction.rationalizer.Rationalizer`.
Levels (thresholds and deltas) are found on texts alone: no label is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeGuard

import numpy as np
from torch import Tensor

from pyro_rationale.data.corpus import Document
from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.distributions.bisection import bisect
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.evaluate import evaluate
from pyro_rationale.evaluation.metrics import every_metric
from pyro_rationale.evaluation.options import MASK_RULES, RATES
from pyro_rationale.evaluation.significance import standard_error
from pyro_rationale.evaluation.statistic import Metrics
from pyro_rationale.prediction.decoding import MAX_SHIFT, Mask, batches_of, evaluating, unlabelled
from pyro_rationale.prediction.rationalizer import ModelRationalizer, Rationalizer, Scores

MARGIN = 1.96  # standard errors: half of a 95 % interval
BISECTION_STEPS = 27  # to a millionth of a nat


def reweighted(q: MaskDistribution, delta: float, coupling: float = 0.0) -> MaskDistribution:
    """q'(z) proportional to q(z) exp(-delta sum z_t - coupling sum |z_t - z_{t-1}|), in closed form.

    Args:
        q: independent words, relaxed ones, or a chain.
        delta: nats by which the price of every kept word rises.
        coupling: nats by which the price of every change rises; independent words with a coupling are a chain.

    Raises:
        ConfigError: there is no closed form, as for a recurrent guide.
    """
    try:
        return q.tilt(delta, coupling)
    except NotImplementedError as problem:
        raise ConfigError(f"--way prior: {problem}; use --way threshold or top-k") from None


class MaskRule(Protocol):
    """A rule that selects words by a level; more words at a lower level."""

    def at(self, level: float) -> list[Mask]:
        """The masks at a threshold, a delta, or minus a share of words."""

    def level(self, rate: float) -> float:
        """The lowest level at which no more than the share `rate` of all words is kept."""


class ThresholdRule:
    """Words whose score is at least the level.

    Args:
        scores: of each document's words.
    """

    def __init__(self, scores: Sequence[Scores]) -> None:
        self.scores = scores
        self.sorted = np.sort(np.concatenate([np.zeros(0), *scores]))[::-1]

    def at(self, level: float) -> list[Mask]:
        """Masks of the words that score `level` or more."""
        return [tuple((row >= level).tolist()) for row in self.scores]

    def level(self, rate: float) -> float:
        """The score of the last word that is still kept; words of one score come and go together."""
        count = round(rate * len(self.sorted))
        if count >= len(self.sorted):
            return 0.0
        last = self.sorted[count]  # the first word too many
        above = self.sorted[: count][self.sorted[: count] > last]
        return float(above[-1]) if len(above) else float(np.nextafter(last, np.inf))


class TopKRule:
    """Keeps the best-scored words, an equal share of every document; earlier words first among equals.

    Args:
        scores: of each document's words.
    """

    def __init__(self, scores: Sequence[Scores]) -> None:
        self.ranks = [np.argsort(np.argsort(-row, kind="stable"), kind="stable") for row in scores]

    def at(self, level: float) -> list[Mask]:
        """Masks of the share `-level`, to the nearest word and at least one."""
        return [tuple((row < max(1, round(-level * len(row)))).tolist()) for row in self.ranks]

    def level(self, rate: float) -> float:
        """Minus the rate: there is nothing to look for."""
        return -rate


class PriorShiftRule:
    """Modes of the guide under another prior.

    Args:
        run: a fitted run.
        documents: texts; their labels are hidden from everything here.
        coupling: nats by which the price of every change rises as well.

    Raises:
        ConfigError: the guide has no closed form under another prior.
    """

    def __init__(self, run: ModelRationalizer, documents: Sequence[Document], coupling: float = 0.0) -> None:
        self.coupling, self.sizes = coupling, [len(document.tokens) for document in documents]
        self.posteriors: list[tuple[list[int], MaskDistribution]] = []
        with evaluating(run.fitted):
            for index, batch in batches_of(run.fitted, documents, run.batch_size):
                q = run.fitted.guide.posterior(batch).discrete()
                reweighted(q, 0.0)  # refuses before any search
                self.posteriors.append((index, q))

    def _per_word(self, level: float, of: Callable[[MaskDistribution], Tensor]) -> list[Scores]:
        numbers: list[Scores] = [np.zeros(0)] * len(self.sizes)
        for index, q in self.posteriors:
            for i, row in zip(index, of(reweighted(q, level, self.coupling)).cpu().numpy(), strict=True):
                numbers[i] = row[: self.sizes[i]].astype(np.float64)
        return numbers

    def at(self, level: float) -> list[Mask]:
        """The most probable mask of every document where a word costs `level` nats more."""
        return [tuple((row > 0.5).tolist()) for row in self._per_word(level, lambda q: q.mode)]

    def marginals(self, level: float) -> list[Scores]:
        """P(kept | text) per word there."""
        return self._per_word(level, lambda q: q.mean)

    def rate(self, level: float) -> float:
        """Share of all words that the modes keep: it falls with the level."""
        kept = sum(float(reweighted(q, level, self.coupling).mode.sum()) for _, q in self.posteriors)
        return kept / max(1, sum(self.sizes))

    def level(self, rate: float) -> float:
        """By bisection: a mode keeps no more words where words cost more."""
        return lowest_shift(self.rate, rate)


def lowest_shift(rate_at: Callable[[float], float], rate: float, far: float = MAX_SHIFT) -> float:
    """The lowest delta in [-far, far] at which `rate_at`, which falls, is at most `rate`."""
    if rate_at(-far) <= rate:
        return -far
    return bisect(lambda delta: rate_at(delta) > rate, -far, far, BISECTION_STEPS)[1]


def mask_rules_of(rationalizer: Rationalizer) -> tuple[str, ...]:
    """Names of the mask rules of a rationalizer: `prior` is for fitted runs with a closed form.

    And `top-k`, which cuts sentences, is not for runs with masks over them.
    """
    if not _is_run(rationalizer):
        rules: tuple[str, ...] = getattr(rationalizer, "mask_rules", MASK_RULES[:2])
        return rules
    guide = rationalizer.fitted.guide
    fits = {"prior": guide.family.has_exact_marginals, "top-k": not guide.whole_units}
    return tuple(rule for rule in MASK_RULES if fits.get(rule, True))


def _is_run(rationalizer: Rationalizer) -> TypeGuard[ModelRationalizer]:
    """Whether its masks are those of a guide; the rationalizers derived from a run's put others in their place."""
    return type(rationalizer) is ModelRationalizer


def mask_rule(rationalizer: Rationalizer, documents: Sequence[Document], way: str, coupling: float = 0.0) -> MaskRule:
    """The documents as a way of marking sees them.

    Raises:
        ConfigError: `prior` of something that is no fitted run, or has a recurrent guide; `top-k` of a run with masks
            over sentences; an unknown way.
    """
    texts = [unlabelled(document) for document in documents]
    if way == "threshold":
        return ThresholdRule(rationalizer.marginals(texts))
    if way == "top-k":
        if _is_run(rationalizer) and rationalizer.fitted.guide.whole_units:
            whose = f"the sentences of {rationalizer.name}"
            raise ConfigError(f"--way top-k: would cut {whose}; use --way threshold or prior")
        return TopKRule(rationalizer.marginals(texts))
    if way != "prior":
        raise ConfigError(f"--way: expected one of {', '.join(MASK_RULES)}, got {way!r}")
    if not _is_run(rationalizer):
        raise ConfigError(f"--way prior: {rationalizer.name} has no prior to change; use --way threshold or top-k")
    return PriorShiftRule(rationalizer, texts, coupling)


def measure(
    rationalizer: Rationalizer, documents: Sequence[Document], masks: Sequence[Mask], judge: Rationalizer | None = None
) -> Metrics:
    """Predictions from the masks and the masks themselves, against labels and gold where there are any.

    With a judge, which was fitted without the rationalizer's help, comprehensiveness and sufficiency before it as well.
    """
    return evaluate(rationalizer, documents, masks, scores=False, judge=judge).metrics


@dataclass(frozen=True)
class Curve:
    """The curve of one rationalizer under one mask rule.

    Attributes:
        name: of the rationalizer.
        way: the mask rule; `own` for the rationalizer's own masks, which is a single point.
        points: metrics by rising rate, with `rate` (as requested) and `level` (threshold, delta, or minus the rate).
        margins: of each point, half the width of the 95 % interval of each tested metric over documents.
    """

    name: str
    way: str
    points: list[Metrics]
    margins: list[dict[str, float]] = field(default_factory=list)

    def column(self, key: str) -> list[float]:
        """One metric along the curve; NaN where a point lacks it."""
        return [float(point[key]) if point.get(key) is not None else float("nan") for point in self.points]

    def margin(self, key: str) -> list[float]:
        """Half the width of the interval of one metric along the curve; NaN where it is not known."""
        return [margins.get(key, math.nan) for margins in self.margins or [{}] * len(self.points)]


def trace(
    rationalizer: Rationalizer,
    documents: Sequence[Document],
    way: str,
    rates: Sequence[float] = RATES,
    coupling: float = 0.0,
    levels_from: Sequence[Document] | None = None,
) -> Curve:
    """The curve of a rationalizer.

    Args:
        rationalizer: what chooses words and predicts.
        documents: to measure on.
        way: one of `MASK_RULES`.
        rates: shares of words to ask for.
        coupling: for the way `prior`: nats by which the price of every change rises.
        levels_from: texts on which levels are found, `documents` by default; with others (dev, say) the shares
            kept come close to those asked for instead of meeting them.

    Raises:
        ConfigError: as for `mask_rule`, or a rate outside (0, 1].
    """
    for rate in rates:
        if not 0.0 < rate <= 1.0:
            raise ConfigError(f"--rates: expected shares of words above 0 and at most 1, got {rate:g}")
    here = mask_rule(rationalizer, documents, way, coupling)
    finder = here if levels_from is None else mask_rule(rationalizer, levels_from, way, coupling)
    points, margins = [], []
    for rate in sorted(rates):
        level = finder.level(rate)
        metrics, margin = _point(rationalizer, documents, here.at(level))
        points.append({"rate": rate, "level": level} | metrics)
        margins.append(margin)
    return Curve(rationalizer.name, way, points, margins)


def own_point(rationalizer: Rationalizer, documents: Sequence[Document], requested: float | None = None) -> Curve:
    """The rationalizer's own masks, as a curve of one point; `requested` is the rate that it was fitted for."""
    masks = rationalizer.masks([unlabelled(document) for document in documents])
    metrics, margin = _point(rationalizer, documents, masks)
    return Curve(rationalizer.name, "own", [{"rate": requested, "level": None} | metrics], [margin])


def _point(
    rationalizer: Rationalizer, documents: Sequence[Document], masks: Sequence[Mask]
) -> tuple[Metrics, dict[str, float]]:
    """The figures of masks, and half the width of the interval of each tested one."""
    evaluation = evaluate(rationalizer, documents, masks, scores=False)
    tested = [metric.name for metric in every_metric() if metric.tested and metric.name in evaluation.statistics]
    return evaluation.metrics, {name: MARGIN * standard_error(evaluation.statistics[name]) for name in tested}
