"""Predictive distribution of ratings of few levels: a mixture over masks of probabilities per level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.tasks._mixture import Mixture, Numbers

Indices = NDArray[np.intp]
SMALLEST_PROBABILITY = 1e-12  # bounds the log score
ROUNDING = 1e-9  # probabilities this close are one


@dataclass(frozen=True, kw_only=True)
class LevelMixture(Mixture):
    """Levels of each target with their probabilities, one component per mask.

    Hardly any stretch of few levels has a probability of just 90 %. Those from the 5 % to the 95 % quantile have 90 %
    or more, and mostly much more; so an interval is the stretch around the median whose probability is nearest to 90 %,
    of those that would hold no more if they were moved by one level: "1 to 4" with 3 % for 1 is none where 5 has 9 %.
    Of probabilities with one peak these are the sets of the most probable levels.
    Single quantiles are those of the mid-distribution, F(y) - P(y) / 2, between levels by linear interpolation (Ma,
    Genton and Parzen, 2011, "Asymptotic properties of sample quantiles of discrete distributions").

    Attributes:
        probabilities: of the levels, `(S, *b, D, L)`, adding up to 1; 0 behind the last level of a target.
        levels: the ratings, `(D, L)`, in rising order; behind a target's last level, that level again.
    """

    probabilities: Numbers
    levels: Numbers

    per_component: ClassVar[tuple[str, ...]] = ("means", "sds", "probabilities")

    @property
    def shares(self) -> Numbers:
        """Probability of each level, averaged over masks, `(*b, D, L)`."""
        return np.einsum("s...,s...dl->...dl", self.weights, self.probabilities)

    def cdf(self, values: Numbers) -> Numbers:
        """P(y <= value), `(*b, D)` -> `(*b, D)`."""
        near = 1e-6 * self._steps
        return np.sum(self.shares * (self.levels <= (values + near)[..., None]), axis=-1)

    def quantile(self, probability: float) -> Numbers:
        """The rating at which the mid-distribution function is `probability`, `(*b, D)`; within the scale."""
        middles = self._middles
        above = np.argmax(np.append(middles, np.ones_like(middles[..., :1]), axis=-1) >= probability, axis=-1)
        after = np.minimum(above, self._last)
        before = np.maximum(after - 1, 0)
        low, high = (_at(middles, index) for index in (before, after))
        share = np.clip((probability - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0)
        first, second = (_at(np.broadcast_to(self.levels, middles.shape), index) for index in (before, after))
        return first + share * (second - first)

    def interval_bounds(self, level: float, ranges: tuple[tuple[float, float], ...]) -> Numbers:
        """Ends of the stretch of levels around the median whose probability is nearest to `level`, `(*b, D, 2)`.

        The next level on one side is no more probable than the end on the other; a single level may be a valley.
        """
        shares = self.shares
        below = np.cumsum(shares, axis=-1)
        first, last = np.triu_indices(below.shape[-1])  # of all stretches
        nothing = np.zeros_like(below[..., :1])
        held = below[..., last] - np.append(nothing, below, axis=-1)[..., first]
        median = np.minimum((below < 0.5).sum(-1, keepdims=True), below.shape[-1] - 1)
        narrow = ROUNDING * (last - first)  # the narrower of two alike
        edged = np.concatenate([nothing, shares, nothing], axis=-1)
        before, after = edged[..., first], edged[..., last + 2]  # the levels next to a stretch
        even = (shares[..., first] >= after - ROUNDING) & (shares[..., last] >= before - ROUNDING) | (first == last)
        around = (first <= median) & (median <= last)
        distances = np.where(around & even, np.abs(held - level) + narrow, np.inf)
        best = distances.argmin(-1)
        levels = np.broadcast_to(self.levels, below.shape)
        return np.stack([_at(levels, first[best]), _at(levels, last[best])], axis=-1)

    def around(self, reach: Numbers, ranges: tuple[tuple[float, float], ...]) -> Numbers:
        """Lowest and highest level that is no further from the mean, or the level nearest to it, `(*b, D, 2)`."""
        near = reach + 1e-6 * self._steps
        inside = np.abs(self.levels - self.mean[..., None]) <= near[..., None]
        nearest = self._nearest(self.mean)
        first = np.where(inside.any(-1), inside.argmax(-1), nearest)
        last = np.where(inside.any(-1), inside.shape[-1] - 1 - inside[..., ::-1].argmax(-1), nearest)
        levels = np.broadcast_to(self.levels, inside.shape)
        return np.stack([_at(levels, first), _at(levels, last)], axis=-1)

    def crps(self, targets: Numbers) -> Numbers:
        """Continuous ranked probability score in rating units, `(*b, D)`: the integral of (F(y) - [y >= target])^2."""
        below = np.cumsum(self.shares, axis=-1)[..., :-1]
        low, high = self.levels[:, :-1], self.levels[:, 1:]
        inside = np.clip(targets[..., None], low, high)  # where the target divides the stretch between two levels
        within = np.sum((inside - low) * below**2 + (high - inside) * (1.0 - below) ** 2, axis=-1)
        return within + np.abs(targets - np.clip(targets, self.levels[:, 0], self.levels[:, -1]))

    def log_prob(self, targets: Numbers) -> Numbers:
        """Log probability of the level nearest to each target, `(*b, D)`: of the level itself, no density."""
        return np.log(np.maximum(_at(self.shares, self._nearest(targets)), SMALLEST_PROBABILITY))

    def pit(self, targets: Numbers) -> Numbers:
        """Mid-distribution function at the level nearest to each target, `(*b, D)`."""
        return _at(self._middles, self._nearest(targets))

    def pit_ends(self, targets: Numbers) -> tuple[Numbers, Numbers]:
        """Probability of lower levels, and of the level with these, `(*b, D)` (Czado, Gneiting and Held 2009)."""
        index = self._nearest(targets)
        half = 0.5 * _at(self.shares, index)
        middle = _at(self._middles, index)
        return middle - half, middle + half

    @property
    def _steps(self) -> Numbers:
        return self.levels[:, 1] - self.levels[:, 0]

    @property
    def _last(self) -> Indices:
        """Index of the highest level of each target that has any probability, `(*b, D)`."""
        shares = self.shares
        return shares.shape[-1] - 1 - np.argmax(shares[..., ::-1] > 0, axis=-1)

    @property
    def _middles(self) -> Numbers:
        """Mid-distribution function at each level, `(*b, D, L)`."""
        shares = self.shares
        return np.cumsum(shares, axis=-1) - 0.5 * shares

    def _nearest(self, targets: Numbers) -> Indices:
        """Index of the level nearest to each target; 0 for unknown ones."""
        return np.argmin(np.abs(np.nan_to_num(targets)[..., None] - self.levels), axis=-1)


def _at(values: Numbers, index: Indices) -> Numbers:
    """The entry of the last axis at an index, `(*b, D, L)` and `(*b, D)` -> `(*b, D)`."""
    return np.take_along_axis(values, index[..., None], axis=-1)[..., 0]
