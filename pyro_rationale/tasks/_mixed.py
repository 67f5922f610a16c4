"""Several likelihoods that read outputs of their own: what the members of an ensemble say about the target together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_rationale.errors import ConfigError
from pyro_rationale.tasks._likelihood import Likelihood


class MixedDistribution(dist.TorchDistribution):
    """A mixture of distributions over the targets; all targets of a draw are of one part.

    Args:
        parts: `M` of them, of one batch shape and one event shape.
        weights: of the parts, `(M, *batch)`, that sum to 1; `None`: all alike.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def __init__(self, parts: Sequence[dist.TorchDistribution], weights: Tensor | None = None) -> None:
        self.parts = tuple(parts)
        self.weights = weights
        super().__init__(parts[0].batch_shape, parts[0].event_shape, validate_args=False)

    @property
    def support(self) -> Any:
        """The parts' own."""
        return self.parts[0].support

    def expand(self, batch_shape: Any, _instance: Any = None) -> MixedDistribution:
        """The mixture of the expanded parts."""
        weights = self.weights
        if weights is not None:
            more = (1 for _ in range(len(batch_shape) + 1 - weights.dim()))
            weights = weights.reshape(len(weights), *more, *weights.shape[1:]).expand(-1, *batch_shape)
        return MixedDistribution([part.expand(batch_shape) for part in self.parts], weights)

    @property
    def mean(self) -> Tensor:
        """Mean over the parts of their means."""
        return self.averaged(self._each("mean"))

    @property
    def variance(self) -> Tensor:
        """Variance within the parts and between their means."""
        means = self._each("mean")
        return self.averaged(self._each("variance") + (means - self.averaged(means)).square())

    @property
    def probs(self) -> Tensor:
        """Mean over the parts of the classes' probabilities."""
        return self.averaged(self._each("probs"))

    def averaged(self, values: Tensor) -> Tensor:
        """Mean over the parts of something of each of them, `(M, *batch, *)` -> `(*batch, *)`."""
        if self.weights is None:
            return values.mean(0)
        weights = self.weights.to(values.dtype)
        return (weights.reshape(*weights.shape, *(1 for _ in values.shape[weights.dim() :])) * values).sum(0)

    def _each(self, name: str) -> Tensor:
        return torch.stack([getattr(part, name) for part in self.parts])

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Each draw from a part of its own."""
        with torch.no_grad():
            draws = torch.stack([part.sample(sample_shape) for part in self.parts])
            shape = torch.Size(sample_shape) + self.batch_shape
            if self.weights is None:
                chosen = torch.randint(len(self.parts), shape, device=draws.device)
            else:
                chosen = dist.Categorical(self.weights.movedim(0, -1)).sample(sample_shape)
            chosen = chosen.reshape(1, *shape, *(1 for _ in self.event_shape)).expand(1, *draws.shape[1:])
            return draws.gather(0, chosen)[0]

    def log_prob(self, value: Tensor) -> Tensor:
        """Log of the mean density."""
        return self.log_averaged([part.log_prob(value) for part in self.parts])

    def log_averaged(self, logs: Sequence[Tensor]) -> Tensor:
        """Log of the mean over the parts, from the log densities of each."""
        each = torch.stack([*logs])
        if self.weights is None:
            return each.logsumexp(0) - math.log(len(self.parts))
        weights = self.weights.to(each.dtype).log()
        ahead = (1 for _ in range(each.dim() - weights.dim()))  # dimensions of samples, which stand before the batch's
        return (each + weights.reshape(len(weights), *ahead, *weights.shape[1:])).logsumexp(0)


def log_prob_of_known(distribution: Any, targets: Tensor) -> Tensor:
    """Log probability of encoded targets under a likelihood's distribution, `(*s, B)`; unknown ones (NaN) cost nothing.

    Args:
        distribution: of batch shape `(*s, B)`, over one class or `D` targets that are independent in each part.
        targets: `(B,)` classes, or `(B, D)`.
    """
    if isinstance(distribution, MixedDistribution):
        return distribution.log_averaged([log_prob_of_known(part, targets) for part in distribution.parts])
    if isinstance(distribution, dist.Independent) and targets.is_floating_point():
        known = ~targets.isnan()
        each: Tensor = distribution.base_dist.log_prob(targets.nan_to_num(0.0))
        return torch.where(known, each, 0.0).sum(-1)
    total: Tensor = distribution.log_prob(targets)
    return total


class MixedLikelihood(Likelihood):
    """p(y | x, z) = 1/M sum_m p_m(y | x, z), from the outputs of M encoders side by side.

    It has no loss: the log of a mean is no sum of losses. What needs one is asked of a member.

    Args:
        members: one likelihood per encoder.
    """

    def __init__(self, members: Sequence[Likelihood]) -> None:
        super().__init__(members[0].width)
        self.members: Any = nn.ModuleList(members)
        self.event_dim = members[0].event_dim

    def _parts(self, outputs: Tensor) -> list[tuple[Likelihood, Tensor]]:
        return list(zip(self.members, outputs.chunk(len(self.members), dim=-1), strict=True))

    def forward(self, outputs: Tensor) -> dist.TorchDistribution:
        """Outputs `(*s, B, M * W)` -> a distribution of batch shape `(*s, B)`."""
        return MixedDistribution([member(own) for member, own in self._parts(outputs)])

    def observe(self, outputs: Tensor, targets: Tensor) -> tuple[dist.TorchDistribution, Tensor]:
        """The mixture with unknown targets masked out in every part, and the targets without NaN."""
        observed = [member.observe(own, targets) for member, own in self._parts(outputs)]
        return MixedDistribution([part for part, _ in observed]), observed[0][1]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Raise ConfigError."""
        raise ConfigError("an ensemble has no cost of its own; name one of its members, such as RUN/members/0")

    def gain(self, kappa: float) -> float:
        """Mean over the members of the nats per unit of loss."""
        return sum(member.gain(kappa) for member in self.members) / len(self.members)

    @property
    def noise(self) -> float | None:
        """Root of the members' mean variance; `None` for classes."""
        noises = [member.noise for member in self.members]
        return None if None in noises else math.sqrt(sum(noise**2 for noise in noises) / len(noises))
