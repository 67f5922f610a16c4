"""The independent guide, sampled by a relaxation whose gradient passes through the sample.

The family is the same product of Bernoullis, and it is the discrete one that everything reports: the KL to the
prior, the entropy, the mode. Only what the encoder reads in training is relaxed (Concrete: Maddison et al. 2017,
Jang et al. 2017) or hard with a relaxed backward pass (straight-through: Bengio et al. 2013).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from pyro_rationale.distributions import RelaxedMask
from pyro_rationale.guides._aspects import AspectRows
from pyro_rationale.guides._base import GuideConfig
from pyro_rationale.guides._target import TargetContext
from pyro_rationale.guides.independent import IndependentGuide
from pyro_rationale.nn import BiLSTM


class RelaxedGuide(IndependentGuide):
    """Independent words, reparameterised.

    Args:
        temperature: of the Concrete distribution; lower is harder, with noisier gradients.
        straight_through: give the encoder 0/1 masks and differentiate as if they were relaxed.
    """

    family = RelaxedMask
    default_estimator = "relaxed"

    def __init__(
        self,
        generator: BiLSTM,
        baseline: nn.Module | None = None,
        temperature: float = 0.3,
        straight_through: bool = False,
        target: TargetContext | None = None,
        aspects: int = 1,
    ) -> None:
        super().__init__(generator, baseline, target, aspects)
        self.temperature = temperature
        self.straight_through = straight_through

    @classmethod
    def own_options(cls, config: GuideConfig, coupling: float) -> dict[str, Any]:
        """The temperature, and whether the estimator is straight-through: samples are hard then."""
        hard = config.estimator == "straight-through"
        return {"temperature": config.model.temperature, "straight_through": hard}

    def distribution(self, features: Tensor, lengths: Tensor, rows: AspectRows | None = None) -> RelaxedMask:
        """q(z | x), `(B,)` masks of `T` words; its draws carry gradients."""
        return RelaxedMask(self.logits(features, rows), lengths, self.temperature, self.straight_through)


REGISTERED = RelaxedGuide
