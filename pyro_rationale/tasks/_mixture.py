"""Predictive distribution of ratings: a mixture over masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
CELLS = 4_000_000  # pairs of components held at once
POINTS = 400  # of quadrature, where a component is not Normal
EXACT = 1e-11  # standard deviations: how near a quantile is found
MOST_STEPS = 120  # at least every second one halves where it can lie
FLATTEST = 1e-100  # slope of a distribution function to divide by
STEP = 1e-4  # standard deviations, of a density that is the difference of a distribution function


def normal_cdf(values: Numbers) -> Numbers:
    """P(x <= value) of a standard Normal."""
    return torch.special.ndtr(torch.from_numpy(values)).numpy()


def normal_log_density(values: Numbers) -> Numbers:
    """Log density of a standard Normal."""
    return -0.5 * (values**2 + np.log(2 * np.pi))


@lru_cache(maxsize=64)
def _standard_quantile(cdf: Callable[[Numbers], Numbers], probability: float) -> float:
    """The value below which `probability` lies under a standard distribution, by bisection."""
    low, high = -9.0, 9.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if cdf(np.array([middle]))[0] < probability else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class Mixture:
    """One component per mask and target, weighted by the mask's share of the draws.

    Attributes:
        means: `(S, *b, D)`.
        sds: `(S, *b, D)`, the likelihood's noise; > 0.
        weights: `(S, *b)`, summing to 1 over the first axis.
        standard_cdf: distribution function of a component of mean 0 and standard deviation 1.
        standard_log_density: its log density; `None` for that of :func:`normal_cdf`, or a difference of another
            `standard_cdf`.
    """

    means: Numbers
    sds: Numbers
    weights: Numbers
    standard_cdf: Callable[[Numbers], Numbers] = normal_cdf
    standard_log_density: Callable[[Numbers], Numbers] | None = None

    per_component: ClassVar[tuple[str, ...]] = ("means", "sds")  # fields beside `weights` that begin with the axis S

    @classmethod
    def stack(cls, mixtures: Sequence[Mixture]) -> Mixture:
        """Mixtures of one document each, `(S, D)` with any `S`, as one of all `(N,)` documents; weight 0 fills up."""
        most = max(len(one.weights) for one in mixtures)

        def filled(arrays: Sequence[Numbers], mode: Literal["edge", "constant"]) -> Numbers:
            rows = [np.pad(array, [(0, most - len(array)), *[(0, 0)] * (array.ndim - 1)], mode) for array in arrays]
            return np.stack(rows, axis=1)

        parts: dict[str, Any] = {
            name: filled([getattr(one, name) for one in mixtures], "edge") for name in mixtures[0].per_component
        }
        return replace(mixtures[0], weights=filled([one.weights for one in mixtures], "constant"), **parts)

    def document(self, index: int) -> Mixture:
        """The mixture of one document of those of batch shape `(N,)`, without components of no weight."""
        drawn = self.weights[:, index] > 0
        parts: dict[str, Any] = {name: getattr(self, name)[drawn, index] for name in (*self.per_component, "weights")}
        return replace(self, **parts)

    @property
    def mean(self) -> Numbers:
        """Mean of the mixture, `(*b, D)`."""
        return self._average(self.means)

    @property
    def sd(self) -> Numbers:
        """Standard deviation, `(*b, D)`; disagreement between masks and noise together (law of total variance)."""
        return np.sqrt(self._average(self.sds**2 + (self.means - self.mean) ** 2))

    def cdf(self, values: Numbers) -> Numbers:
        """P(y <= value), `(*b, D)` -> `(*b, D)`."""
        return self._average(self.standard_cdf((values - self.means) / self.sds))

    def quantile(self, probability: float) -> Numbers:
        """The value below which `probability` lies, `(*b, D)`."""
        value: Numbers = self._quantiles([probability])[..., 0]
        return value

    def _quantiles(self, probabilities: Sequence[float]) -> Numbers:
        """The values below which each of the probabilities lies, `(*b, D, P)`.

        They lie between those of the components, and are found by Newton's method; by bisection where it would leave
        that stretch, or gains too little.
        """
        goal = np.array(probabilities, dtype=float)
        means, sds = self.means[..., None], self.sds[..., None]
        ends = means + sds * np.array([_standard_quantile(self.standard_cdf, one) for one in probabilities])
        margin = EXACT * sds.max(0)
        low, high = ends.min(0) - margin, ends.max(0) + margin
        value = np.einsum("s...,s...dp->...dp", self.weights, ends)
        before = np.full(value.shape, np.inf)
        for _ in range(MOST_STEPS):
            places = (value - means) / sds
            error = np.einsum("s...,s...dp->...dp", self.weights, self.standard_cdf(places)) - goal
            slope = np.einsum("s...,s...dp->...dp", self.weights, np.exp(self._log_density(places)) / sds)
            low, high = np.where(error < 0.0, value, low), np.where(error < 0.0, high, value)
            done = (np.abs(error) <= margin * slope) & (slope > FLATTEST) | (high - low <= margin)
            if done.all():
                break
            newton = value - error / np.maximum(slope, FLATTEST)
            good = (low < newton) & (newton < high) & (np.abs(error) < before / 2)
            value = np.where(done, value, np.where(good, newton, (low + high) / 2))
            before = np.where(good, np.abs(error), np.inf)
        return value

    def _log_density(self, places: Numbers) -> Numbers:
        """Log density of a component at so many standard deviations from its mean, in the unit of these."""
        if self.standard_log_density is not None:
            return self.standard_log_density(places)
        if self.standard_cdf is normal_cdf:
            return normal_log_density(places)
        rise = self.standard_cdf(places + STEP) - self.standard_cdf(places - STEP)
        with np.errstate(divide="ignore"):
            log_density: Numbers = np.log(np.maximum(rise, 0.0) / (2 * STEP))
        return log_density

    def interval_bounds(self, level: float, ranges: tuple[tuple[float, float], ...]) -> Numbers:
        """The central interval of probability `level` per target, cut at the ends of the rating scale, `(*b, D, 2)`."""
        bounds = self._quantiles([(1 - level) / 2, (1 + level) / 2])
        bottom, top = np.array(ranges, dtype=float).T[..., None]
        return bounds.clip(bottom, top)

    def around(self, reach: Numbers, ranges: tuple[tuple[float, float], ...]) -> Numbers:
        """The interval that reaches `reach` to either side of the mean, cut at the ends of the scale, `(*b, D, 2)`."""
        bottom, top = np.array(ranges, dtype=float).T[..., None]
        bounds: Numbers = np.stack([self.mean - reach, self.mean + reach], axis=-1).clip(bottom, top)
        return bounds

    def pit(self, targets: Numbers) -> Numbers:
        """Probability integral transform of true ratings, `(*b, D)`: uniform if the distribution is right."""
        return self.cdf(targets)

    def pit_ends(self, targets: Numbers) -> tuple[Numbers, Numbers]:
        """Between which values the transform jumps at true ratings, `(*b, D)` each: equal, unless there are levels."""
        return self.pit(targets), self.pit(targets)

    def log_prob(self, targets: Numbers) -> Numbers:
        """Log density of true ratings, `(*b, D)`, in nats."""
        parts = self._log_density((targets - self.means) / self.sds) - np.log(self.sds)
        with np.errstate(divide="ignore"):
            parts = parts + np.log(self.weights)[..., None]
        return torch.logsumexp(torch.from_numpy(parts), 0).numpy()

    def crps(self, targets: Numbers) -> Numbers:
        """Continuous ranked probability score of true ratings, `(*b, D)`, in their unit; the lower the better.

        For Normal components the closed form of Grimit et al. (2006); for others by quadrature.
        """
        if self.standard_cdf is not normal_cdf:
            return self._crps_by_quadrature(targets)
        size = len(self.weights)
        means, sds = (np.moveaxis(each, 0, -1).reshape(-1, size) for each in (self.means, self.sds))
        columns = self.means.shape[-1]
        weights = np.repeat(np.moveaxis(self.weights, 0, -1).reshape(-1, size), columns, axis=0)
        flat = targets.reshape(-1)
        scores = np.zeros(len(flat))
        step = max(1, CELLS // size**2)
        for start in range(0, len(flat), step):
            rows = slice(start, start + step)
            mean, variance, weight = means[rows], sds[rows] ** 2, weights[rows]
            near = _mean_distance(flat[rows, None] - mean, variance)
            apart = _mean_distance(mean[:, :, None] - mean[:, None, :], variance[:, :, None] + variance[:, None, :])
            scores[rows] = (weight * near).sum(1) - 0.5 * np.einsum("ns,nt,nst->n", weight, weight, apart)
        return scores.reshape(targets.shape)

    def _crps_by_quadrature(self, targets: Numbers) -> Numbers:
        """Integral of the squared distance of both distribution functions, on either side of the truth."""
        low = np.minimum((self.means - 12 * self.sds).min(0), targets)
        high = np.maximum((self.means + 12 * self.sds).max(0), targets)
        nodes, factors = np.polynomial.legendre.leggauss(POINTS)
        score = np.zeros(targets.shape)
        for begin, end, step in ((low, targets, 0.0), (targets, high, 1.0)):
            half = (end - begin) / 2
            for node, factor in zip(nodes, factors, strict=True):
                score += factor * half * (self.cdf(begin + half * (1 + node)) - step) ** 2
        return score

    def _average(self, values: Numbers) -> Numbers:
        return np.einsum("s...,s...d->...d", self.weights, values)


def _mean_distance(means: Numbers, variances: Numbers) -> Numbers:
    """E|x| of Normal x."""
    sds = np.sqrt(variances)
    places = means / sds
    return means * (2 * normal_cdf(places) - 1) + 2 * sds * np.exp(normal_log_density(places))
