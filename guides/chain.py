"""A structured guide: q(z | x) is a linear chain with a field on every word and a coupling between neighbours.

The prior is a member of this family, so a strong coupling does not make the guide choose between everything and
nothing as it does an independent one (docs/explanation/guides.md), and its KL to the prior is exact.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from pyro_rationale.distributions import LinearChain
from pyro_rationale.guides._aspects import AspectRows
from pyro_rationale.guides._base import GuideConfig, RationaleGuide
from pyro_rationale.guides._target import TargetContext
from pyro_rationale.nn import BiLSTM


class ChainGuide(RationaleGuide):
    """A chain whose fields and couplings are linear in the features.

    Args:
        coupling: where all couplings start, in nats per change of z (the prior's gamma is a good choice).
    """

    family = LinearChain
    default_estimator = "sum-and-sample"
    default_tau = 1.0
    head_width = 1
    has_aspects = True

    def __init__(
        self,
        generator: BiLSTM,
        baseline: nn.Module | None = None,
        coupling: float = 0.5,
        target: TargetContext | None = None,
        aspects: int = 1,
    ) -> None:
        super().__init__(generator, baseline, target, aspects)
        self.joint = nn.Linear(2 * generator.width, aspects)
        with torch.no_grad():
            self.joint.weight.zero_()
            self.joint.bias.fill_(coupling)

    @classmethod
    def own_options(cls, config: GuideConfig, coupling: float) -> dict[str, Any]:
        """The couplings start at the prior's."""
        return {"coupling": coupling}

    def start_rate(self, rate: float) -> None:
        """Set the field so that a long homogeneous chain with the starting coupling keeps the share `rate`.

        With field a and coupling J, the transfer matrix gives the marginal 1/2 (1 + s / sqrt(s^2 + exp(-2 J))),
        where s = sinh(a / 2); inverted here.
        """
        tilt = 2.0 * rate - 1.0
        coupling = float(self.joint.bias.detach()[0])
        sinh = tilt / math.sqrt(1.0 - tilt**2) * math.exp(-coupling)
        with torch.no_grad():
            self.head.bias.fill_(2.0 * math.asinh(sinh))

    def distribution(self, features: Tensor, lengths: Tensor, rows: AspectRows | None = None) -> LinearChain:
        """q(z | x), `(B,)` masks of `T` words."""
        fields = self.head(features)
        coupling = self.joint(torch.cat([features[:, :-1], features[:, 1:]], dim=-1))
        if rows is not None:
            fields, coupling = rows.of(fields), rows.of(coupling)
        return LinearChain(fields.squeeze(-1), coupling.squeeze(-1), lengths)


REGISTERED = ChainGuide
