"""Ratings with outliers: a task with a likelihood of its own, that of docs/reference/extending.md."""

from __future__ import annotations

import math

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_rationale.tasks import Likelihood, Mixture, Numbers, RegressionTask


class LaplaceLikelihood(Likelihood):
    """Ratings in [0, 1] with heavy-tailed noise."""

    scale: Tensor

    def __init__(self, width: int, scale: float = 0.1) -> None:
        super().__init__(width)
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, outputs: Tensor) -> dist.TorchDistribution:
        """The distribution of the targets."""
        return dist.Laplace(outputs, self.scale).to_event(1)

    def observe(self, outputs: Tensor, targets: Tensor) -> tuple[dist.TorchDistribution, Tensor]:
        """The distribution over known targets, and their values."""
        return dist.Laplace(outputs, self.scale).mask(~targets.isnan()).to_event(1), targets.nan_to_num(0.0)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Absolute errors."""
        return torch.where(targets.isnan(), 0.0, (outputs - targets).abs())

    def gain(self, kappa: float) -> float:
        """Nats per unit of loss."""
        return kappa / float(self.scale)

    def log_normalizer(self) -> float:
        """The constant of log p(y | x, z)."""
        return math.log(2.0 * float(self.scale))

    @property
    def noise(self) -> float:
        """The scale."""
        return float(self.scale)

    def fit_noise(self, loss: float) -> None:
        """Set the scale to the mean absolute error."""
        self.scale.fill_(max(loss, 1e-4))


class LaplaceTask(RegressionTask):
    """Ratings with outliers."""

    cost_name, loss_unit = "mae", "scaled rating"

    def make_likelihood(self, baseline_loss: float = 1.0) -> LaplaceLikelihood:
        """The likelihood, half as noisy as a constant prediction."""
        return LaplaceLikelihood(self.width, 0.5 * baseline_loss / self.width)

    def initial_outputs(self, targets: Tensor) -> list[float]:
        """The medians."""
        return self.scaled(targets).nanmedian(0).values.tolist()

    def baseline_loss(self, targets: Tensor) -> Tensor:
        """Mean absolute error of the medians."""
        scaled = self.scaled(targets)
        return (scaled - scaled.nanmedian(0).values).abs().nanmean(0)

    def mixture(self, values: Numbers, noise: Numbers, weights: Numbers) -> Mixture:
        """Intervals with the tails of the noise."""
        return Mixture(values, noise, weights, laplace_cdf)


def laplace_cdf(values: Numbers) -> Numbers:
    """P(x <= value) where the standard deviation is 1."""
    half = 0.5 * np.exp(-math.sqrt(2.0) * np.abs(values))
    return np.where(values < 0, half, 1.0 - half)
