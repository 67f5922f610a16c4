"""Ratings on a scale, with Normal noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.errors import ConfigError, DataError, shown
from pyro_rationale.tasks._base import Labels, Numbers, Task, to_numbers
from pyro_rationale.tasks._cells import Cell, are_numbers, are_zero_or_one, number_of
from pyro_rationale.tasks._levels import has_few_levels
from pyro_rationale.tasks._likelihood import Likelihood
from pyro_rationale.tasks._spec import TargetSpec

SMALLEST_VARIANCE = 1e-8
SMALLEST_SPREAD = 1e-9  # of a scale: ratings that differ by less are equal


class NormalLikelihood(Likelihood):
    """Ratings in [0, 1]: Normal(outputs, sigma), independent over the `D` aspects given the mask.

    Args:
        names: the `D` aspects.
        sigma: standard deviation of the noise, in units of the scaled rating; a buffer, shared by the aspects.
    """

    sigma: Tensor
    has_powers = True

    def __init__(self, names: tuple[str, ...], sigma: float = 0.1) -> None:
        super().__init__(len(names))
        self.register_buffer("sigma", torch.tensor(float(sigma)))

    def forward(self, outputs: Tensor) -> dist.TorchDistribution:
        """Outputs `(*s, B, D)` -> a distribution of batch shape `(*s, B)` and event shape `(D,)`."""
        return dist.Normal(outputs, self.sigma).to_event(1)

    def observe(self, outputs: Tensor, targets: Tensor) -> tuple[dist.TorchDistribution, Tensor]:
        """The distribution with unrated aspects (NaN targets) masked out, and targets without NaN."""
        rated = ~targets.isnan()
        return dist.Normal(outputs, self.sigma).mask(rated).to_event(1), targets.nan_to_num(0.0)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared error of each aspect, `(*s, B, D)`."""
        return torch.where(targets.isnan(), 0.0, (outputs - targets).square())

    def marginal(self, outputs: Tensor, variances: Tensor) -> dist.TorchDistribution:
        """Normal with the variances of noise and outputs added."""
        return dist.Normal(outputs, (self.sigma.to(outputs.dtype).square() + variances).sqrt()).to_event(1)

    def gain(self, kappa: float) -> float:
        """Nats per unit of squared error: kappa / (2 sigma^2)."""
        return kappa / (2.0 * float(self.sigma) ** 2)

    def kappa_for(self, gain: float) -> float:
        """Weight kappa = 2 sigma^2 gain of the log likelihood."""
        return 2.0 * float(self.sigma) ** 2 * gain

    def log_normalizer(self) -> float:
        """Nats per rating that no output changes: 1/2 log(2 pi sigma^2)."""
        return 0.5 * math.log(2.0 * math.pi * float(self.sigma) ** 2)

    @property
    def noise(self) -> float:
        """Standard deviation sigma of the noise."""
        return float(self.sigma)

    def fit_noise(self, loss: float) -> None:
        """Set sigma to the root of the mean squared error."""
        self.sigma.fill_(math.sqrt(max(loss, SMALLEST_VARIANCE)))

    def best_log_likelihood(self, loss: float, known: float) -> float:
        """Log probability of ratings whose mean squared error is the variance."""
        variance = max(loss / known, SMALLEST_VARIANCE)
        return -known * (0.5 * math.log(2.0 * math.pi * variance)) - loss / (2.0 * variance)

    def powered(self, outputs: Tensor, kappa: float) -> dist.TorchDistribution:
        """Normal with standard deviation sigma / sqrt(kappa)."""
        return dist.Normal(outputs, (self.sigma / kappa**0.5).to(outputs.dtype)).to_event(1)

    def log_power_normalizer(self, kappa: float) -> float:
        """(kappa - 1) / 2 log(2 pi sigma^2) + 1/2 log kappa."""
        return (kappa - 1.0) * self.log_normalizer() + 0.5 * math.log(kappa)


