"""Bootstrap intervals over documents, and paired tests of two runs on the same documents.

All of it resamples or swaps *documents*, and so speaks of these fitted runs on other documents like these. It does not
speak of the methods: another training seed is another run. :func:`seeds_test` is about those.

Every figure is a function of sums over documents (:class:`~pyro_rationale.evaluation.statistic.Statistic`), so
a resample is a vector of weights and all figures of all resamples are one product of matrices; scipy is not needed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np

from pyro_rationale.evaluation.statistic import Numbers, Statistic, combined

Interval = tuple[float, float]
Method = Literal["bca", "percentile"]
NOTHING: Interval = (math.nan, math.nan)
LEVEL = 0.95
CELLS = 4_000_000  # weights held at once
ROUNDING = 1e-10  # relative; sums in another order differ by less


class PValue(NamedTuple):
    """Result of a significance test.

    Attributes:
        p: two-sided.
        exact: whether every swap was counted, and not a sample of them.
    """

    p: float
    exact: bool


def p_text(p: float) -> str:
    """A p-value as tables show it: `.032`, `< .001`, `-` for NaN."""
    if math.isnan(p):
        return "-"
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


@dataclass(frozen=True)
class Difference:
    """A figure of two runs on the same documents.

    Attributes:
        one: of the first run.
        other: of the second.
        low: lower end of the interval of `one - other`.
        high: its upper end.
        p: of the permutation test.
        exact: whether that test counted every swap.
    """

    one: float
    other: float
    low: float
    high: float
    p: float
    exact: bool

    @property
    def difference(self) -> float:
        """`one - other`."""
        return self.one - self.other


def intervals(
    statistics: Mapping[str, Statistic], draws: int = 2000, level: float = LEVEL, method: Method = "bca", seed: int = 0
) -> dict[str, Interval]:
    """Bootstrap intervals over documents, all from the same resamples.

    Args:
        statistics: of the same documents in the same order.
        draws: resamples, at least 1.
        level: of the interval.
        method: `bca` is corrected for bias and skewness (Efron 1987, section 3), with the acceleration from leaving
            out one document at a time; `percentile` is not.
        seed: of the resamples.

    Returns:
        Lower and upper ends by name; NaN where there are fewer than two documents or the figure is no number.

    Raises:
        ValueError: the statistics are of different numbers of documents, or there is no draw.
    """
    count = _documents(statistics, draws)
    if count < 2:
        return dict.fromkeys(statistics, NOTHING)
    rng = np.random.default_rng(seed)
    replicates: dict[str, list[Numbers]] = {name: [] for name in statistics}
    for size in _chunks(draws, count):
        weights = rng.multinomial(count, np.full(count, 1 / count), size=size).astype(float)
        for name, statistic in statistics.items():
            replicates[name].append(statistic.of(weights @ statistic.table))
    ends = _bca if method == "bca" else _percentile
    return {name: ends(statistics[name], np.concatenate(parts), level) for name, parts in replicates.items()}


def standard_error(statistic: Statistic) -> float:
    """Standard error of a figure, by leaving out each document in turn (jackknife; Efron and Tibshirani 1993, (11.5)).

    Returns:
        NaN where there are fewer than two documents.
    """
    count = len(statistic)
    if count < 2:
        return math.nan
    without = _without_one(statistic)
    return math.sqrt((count - 1) / count * float(np.sum((without - without.mean()) ** 2)))


def _without_one(statistic: Statistic) -> Numbers:
    """The figure without each of the documents."""
    return statistic.of(statistic.table.sum(0) - statistic.table)


def _percentile(statistic: Statistic, replicates: Numbers, level: float) -> Interval:
    if np.isnan(replicates).any():
        return NOTHING
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _bca(statistic: Statistic, replicates: Numbers, level: float) -> Interval:
    value = statistic.value
    if np.isnan(replicates).any() or math.isnan(value):
        return NOTHING
    slack = ROUNDING * max(abs(value), 1e-300)
    below = float(np.mean((replicates < value - slack) + 0.5 * (np.abs(replicates - value) <= slack)))
    if not 0.0 < below < 1.0:  # the correction would be infinite
        return _percentile(statistic, replicates, level)
    without = _without_one(statistic)
    away = without.mean() - without
    spread = float(np.sum(away**2)) ** 1.5
    acceleration = float(np.sum(away**3)) / (6 * spread) if spread > 0 else 0.0
    normal, probabilities = NormalDist(), []
    bias = normal.inv_cdf(below)
    for tail in ((1 - level) / 2, (1 + level) / 2):
        shifted = bias + normal.inv_cdf(tail)
        probabilities.append(normal.cdf(bias + shifted / (1 - acceleration * shifted)))
    low, high = np.quantile(replicates, probabilities)
    return float(low), float(high)


def paired_test(one: Statistic, other: Statistic, draws: int = 9999, seed: int = 0) -> PValue:
    """Permutation test of two runs: could either have made either's result on each document?

    What the two runs did on a document is swapped, document by document, and the difference of the figures computed
    anew. Documents on which both add the same change nothing; with `n` others there are 2^n swaps. If these are at
    most `draws + 1`, all are counted (p is a multiple of 2^-n), else `draws` are drawn and p is (1 + as extreme) /
    (1 + draws) (Phipson and Smyth 2010).

    Args:
        one: of the first run.
        other: of the second, on the same documents in the same order.
        draws: swaps to draw, at least 1.
        seed: of these.

    Raises:
        ValueError: the runs were measured on different numbers of documents, or there is no draw.
    """
    _documents({"one": one, "other": other}, draws)
    if one.table.shape != other.table.shape:
        raise ValueError(f"expected the same figure twice, got tables {one.table.shape} and {other.table.shape}")
    first, second = one.table.sum(0), other.table.sum(0)
    observed = abs(float(one.of(first) - other.of(second)))
    if math.isnan(observed):
        return PValue(math.nan, False)
    move = other.table - one.table
    move = move[(move != 0).any(1)]
    exact = 2 ** len(move) <= draws + 1 if len(move) < 63 else False
    bound = observed - ROUNDING * max(abs(one.value), abs(other.value))
    swaps = _every_swap(len(move)) if exact else _some_swaps(len(move), draws, seed)
    extreme = total = 0
    for swap in swaps:
        moved = swap @ move
        extreme += int((np.abs(one.of(first + moved) - other.of(second - moved)) >= bound).sum())
        total += len(swap)
    return PValue(extreme / total, True) if exact else PValue((1 + extreme) / (1 + total), False)


def differences(
    one: Mapping[str, Statistic], other: Mapping[str, Statistic], draws: int = 9999, level: float = LEVEL, seed: int = 0
) -> dict[str, Difference]:
    """Every figure that both runs have: their difference, its paired bootstrap interval, and the paired test.

    Args:
        one: of the first run, by name.
        other: of the second, on the same documents in the same order.
        draws: resamples, and swaps.
        level: of the intervals.
        seed: of both.

    Raises:
        ValueError: the runs were measured on different numbers of documents, or there is no draw.
    """
    names = [name for name in one if name in other]
    for name in names:
        _documents({"one": one[name], "other": other[name]}, draws)
    ends = intervals({name: combined(np.subtract, one[name], other[name]) for name in names}, draws, level, seed=seed)
    results = {}
    for name in names:
        p, exact = paired_test(one[name], other[name], draws, seed)
        results[name] = Difference(one[name].value, other[name].value, *ends[name], p, exact)
    return results


def seeds_test(one: Sequence[float], other: Sequence[float], draws: int = 99_999, seed: int = 0) -> PValue:
    """Permutation test of two methods from one figure per training seed: could the labels be exchanged?

    The difference of means under every division of the seeds into groups of these sizes; five against five have 252,
    so that p is at least 2/252 = 0.008, three against three at least 0.1.

    Args:
        one: a figure per seed of the first method.
        other: of the second; runs of the same seed are not taken to be pairs.
        draws: divisions to draw where there are more.
        seed: of these.
    """
    values, size = np.array([*one, *other], dtype=float), len(one)
    if not one or not other or draws < 1:
        raise ValueError(f"expected figures of both methods and a draw, got {len(one)}, {len(other)} and {draws}")
    if np.isnan(values).any():
        return PValue(math.nan, False)
    exact = math.comb(len(values), size) <= draws + 1
    if exact:
        chosen = np.array(list(itertools.combinations(range(len(values)), size)))
    else:
        rng = np.random.default_rng(seed)
        chosen = np.array([rng.permutation(len(values))[:size] for _ in range(draws)])
    sums = values[chosen].sum(1)
    gaps = np.abs(sums / size - (values.sum() - sums) / (len(values) - size))
    observed = abs(values[:size].mean() - values[size:].mean())
    extreme = int((gaps >= observed - ROUNDING * np.abs(values).max()).sum())
    return PValue(extreme / len(gaps), True) if exact else PValue((1 + extreme) / (1 + draws), False)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted for their number (Holm 1979).

    If there is no difference at all, all of them are above 0.05 with probability 0.95. NaN stays, and does not count.
    """
    order = sorted((p, name) for name, p in p_values.items() if not math.isnan(p))
    adjusted, worst = dict(p_values), 0.0
    for rank, (p, name) in enumerate(order):
        worst = max(worst, min(1.0, p * (len(order) - rank)))
        adjusted[name] = worst
    return adjusted


