"""How good predictive distributions are: intervals and densities of ratings, probabilities of classes.

The distributions are those over masks and noise together. Coverage says whether intervals are as wide as they claim
to be, on the whole, in each third of documents by the share of words that is kept, and where nothing is kept; CRPS and
log score are proper (Gneiting and Raftery 2007): a wide answer that is right costs as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.evaluation.calibration import Forecasts, bin_edges, bins_of, chance_misses, reliability
from pyro_rationale.evaluation.metrics._base import Metric, MetricFamily, MetricInputs
from pyro_rationale.evaluation.statistic import Flags, Numbers, Statistic, Statistics, quotient, values_of
from pyro_rationale.tasks import task_of

LEVELS = (50, 80, 90)  # percent, of central intervals
SPLIT = 90  # the level of those whose coverage is told by share of words kept
THIRDS = ("low", "middle", "high")
BINS = 15  # of class probabilities
PIT_BINS = 20
ROUNDING = 1e-9  # of a scale: a rating at the end of an interval is inside
FEWEST = 3  # documents: of fewer, ranks say nothing
EVERY = slice(None)


@dataclass(frozen=True)
class Scores:
    """Scores of the predictive distributions of ratings, `(N, D)` each; arbitrary where the rating is unknown.

    Attributes:
        known: whether the rating is known.
        crps: in the rating's unit.
        log_prob: in nats.
        sd: standard deviation.
        error: of the mean.
        inside: whether the interval of each level covers the rating.
        width: of these intervals.
    """

    known: Flags
    crps: Numbers
    log_prob: Numbers
    sd: Numbers
    error: Numbers
    inside: dict[int, Flags]
    width: dict[int, Numbers]

    @classmethod
    def of(cls, inputs: MetricInputs) -> Scores:
        """Scores on the documents of an evaluation."""
        predictive, known = inputs.predictive, ~np.isnan(inputs.targets)
        assert predictive is not None
        truth = np.where(known, inputs.targets, predictive.mean)
        inside, width = {}, {}
        for level in LEVELS:
            low, high = np.moveaxis(predictive.interval_bounds(level / 100, inputs.spec.ranges), -1, 0)
            inside[level] = lies_between(low, high, truth, inputs.spec)
            width[level] = high - low
        errors = truth - predictive.mean
        return cls(known, predictive.crps(truth), predictive.log_prob(truth), predictive.sd, errors, inside, width)

    def statistics(self, kept: Numbers | None, columns: slice = EVERY) -> Statistics:
        """Means over the known ratings of some targets, coverage by share of words kept among them.

        Args:
            kept: share of words kept of each document, `(N,)`.
            columns: of the targets.
        """
        known = self.known[:, columns]
        if not known.any():
            return {}

        def mean(values: Numbers | Flags, where: Flags | None = None) -> Statistic:
            chosen = known if where is None else known & where[:, None]
            return quotient(np.where(chosen, values[:, columns], 0.0).sum(1), chosen.sum(1))

        statistics = {"crps": mean(self.crps), "log_score": mean(-self.log_prob)}
        for level in LEVELS:
            statistics[f"covered_{level}"] = mean(self.inside[level])
            statistics[f"width_{level}"] = mean(self.width[level])
        for name, chosen in ({} if kept is None else groups_by_share(kept)).items():
            if (known & chosen[:, None]).any():
                statistics[f"covered_{name}"] = mean(self.inside[SPLIT], chosen)
        return statistics

    def correlation(self, columns: slice = EVERY) -> dict[str, float]:
        """Spearman's correlation of standard deviation and size of the error, averaged over targets; empty if none."""
        every = zip(self.known[:, columns].T, self.sd[:, columns].T, np.abs(self.error[:, columns]).T, strict=True)
        found = [spearman(sd[known], error[known]) for known, sd, error in every if known.sum() >= FEWEST]
        found = [value for value in found if not np.isnan(value)]
        return {"spearman_sd": float(np.mean(found))} if found else {}


