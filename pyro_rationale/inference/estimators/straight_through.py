"""Straight-through (Bengio, Leonard and Courville 2013): hard samples with the gradient of something soft."""

from __future__ import annotations

from torch import Tensor

from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.inference.estimators._base import Estimator, Masks


class StraightThrough(Estimator):
    """Gradients pass as if samples were word marginals or, of a relaxed guide, relaxed samples; biased, any guide."""

    differentiates = True

    @classmethod
    def refusal(cls, family: type[MaskDistribution]) -> str | None:
        """Refuses families whose reparameterised samples are always weights."""
        if family.has_rsample and not family.has_hard_rsample:
            return (
                f"samples of {family.__name__} are weights that carry gradients themselves; use --estimator relaxed, "
                "or --guide independent"
            )
        return None

    def draw(self, q: MaskDistribution, z: Tensor, samples: int) -> Masks:
        """Masks z forward, and P(z_t = 1) backward, or P(z_t = 1 given its prefix) of an autoregressive guide."""
        if q.has_rsample:
            return Masks(q, z)
        inclusion = q.inclusion(z)
        return Masks(q, z + (inclusion - inclusion.detach()))  # the bracket is exactly 0: encoders tell 1 from nearly 1


REGISTERED = StraightThrough