def added(statistics: Sequence[Statistic]) -> Statistic:
    """Several runs of one method on the same documents as one: each document's parts are summed over the runs.

    Raises:
        ValueError: they are not of the same documents, or there is none.
    """
    if len({statistic.table.shape for statistic in statistics}) != 1:
        raise ValueError(f"expected runs on the same documents, got {[s.table.shape for s in statistics]}")
    return Statistic(np.sum([statistic.table for statistic in statistics], axis=0), statistics[0].of)


def _documents(statistics: Mapping[str, Statistic], draws: int) -> int:
    counts = {len(statistic) for statistic in statistics.values()}
    if len(counts) > 1:
        raise ValueError(f"expected figures of the same documents, got {sorted(counts)} of them")
    if draws < 1:
        raise ValueError(f"expected at least 1 draw, got {draws}")
    return counts.pop() if counts else 0


def _chunks(draws: int, width: int) -> Iterator[int]:
    most = max(1, CELLS // max(1, width))
    for start in range(0, draws, most):
        yield min(most, draws - start)


def _every_swap(count: int) -> Iterator[Numbers]:
    for start in range(0, 2**count, 4096):
        numbers = np.arange(start, min(start + 4096, 2**count))[:, None]
        yield ((numbers >> np.arange(count)) & 1).astype(float)


def _some_swaps(count: int, draws: int, seed: int) -> Iterator[Numbers]:
    rng = np.random.default_rng(seed)
    for size in _chunks(draws, count):
        yield rng.integers(0, 2, size=(size, count)).astype(float)
