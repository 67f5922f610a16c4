"""The pathwise gradient of relaxed samples (Maddison et al. 2017; Jang et al. 2017; Bastings et al. 2019)."""

from __future__ import annotations

from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.inference.estimators._base import Estimator


class Relaxed(Estimator):
    """Differentiates through samples that are weights; biased by the relaxation, of low variance."""

    default_samples = 1
    differentiates = True

    @classmethod
    def refusal(cls, family: type[MaskDistribution]) -> str | None:
        """Refuses families without reparameterised samples."""
        if not family.has_rsample:
            return f"{family.__name__} has no reparameterised sample; use --estimator rloo"
        return None


REGISTERED = Relaxed