def lies_between(low: Numbers, high: Numbers, truth: Numbers, spec: TargetSpec) -> Flags:
    """Whether ratings `(N, D)` lie in their intervals, the ends included: a level of 0.3 may be one of 0.1 + 0.2."""
    slack = ROUNDING * np.array([top - bottom for bottom, top in spec.ranges])
    inside: Flags = (low - slack <= truth) & (truth <= high + slack)
    return inside


def groups_by_share(kept: Numbers) -> dict[str, Flags]:
    """Documents of the low, middle and high third of the shares of words kept, and those that keep nothing; `(N,)`.

    Documents of equal shares are in one group, the lower one, so that thirds differ in size where many are equal.
    """
    if not len(kept):
        return {}
    first, second = np.quantile(kept, [1 / 3, 2 / 3], method="inverted_cdf")
    third = (kept > first).astype(int) + (kept > second)
    return {name: third == i for i, name in enumerate(THIRDS)} | {"empty": kept == 0}


def spearman(one: Numbers, other: Numbers) -> float:
    """Correlation of :func:`ranks` of two figures `(N,)`; NaN if either has one value only."""
    first, second = (ranks(values) for values in (one, other))
    if first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def ranks(values: Numbers) -> Numbers:
    """Ranks of values `(N,)` from 1, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middles: Numbers = ends - (counts - 1) / 2
    return middles[inverse]


def _ratings(inputs: MetricInputs) -> dict[str, Any]:
    """Metrics of ratings, all together and by target."""
    scores, names = Scores.of(inputs), inputs.spec.names
    if not scores.known.any():
        return {}
    kept = None if inputs.masks is None else np.array([np.mean(mask) if len(mask) else 0.0 for mask in inputs.masks])
    metrics: dict[str, Any] = {**scores.statistics(kept), **scores.correlation()}
    if len(names) > 1:
        columns = [slice(i, i + 1) for i in range(len(names))]
        each = (values_of(scores.statistics(kept, one)) | scores.correlation(one) for one in columns)
        metrics["aspects"] = dict(zip(names, each, strict=True))
    return metrics


def forecasts(inputs: MetricInputs) -> Forecasts | None:
    """The probability of the likeliest class of each known label, and whether the label is of it; `None` if none is."""
    known = ~np.isnan(inputs.targets)
    if inputs.averaged is None or not inputs.spec.classes or not known.any():
        return None
    probabilities = _probabilities(inputs)
    right = probabilities.argmax(-1) == np.where(known, inputs.targets, 0)
    document = np.repeat(np.arange(len(known))[:, None], known.shape[1], axis=1)
    return Forecasts(probabilities.max(-1)[known], right[known], document[known])


def _classes(inputs: MetricInputs) -> dict[str, Any]:
    """Metrics of class probabilities; empty where no label is known."""
    sure, known = forecasts(inputs), ~np.isnan(inputs.targets)
    if sure is None:
        return {}
    assert inputs.averaged is not None
    truth = np.where(known, inputs.targets, 0).astype(int)
    losses = task_of(inputs.spec).errors(inputs.averaged, inputs.targets)["log_loss"]
    apart = (_probabilities(inputs) - np.eye(len(inputs.spec.classes))[truth]) ** 2
    brier = apart[..., 1] if len(inputs.spec.classes) == 2 else apart.sum(-1)
    figures = partial(_class_figures, sure, losses, brier, known)
    return {**figures(EVERY), **_by_target(inputs.spec, known, figures)}


def _class_figures(sure: Forecasts, losses: Numbers, brier: Numbers, known: Flags, own: slice) -> Statistics:
    """Metrics of the class probabilities of some targets."""
    column = np.nonzero(known)[1]  # of each forecast, which are in the order of the known labels
    chosen = np.isin(column, np.arange(known.shape[1])[own])
    some = Forecasts(sure.probability[chosen], sure.true[chosen], sure.document[chosen])
    return {
        "log_score": _mean(losses[:, own], known[:, own]),
        "brier": _mean(brier[:, own], known[:, own]),
        "ece": ece_statistic(some, len(known)),
        "ece_chance": chance_ece_statistic(some, len(known)),
    }


def _by_target(spec: TargetSpec, known: Flags, figures: Callable[[slice], Statistics]) -> dict[str, Any]:
    """`aspects`: the figures of each target that any document knows; nothing of a single target."""
    if len(spec.names) == 1:
        return {}
    columns = {name: slice(i, i + 1) for i, name in enumerate(spec.names) if known[:, i].any()}
    return {"aspects": {name: values_of(figures(one)) for name, one in columns.items()}}


def _probabilities(inputs: MetricInputs) -> Numbers:
    """`(N, D, C)`, adding up to 1."""
    assert inputs.averaged is not None
    probabilities = task_of(inputs.spec).probabilities(inputs.averaged)
    assert probabilities is not None
    shares: Numbers = probabilities / probabilities.sum(-1, keepdims=True)
    return shares


def ece_statistic(sure: Forecasts, count: int) -> Statistic:
    """Expected calibration error over the bins of :func:`reliability`, of `count` documents."""
    edges = bin_edges(sure.probability, BINS)
    excess, labels = np.zeros((count, BINS)), np.bincount(sure.document, minlength=count)
    np.add.at(excess, (sure.document, bins_of(sure.probability, edges)), sure.probability - sure.true)
    return Statistic(np.column_stack([excess, labels]), _ece)


def _ece(sums: Numbers) -> Numbers:
    excess: Numbers = np.abs(sums[..., :-1]).sum(-1) / sums[..., -1]
    return excess


def chance_ece_statistic(sure: Forecasts, count: int) -> Statistic:
    """The ECE that perfect probabilities would have on average, of so many documents: see :func:`chance_misses`."""
    edges = bin_edges(sure.probability, BINS)
    variance, labels = np.zeros((count, BINS)), np.bincount(sure.document, minlength=count)
    spread = sure.probability * (1.0 - sure.probability)
    np.add.at(variance, (sure.document, bins_of(sure.probability, edges)), spread)
    return Statistic(np.column_stack([variance, labels]), _chance_ece)


def _chance_ece(sums: Numbers) -> Numbers:
    missed: Numbers = chance_misses(sums[..., :-1]) / sums[..., -1]
    return missed


def _mean(values: NDArray[Any], known: Flags) -> Statistic:
    return quotient(np.where(known, values, 0.0).sum(1), known.sum(1))


def _shown(inputs: MetricInputs) -> Statistics:
    """Coverage of the intervals that people see, whatever their level and method."""
    known = ~np.isnan(inputs.targets)
    if inputs.intervals is None or not known.any():
        return {}
    low, high = np.moveaxis(inputs.intervals, -1, 0)
    return {"covered": _mean(lies_between(low, high, inputs.targets, inputs.spec), known)}


def _conformal(inputs: MetricInputs) -> dict[str, Any]:
    """Coverage of split-conformal intervals, or sets of classes, and how large they are: together, and by target."""
    known, quantiles = ~np.isnan(inputs.targets), inputs.conformal
    if quantiles is None or not known.any():
        return {}
    if inputs.predictive is not None:
        bounds = inputs.predictive.around(quantiles * inputs.predictive.sd, inputs.spec.ranges)
        low, high = np.moveaxis(bounds, -1, 0)
        inside, size, unit = lies_between(low, high, inputs.targets, inputs.spec), high - low, "width"
    elif inputs.averaged is None or not inputs.spec.classes:
        return {}
    else:
        probabilities = _probabilities(inputs)
        held = (1.0 - probabilities <= quantiles[:, None]) | (probabilities == probabilities.max(-1, keepdims=True))
        truth = np.where(known, inputs.targets, 0).astype(int)[..., None]
        inside, size, unit = np.take_along_axis(held, truth, axis=-1)[..., 0], held.sum(-1), "size"

    def figures(own: slice) -> Statistics:
        covered, sizes = (_mean(values[:, own], known[:, own]) for values in (inside, size))
        return {f"conformal_{SPLIT}": covered, f"conformal_{unit}_{SPLIT}": sizes}

    return {**figures(EVERY), **_by_target(inputs.spec, known, figures)}


def _compute(inputs: MetricInputs) -> Mapping[str, Any]:
    ratings = {} if inputs.predictive is None else _ratings(inputs)
    families: tuple[Mapping[str, Any], ...] = (_shown(inputs), ratings, _classes(inputs), _conformal(inputs))
    found = {name: figure for family in families for name, figure in family.items()}
    aspects: dict[str, dict[str, Any]] = {}
    for family in families:
        for name, figures in family.get("aspects", {}).items():
            aspects[name] = aspects.get(name, {}) | figures
    return found | ({"aspects": aspects} if aspects else {})


def _curves(inputs: MetricInputs) -> dict[str, Any]:
    """`pit`, by target the documents in `PIT_BINS` bins of the probability integral transform; `reliability`."""
    curves: dict[str, Any] = {}
    sure = forecasts(inputs)
    if sure is not None:
        curves["reliability"] = reliability(sure, bin_edges(sure.probability, BINS)).to_dict()
    known = ~np.isnan(inputs.targets)
    if inputs.predictive is not None and known.any():
        low, high = inputs.predictive.pit_ends(np.where(known, inputs.targets, inputs.predictive.mean))
        each = zip(inputs.spec.names, low.T, high.T, known.T, strict=True)
        curves["pit"] = {name: pit_histogram(a[rated], b[rated]).tolist() for name, a, b, rated in each if rated.any()}
    return curves


def pit_histogram(low: Numbers, high: Numbers) -> Numbers:
    """How many values lie in each of `PIT_BINS` equal bins from 0 to 1; about as many if distributions are right.

    A value that stands for a stretch, because the distribution function jumps there, is divided among its bins.

    Args:
        low: where the stretch of each value begins, `(N,)`.
        high: where it ends; the same number where there is none.
    """
    edges = np.linspace(0.0, 1.0, PIT_BINS + 1)[1:-1, None]
    width = high - low
    share = np.where(width > 0, np.clip((edges - low) / np.where(width > 0, width, 1.0), 0.0, 1.0), low < edges)
    below: Numbers = np.concatenate([[0.0], share.sum(1), [float(len(low))]])
    return np.diff(below)


def coverage_curve(counts: NDArray[Any]) -> tuple[Numbers, Numbers]:
    """Levels of central intervals, and the share of true ratings that each covers, from a :func:`pit_histogram`."""
    half = len(counts) // 2
    pairs = counts[:half][::-1] + counts[half:]
    return np.arange(half + 1) / half, np.concatenate([[0.0], np.cumsum(pairs) / counts.sum()])


REGISTERED = MetricFamily(
    (
        Metric("covered", "truth in interval", "%"),
        Metric("crps", "CRPS", ".4g", "lower"),
        Metric("log_score", "log score (nats)", ".4g", "lower"),
        Metric("brier", "Brier score", ".4g", "lower"),
        Metric("ece", "calibration error (ECE)", ".3f", "lower", main=True),
        Metric("ece_chance", "  ECE of chance alone", ".3f", main=True),
        Metric("covered_50", "truth in the 50 % interval", "%"),
        Metric("covered_80", "truth in the 80 % interval", "%"),
        Metric("covered_90", "truth in the 90 % interval", "%", main=True),
        Metric("covered_low", "  third with the fewest words kept", "%"),
        Metric("covered_middle", "  middle third", "%"),
        Metric("covered_high", "  third with the most words kept", "%"),
        Metric("covered_empty", "  documents with none kept", "%"),
        Metric("width_50", format=".4g", better="lower"),
        Metric("width_80", format=".4g", better="lower"),
        Metric("width_90", "width of the 90 % interval", ".4g", "lower", main=True),
        Metric("conformal_90", "truth in the conformal 90 % interval or set", "%"),
        Metric("conformal_width_90", format=".4g", better="lower"),
        Metric("conformal_size_90", "  classes in it", ".3g", "lower"),
        Metric("spearman_sd", "rank correlation, sd and error", ".3f", "higher"),
    ),
    _compute,
    needs=(),
    curves=_curves,
)
