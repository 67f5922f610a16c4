"""Ranks of scored items, where equal scores count as every order of them does: the expected value over all orders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Ties:
    """Items in groups of equal scores, best first.

    Attributes:
        size: items of each group, `(G,)`.
        relevant: relevant items of each group, `(G,)`.
    """

    size: NDArray[np.int64]
    relevant: NDArray[np.int64]

    @property
    def before(self) -> NDArray[np.int64]:
        """Items before each group."""
        return np.cumsum(self.size) - self.size

    @property
    def relevant_before(self) -> NDArray[np.int64]:
        """Relevant items before each group."""
        return np.cumsum(self.relevant) - self.relevant


def ties_of(scores: ArrayLike, relevant: ArrayLike) -> Ties:
    """Group items by their scores.

    Args:
        scores: `(n,)`, higher is better; no NaN.
        relevant: `(n,)`, flags.

    Raises:
        ValueError: they differ in length, or a score is NaN.
    """
    values, flags = np.asarray(scores, dtype=float), np.asarray(relevant, dtype=bool)
    if values.shape != flags.shape or values.ndim != 1:
        raise ValueError(f"expected a flag for every score, got {values.shape} scores and {flags.shape} flags")
    if np.isnan(values).any():
        raise ValueError("a score is not a number")
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(ordered) else np.empty(0, np.int64)
    size = np.diff(np.append(starts, len(ordered)))
    counts = np.add.reduceat(flags[order].astype(np.int64), starts) if len(starts) else np.empty(0, np.int64)
    return Ties(size.astype(np.int64), counts)


def average_precision(scores: ArrayLike, relevant: ArrayLike) -> float:
    """Mean over relevant items of the share of relevant ones among the items up to each; NaN if none is relevant."""
    return average_precision_of(ties_of(scores, relevant))


def average_precision_of(ties: Ties) -> float:
    """Expected average precision.

    The item at place `i` of a group of `n`, of which `r` are relevant, behind `R` relevant items, is relevant itself
    with probability `r / n`; up to it there are then `R + 1 + (i - 1)(r - 1) / (n - 1)` relevant ones on average.
    """
    total = int(ties.relevant.sum())
    if not total:
        return float("nan")
    sums = 0.0
    for n, r, before, relevant in zip(ties.size, ties.relevant, ties.before, ties.relevant_before, strict=True):
        if r:
            i = np.arange(n)
            others = i * (r - 1) / (n - 1) if n > 1 else 0.0
            sums += float((r / n * (relevant + 1 + others) / (before + i + 1)).sum())
    return sums / total


def reciprocal_rank_of(ties: Ties) -> float:
    """Expected 1 / rank of the first relevant item; NaN if none is relevant."""
    groups = np.flatnonzero(ties.relevant)
    if not len(groups):
        return float("nan")
    first = groups[0]
    n, r, before = int(ties.size[first]), int(ties.relevant[first]), int(ties.before[first])
    chance = _first_of(n, r)
    return float((chance / (before + np.arange(len(chance)) + 1)).sum())


@lru_cache(maxsize=4096)
def _first_of(n: int, r: int) -> Numbers:
    """Chance that the first of `r` relevant among `n` items in random order is at each place, `(n - r + 1,)`."""
    left = n - np.arange(n - r + 1)
    none = np.cumprod(np.append(1.0, (left[:-1] - r) / left[:-1]))  # no relevant one so far
    return np.asarray(none * r / left)


def found_within(ties: Ties, k: int) -> float:
    """Expected number of relevant items among the first `k`."""
    taken = np.clip(k - ties.before, 0, ties.size)
    return float((ties.relevant * taken / ties.size).sum())


def log_prob_of(logits: NDArray[np.floating], relevant: NDArray[np.bool_]) -> float:
    """Log probability of a relevant item among those that are not, the mean over the relevant ones; NaN without any.

    Args:
        logits: of the items.
        relevant: which are relevant.
    """
    if not relevant.any():
        return float("nan")
    others = np.logaddexp.reduce(logits[~relevant]) if (~relevant).any() else -np.inf
    return float((logits[relevant] - np.logaddexp(logits[relevant], others)).mean())


def discounted_gain_within(ties: Ties, k: int) -> float:
    """Expected sum of 1 / log2(1 + rank) over the relevant items among the first `k`."""
    ends = discounts(k)
    taken = np.clip(ties.before + ties.size, 0, k)
    gain = ends[taken] - ends[np.minimum(ties.before, k)]
    return float((ties.relevant / ties.size * gain).sum())


@lru_cache(maxsize=64)
def discounts(k: int) -> Numbers:
    """Sums of the first 0, 1, ..., `k` discounts 1 / log2(1 + rank), `(k + 1,)`."""
    return np.append(0.0, np.cumsum(1 / np.log2(np.arange(k) + 2)))
