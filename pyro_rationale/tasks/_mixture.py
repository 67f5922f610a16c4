"""Predictive distribution of ratings: a mixture over masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def normal_cdf(values: Numbers) -> Numbers:
    """P(x <= value) of a standard Normal."""
    return torch.special.ndtr(torch.from_numpy(values)).numpy()


@dataclass(frozen=True)
class Mixture:
    """One component per mask and target, weighted by the mask's share of the draws.

    Attributes:
        means: `(S, *b, D)`.
        sds: `(S, *b, D)`, the likelihood's noise; > 0.
        weights: `(S, *b)`, summing to 1 over the first axis.
        standard_cdf: distribution function of a component of mean 0 and standard deviation 1.
    """

    means: Numbers
    sds: Numbers
    weights: Numbers
    standard_cdf: Callable[[Numbers], Numbers] = normal_cdf

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
        """The value below which `probability` lies, `(*b, D)`, by bisection between the components' own extremes."""
        low = (self.means - 9 * self.sds).min(0)
        high = (self.means + 9 * self.sds).max(0)
        for _ in range(60):
            middle = (low + high) / 2
            below = self.cdf(middle) < probability
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2

    def interval_bounds(self, level: float, ranges: tuple[tuple[float, float], ...]) -> Numbers:
        """The central interval of probability `level` per target, cut at the ends of the rating scale, `(*b, D, 2)`."""
        bounds = np.stack([self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)], axis=-1)
        bottom, top = np.array(ranges, dtype=float).T[..., None]
        return bounds.clip(bottom, top)

    def _average(self, values: Numbers) -> Numbers:
        return np.einsum("s...,s...d->...d", self.weights, values)
