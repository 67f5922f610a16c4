"""p(y | x, z): what the encoder's outputs say about the target."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_rationale.errors import ConfigError


def shrunk(logits: Tensor, variances: Tensor) -> Tensor:
    """Logits whose logistic function is about the mean of that of Normal logits (MacKay 1992, equation 11)."""
    return logits / (1.0 + math.pi / 8.0 * variances).sqrt()


class Likelihood(nn.Module, ABC):
    """The last layer of the model: a distribution over targets, and its noise, if it has one.

    A likelihood states a loss per target, such as the squared error, and how many nats one unit of it weighs (`gain`),
    which ties the prior to the paper's penalties (docs/explanation/mathematics.md, equation 3). Its log probability is
    `-gain(1) * loss - log_normalizer`.

    Args:
        width: number of outputs `W` that it reads.
    """

    event_dim = 1  # of the distribution: 1 for `D` targets, 0 for one class
    settles = False  # whether `settle` does anything
    has_powers = False  # whether p(y | x, z)^kappa is a distribution of this family, up to a factor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def start_from(self, values: Tensor) -> Tensor:
        """Outputs `(W,)` from which training starts, from what the task's `initial_outputs` gives.

        A likelihood with parameters of its own sets them by the values.
        """
        return values

    @abstractmethod
    def forward(self, outputs: Tensor) -> dist.TorchDistribution:
        """Outputs `(*s, B, W)` -> a distribution over targets, of batch shape `(*s, B)`."""

    @abstractmethod
    def observe(self, outputs: Tensor, targets: Tensor) -> tuple[dist.TorchDistribution, Tensor]:
        """The distribution with unknown targets (NaN) masked out, and the targets without NaN."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each target, `(*s, B, D)`, computed without the distribution; 0 where it is unknown (NaN)."""

    def reported_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss as fits report it: `(*s, B, *)`, to be summed over the last dimension."""
        return self.loss(outputs, targets)

    def gain(self, kappa: float) -> float:
        """Nats per unit of loss; kappa for a loss in nats."""
        return kappa

    def kappa_for(self, gain: float) -> float:
        """Inverse of `gain`: the weight of the log likelihood at which a unit of loss weighs so many nats."""
        return gain / self.gain(1.0)

    def log_normalizer(self) -> float:
        """Nats per known target that no output changes."""
        return 0.0

    @property
    def noise(self) -> float | None:
        """Scale of the noise, in scaled units; `None` for a likelihood without one."""
        return None

    def fit_noise(self, loss: float) -> None:
        """Set the noise to that under which targets with this mean loss are most probable."""

    def settle(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> None:
        """Fit what training leaves open, such as a scale, to held-out documents.

        Args:
            outputs: from drawn masks, `(S, N, W)`.
            targets: `(N, *)`; NaN where unknown.
            weights: of the documents, `(N,)`, 1 on average; `None`: all count alike.
        """

    def best_log_likelihood(self, loss: float, known: float) -> float | None:
        """Log probability, in nats, of targets with this loss under the noise that fits it best.

        Args:
            loss: of a document, in total.
            known: number of its targets.

        Returns:
            `None` for a likelihood without noise.
        """
        if self.noise is None:
            return None
        fitted = copy.deepcopy(self)
        fitted.fit_noise(loss / known)
        return -known * fitted.log_normalizer() - fitted.gain(1.0) * loss

    def marginal(self, outputs: Tensor, variances: Tensor) -> dist.TorchDistribution:
        """The distribution over targets where outputs are unsure: Normal with these means and variances, `(*s, B, W)`.

        Raises:
            ConfigError: there is no closed form, and no good approximation.
        """
        raise ConfigError(f"--laplace: {type(self).__name__} does not allow for unsure outputs; leave it out")

    def powered(self, outputs: Tensor, kappa: float) -> dist.TorchDistribution:
        """p(y | x, z)^kappa as a distribution, where there is one (`has_powers`, or kappa = 1)."""
        return self(outputs)

    def log_power_normalizer(self, kappa: float) -> float:
        """Log density of a known target under `powered`, less kappa times that under the likelihood itself; in nats."""
        return 0.0


class OneOfSeveral(Likelihood):
    """Categorical(logits = outputs): one of several classes, or the similar text among candidates."""

    event_dim = 0

    def forward(self, outputs: Tensor) -> dist.TorchDistribution:
        """Logits `(*s, B, C)`, -inf for what is no candidate, -> a distribution of batch shape `(*s, B)`."""
        return dist.Categorical(logits=outputs)

    def observe(self, outputs: Tensor, targets: Tensor) -> tuple[dist.TorchDistribution, Tensor]:
        """The distribution, and the classes or candidates that are right, which are never missing."""
        return self(outputs), targets

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy in nats, `(*s, B, 1)`."""
        chosen = outputs.gather(-1, targets.expand(outputs.shape[:-1])[..., None])
        return torch.logsumexp(outputs, -1, keepdim=True) - chosen
