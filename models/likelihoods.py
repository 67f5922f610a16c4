"""p(y | x, z): what the encoder's numbers say about the target.

Each likelihood is the last layer of the model: it owns its scale, makes a Pyro distribution over a batch of
targets, and says how much one unit of its cost weighs (`gain`), which ties the prior to the paper's penalties
(DESIGN, equation 3).
"""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_rationale.data.corpus import TargetSpec


class NormalLikelihood(nn.Module):
    """Ratings in [0, 1]: Normal(outputs, sigma), independent over the `D` aspects given the mask.

    Args:
        names: the `D` aspects.
        sigma: standard deviation of the noise, in units of the scaled rating; a buffer, one per aspect or shared.
    """

    sigma: Tensor
    event_dim = 1

    def __init__(self, names: tuple[str, ...], sigma: float = 0.1) -> None:
        super().__init__()
        self.width = len(names)
        self.register_buffer("sigma", torch.tensor(float(sigma)))

    def forward(self, outputs: Tensor) -> dist.TorchDistribution:
        """Outputs `(*s, B, D)` -> a distribution of batch shape `(*s, B)` and event shape `(D,)`."""
        return dist.Normal(outputs, self.sigma).to_event(1)

    def observe(self, outputs: Tensor, targets: Tensor) -> tuple[dist.TorchDistribution, Tensor]:
        """The distribution with unrated aspects (NaN targets) masked out, and targets without NaN."""
        rated = ~targets.isnan()
        return dist.Normal(outputs, self.sigma).mask(rated).to_event(1), targets.nan_to_num(0.0)

    def gain(self, kappa: float) -> float:
        """Nats per unit of squared error: kappa / (2 sigma^2)."""
        return kappa / (2.0 * float(self.sigma) ** 2)


class BernoulliLikelihood(nn.Module):
    """Yes/no labels: Bernoulli(logits = outputs), independent over the `D` labels given the mask."""

    event_dim = 1

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.width = len(names)

    def forward(self, outputs: Tensor) -> dist.TorchDistribution:
        """Logits `(*s, B, D)` -> a distribution of batch shape `(*s, B)` and event shape `(D,)`."""
        return dist.Bernoulli(logits=outputs).to_event(1)

    def observe(self, outputs: Tensor, targets: Tensor) -> tuple[dist.TorchDistribution, Tensor]:
        """As for ratings: missing labels (NaN) are masked out."""
        known = ~targets.isnan()
        return dist.Bernoulli(logits=outputs).mask(known).to_event(1), targets.nan_to_num(0.0)

    def gain(self, kappa: float) -> float:
        """Nats per nat of cross entropy."""
        return kappa


class CategoricalLikelihood(nn.Module):
    """One of `C` classes: Categorical(logits = outputs)."""

    event_dim = 0

    def __init__(self, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.width = len(classes)

    def forward(self, outputs: Tensor) -> dist.TorchDistribution:
        """Logits `(*s, B, C)` -> a distribution of batch shape `(*s, B)`."""
        return dist.Categorical(logits=outputs)

    def observe(self, outputs: Tensor, targets: Tensor) -> tuple[dist.TorchDistribution, Tensor]:
        """Classes are never missing."""
        return self(outputs), targets

    def gain(self, kappa: float) -> float:
        """Nats per nat of cross entropy."""
        return kappa


Likelihood = NormalLikelihood | BernoulliLikelihood | CategoricalLikelihood


def make_likelihood(spec: TargetSpec, **options: Any) -> Likelihood:
    """The likelihood that fits the target; `options` go to the Normal (`sigma`)."""
    if spec.kind == "regression":
        return NormalLikelihood(spec.names, **options)
    if spec.kind == "binary":
        return BernoulliLikelihood(spec.names)
    return CategoricalLikelihood(spec.classes)
