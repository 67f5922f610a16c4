"""From the model's distribution over scaled targets to numbers in the user's units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyro.distributions as dist
import torch
from numpy.typing import NDArray

from pyro_rationale.data.corpus import TargetSpec

Numbers = NDArray[np.float64]


def values_of(law: dist.TorchDistribution, spec: TargetSpec) -> Numbers:
    """What is predicted of each document.

    Args:
        law: p(y | x, z) in scaled units, batch shape `(*s, B)`.
        spec: kind, ranges and classes of the target.

    Returns:
        `(*s, B, W)`: expected ratings in the user's units, probabilities of the second class for binary labels,
        or the probabilities of all classes. A Normal's mean may lie beyond the ends of the scale: errors and draws
        are made of it as it is, people see it :func:`clip_to_range`.
    """
    numbers = _numpy(law.probs if spec.kind == "multiclass" else law.mean)
    if spec.kind != "regression":
        return numbers
    low, high = np.array(spec.ranges, dtype=float).T
    return low + (high - low) * numbers


def clip_to_range(values: Numbers, spec: TargetSpec) -> Numbers:
    """`values` `(*s, W)` as people see them: ratings no lower and no higher than their scale goes."""
    if spec.kind != "regression":
        return values
    low, high = np.array(spec.ranges, dtype=float).T
    return values.clip(low, high)


def noise_of(law: dist.TorchDistribution, spec: TargetSpec) -> Numbers:
    """Standard deviation of the ratings around `values_of`, in the user's units, `(*s, B, D)`."""
    low, high = np.array(spec.ranges, dtype=float).T
    return (high - low) * np.sqrt(_numpy(law.variance))


def sample_targets(law: dist.TorchDistribution, spec: TargetSpec) -> Numbers:
    """One draw of each target: `(*s, B, D)` ratings in the user's units or 0/1, or `(*s, B, 1)` class indices.

    Ratings are not cut at the ends of the scale: that is how the likelihood is.
    """
    numbers = _numpy(law.sample())
    if spec.kind == "multiclass":
        return numbers[..., None]
    if spec.kind == "binary":
        return numbers
    low, high = np.array(spec.ranges, dtype=float).T
    return low + (high - low) * numbers


@dataclass(frozen=True)
class Mixture:
    """A mixture of Normals per target: one component per mask, weighted by its share of the draws.

    Attributes:
        means: `(S, *b, D)`.
        sds: `(S, *b, D)`, the likelihood's noise; > 0.
        weights: `(S, *b)`, summing to 1 over the first axis.
    """

    means: Numbers
    sds: Numbers
    weights: Numbers

    @property
    def mean(self) -> Numbers:
        """`(*b, D)`."""
        return self._average(self.means)

    @property
    def sd(self) -> Numbers:
        """`(*b, D)`; disagreement between masks and noise together (law of total variance)."""
        return np.sqrt(self._average(self.sds**2 + (self.means - self.mean) ** 2))

    def cdf(self, values: Numbers) -> Numbers:
        """P(y <= value), `(*b, D)` -> `(*b, D)`."""
        below = torch.special.ndtr(torch.from_numpy((values - self.means) / self.sds))
        return self._average(below.numpy())

    def quantile(self, probability: float) -> Numbers:
        """The value below which `probability` lies, `(*b, D)`, by bisection between the components' own extremes."""
        low = (self.means - 9 * self.sds).min(0)
        high = (self.means + 9 * self.sds).max(0)
        for _ in range(60):
            middle = (low + high) / 2
            below = self.cdf(middle) < probability
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2

    def ends(self, level: float, ranges: tuple[tuple[float, float], ...]) -> Numbers:
        """The central interval of probability `level` per target, cut at the ends of the rating scale, `(*b, D, 2)`."""
        ends = np.stack([self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)], axis=-1)
        bottom, top = np.array(ranges, dtype=float).T[..., None]
        return ends.clip(bottom, top)

    def interval(self, level: float, ranges: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
        """The same of one document, as a pair per target."""
        return [(low, high) for low, high in self.ends(level, ranges).tolist()]

    def _average(self, values: Numbers) -> Numbers:
        return np.einsum("s...,s...d->...d", self.weights, values)


def _numpy(values: torch.Tensor) -> Numbers:
    return values.detach().to("cpu", torch.float64).numpy()