class RegressionTask(Task):
    """Ratings of one or several aspects, each on a scale of its own; unrated aspects are NaN."""

    family = "regression"
    cost_name = "mse"
    loss_unit = "scaled rating squared"
    error_name = "squared error of ratings scaled to 0 to 1"
    value_name = "E[y | x, z], in the user's units"
    target_dtype = np.float32

    @classmethod
    def suits(cls, columns: Sequence[Sequence[Cell]], scale: tuple[float, float] | None) -> bool:
        """Numbers on more than a few levels; two, not 0 and 1 unless the scale is given."""
        if not are_numbers(columns) or (scale is None and are_zero_or_one(columns)):
            return False
        return not has_few_levels(columns, scale)

    @classmethod
    def make_spec(
        cls,
        kind: str,
        where: str,
        names: Sequence[str],
        columns: Sequence[Sequence[Cell]],
        scale: tuple[float, float] | None,
    ) -> TargetSpec:
        """Ratings with the given scale, or from each column's lowest to its highest."""
        if scale is not None:
            low, high = scale
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ConfigError(f"--target-range: expected a lowest rating below the highest, got {low:g} {high:g}")
        own = [_range(where, name, column) for name, column in zip(names, columns, strict=True)]
        return TargetSpec(kind, tuple(names), tuple(own if scale is None else [scale] * len(own)))

    def parse(self, cell: Cell, i: int) -> float:
        """A rating within the scale."""
        number = number_of(cell)
        if number is None:
            raise ValueError(f"is {shown(cell)}, not a number")
        low, high = self.spec.ranges[i]
        if not low <= number <= high:
            raise ValueError(f"is {number:g}, outside the range {low:g} to {high:g}")
        return number

    def remark(self, targets: Numbers) -> str:
        """Whether there are two different ratings only, which may be meant as classes."""
        different = np.unique(targets[~np.isnan(targets)])
        return "two values only: --task binary makes them classes" if len(different) == 2 else ""

    def describe(self) -> str:
        """Names and scales of the ratings."""
        named = zip(self.spec.names, self.spec.ranges, strict=True)
        return f"ratings ({', '.join(f'{name} {low:g} to {high:g}' for name, (low, high) in named)})"

    def encode(self, targets: Numbers, name: Callable[[int], str]) -> NDArray[np.float32]:
        """Ratings in [0, 1]."""
        low, high = self._ends
        scaled: NDArray[np.float32] = ((targets - low) / (high - low)).astype(np.float32)
        return scaled

    def baseline_loss(self, targets: Tensor) -> Tensor:
        """Variance of the scaled ratings."""
        scaled = self.scaled(targets)
        return (scaled - scaled.nanmean(0)).square().nanmean(0)

    def make_likelihood(self, baseline_loss: float = 1.0) -> Likelihood:
        """Normal noise of half the ratings' standard deviation."""
        return NormalLikelihood(self.spec.names, 0.5 * math.sqrt(baseline_loss / len(self.spec.names)))

    def initial_outputs(self, targets: Tensor) -> list[float]:
        """Mean of the scaled ratings."""
        means: list[float] = self.scaled(targets).nanmean(0).tolist()
        return means

    def values(self, distribution: dist.TorchDistribution) -> Numbers:
        """Expected ratings."""
        return self._unscaled(to_numbers(distribution.mean))

    def effect_tensor(self, distribution: dist.TorchDistribution, predicted: Numbers) -> Tensor:
        """Expected ratings in the user's units, counted from the lowest."""
        low, high = self._ends
        mean: Tensor = distribution.mean
        return mean * mean.new_tensor(high - low)

    def sample(self, distribution: dist.TorchDistribution) -> Numbers:
        """Ratings, some of them beyond the ends of the scale: that is how the likelihood is."""
        return self._unscaled(to_numbers(distribution.sample()))

    def clip(self, values: Numbers) -> Numbers:
        """Ratings no lower and no higher than their scale goes."""
        return values.clip(*self._ends)

    def noise(self, distribution: dist.TorchDistribution) -> Numbers:
        """Standard deviation in the user's units."""
        low, high = self._ends
        return (high - low) * np.sqrt(to_numbers(distribution.variance))

    def errors(self, values: Numbers, targets: Numbers) -> dict[str, NDArray[Any]]:
        """`mse` and `mae` in the user's units (squared), `mse_scaled` with every scale mapped to [0, 1]."""
        error = values - targets
        return {"mse": error**2, "mse_scaled": (error / self._sizes) ** 2, "mae": np.abs(error)}

    def drop(self, full: Numbers, other: Numbers) -> Numbers:
        """Absolute change in units of the scale, whatever its direction, averaged over the aspects."""
        changes: Numbers = np.mean(np.abs(full - other) / self._sizes, axis=1)
        return changes

    def decisions(self, values: Numbers, reference: Numbers | None = None) -> Labels:
        """Above the median or not."""
        return (values > np.median(values if reference is None else reference, axis=0)).astype(np.int64)

    def true_decisions(self, targets: Numbers) -> Numbers:
        """Above the median or not."""
        return (targets > np.nanmedian(targets, axis=0)).astype(float)

    def threshold(self, targets: Numbers) -> float:
        """Median of the first target, scaled."""
        low, high = self.spec.ranges[0]
        return float((np.nanmedian(targets[:, 0]) - low) / (high - low))

    def skill(self, values: Numbers, targets: Numbers) -> float:
        """1 - squared error / variance, averaged over the aspects with ratings."""
        rated = ~np.isnan(targets).all(axis=0)
        values, targets, sizes = values[:, rated], targets[:, rated], self._sizes[rated]
        variance = np.nanvar(targets, axis=0)
        differ = variance > (SMALLEST_SPREAD * sizes) ** 2  # where all ratings are equal there is nothing to explain
        if not differ.any():
            return math.nan
        error = np.nanmean((values - targets) ** 2, axis=0)
        return float(np.mean(1.0 - error[differ] / variance[differ]))

    @property
    def _ends(self) -> tuple[Numbers, Numbers]:
        """Lowest and highest rating of each aspect."""
        low, high = np.array(self.spec.ranges, dtype=np.float64).T
        return low, high

    @property
    def _sizes(self) -> Numbers:
        return np.array([high - low for low, high in self.spec.ranges])

    def scaled(self, ratings: Tensor) -> Tensor:
        """Ratings `(N, D)` in [0, 1]."""
        low, high = torch.tensor(self.spec.ranges, dtype=torch.float64).unbind(-1)
        return (ratings - low) / (high - low)

    def _unscaled(self, values: Numbers) -> Numbers:
        low, high = self._ends
        return low + (high - low) * values


def _range(where: str, name: str, column: Sequence[Cell]) -> tuple[float, float]:
    numbers = [n for n in map(number_of, column) if n is not None and math.isfinite(n)]
    if not numbers:
        raise DataError(
            f"{where}: column {name!r} holds no number ({shown(column[0])}...); write ratings as 4.5, or say --task "
            "multiclass for labels"
        )
    if min(numbers) == max(numbers):
        raise DataError(f"{where}: every rating in column {name!r} is {numbers[0]:g}; there is nothing to predict")
    return min(numbers), max(numbers)


REGISTERED = RegressionTask
