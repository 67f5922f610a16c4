"""Several models as one: a deep ensemble (Lakshminarayanan et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import AspectPriors, ChainPrior, priors_of
from pyro_rationale.models.rationale import RationaleModel
from pyro_rationale.tasks import MixedDistribution, MixedLikelihood


class EnsembleModel(RationaleModel):
    """p(z) 1/M sum_m p_m(y | x, z): members that read kept words, and whose predictions are mixed.

    Masks come from a member's guide, whose encoder has learnt to read what that guide keeps, and other encoders have
    not: of masks that guides have drawn, members read as much as each is likely to have drawn them (`weights`). So the
    mean over masks is the mean over members of what each predicts from its own.

    Prior and constraint have the means of the members' parameters. The networks are the members' own, not copies.

    Args:
        members: fitted models of one target.
    """

    def __init__(self, members: Sequence[RationaleModel]) -> None:
        prior = _average([member.prior for member in members])
        encoder: Any = _SideBySide([member.encoder for member in members])
        likelihood = MixedLikelihood([member.likelihood for member in members])
        kappa = sum(float(member.kappa) for member in members) / len(members)
        first = prior.chains[0] if isinstance(prior, AspectPriors) else prior
        super().__init__(encoder, likelihood, first, kappa, members[0].aspects)
        self.prior = prior
        self.steering = _average([member.steering for member in members])
        self._members = tuple(members)
        self.to(members[0].kappa.device)

    def components(self, batch: Batch, z: Tensor) -> list[dist.TorchDistribution]:
        """Each member's own p(y | x, z)."""
        return [member.predictive(batch, z) for member in self._members]

    def predictive(self, batch: Batch, z: Tensor, weights: Tensor | None = None) -> dist.TorchDistribution:
        """p(y | x, z), the mixture of the members' own with weights `(M, *s, B)`; without any they count alike."""
        return MixedDistribution(self.components(batch, z), weights)

    def predictive_outputs(self, batch: Batch, z: Tensor) -> Tensor:
        """Those of the members, one after the other."""
        return torch.cat([member.predictive_outputs(batch, z) for member in self._members], dim=-1)

    def predictive_of(self, outputs: Tensor, weights: Tensor | None = None) -> dist.TorchDistribution:
        """The mixture of the members' own with weights `(M, *s, B)`; without any they count alike."""
        return MixedDistribution([member.predictive_of(own) for member, own in self._own(outputs)], weights)

    def trained_outputs(self, outputs: Tensor) -> Tensor:
        """Those of the members, one after the other."""
        return torch.cat([member.trained_outputs(own) for member, own in self._own(outputs)], dim=-1)

    def _own(self, outputs: Tensor) -> list[tuple[RationaleModel, Tensor]]:
        """Each member with its part of the outputs."""
        return list(zip(self._members, outputs.chunk(len(self._members), dim=-1), strict=True))


def _average(priors: Sequence[ChainPrior | AspectPriors]) -> ChainPrior | AspectPriors:
    each = [prior.chains if isinstance(prior, AspectPriors) else (prior,) for prior in priors]
    return priors_of([_mean_chain(chains) for chains in zip(*each, strict=True)])


def _mean_chain(chains: Sequence[ChainPrior]) -> ChainPrior:
    alpha, gamma = (sum(getattr(chain, name) for chain in chains) / len(chains) for name in ("alpha", "gamma"))
    return replace(chains[0], alpha=alpha, gamma=gamma)


class _SideBySide(nn.Module):
    """Encoders that read the same words, with their outputs one after the other, `(*s, B, M * W)`."""

    def __init__(self, encoders: Sequence[Any]) -> None:
        super().__init__()
        self.encoders: Any = nn.ModuleList(encoders)

    @property
    def width(self) -> int:
        """Numbers per document that all of them put out."""
        return sum(encoder.width for encoder in self.encoders)

    @property
    def dtype(self) -> torch.dtype:
        """Type of masks and outputs."""
        dtype: torch.dtype = self.encoders[0].dtype
        return dtype

    def forward(self, tokens: Tensor, z: Tensor, lengths: Tensor) -> Tensor:
        """Outputs of all encoders."""
        return torch.cat([encoder(tokens, z, lengths) for encoder in self.encoders], dim=-1)
