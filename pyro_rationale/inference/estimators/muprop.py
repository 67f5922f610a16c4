"""MuProp (Gu, Levine, Sutskever and Mnih 2016): the linear part of the reconstruction in closed form.

The reconstruction is expanded around the guide's own marginals m, f(z) = f(m) + g . (z - m) + rest. The expectation of
the linear part is a function of the marginals, whose gradient is exact; only the rest is left to the score function.
Unbiased for any g that does not depend on the samples. The encoder can be evaluated at fractional masks, so g costs
one more pass through it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.inference.estimators._base import Draws, Masks, Programs
from pyro_rationale.inference.estimators.rloo import LeaveOneOut
from pyro_rationale.nn.kernels.gated_lstm import mask_gradient_only

_without = ContextVar("_without", default=False)


@contextmanager
def without_slopes(skipped: bool = True) -> Iterator[None]:
    """Inside, estimators do without the linear part: unbiased all the same, quicker, and of a larger variance."""
    token = _without.set(skipped)
    try:
        yield
    finally:
        _without.reset(token)


def slopes_wanted() -> bool:
    """Whether an estimator is to evaluate the model at fractional masks: gradients are on, and slopes not skipped."""
    return torch.is_grad_enabled() and not _without.get()


def slope(programs: Programs, q: MaskDistribution) -> Tensor:
    """Derivatives d reconstruction / d z_t at the guide's marginals, `(B, T)`, detached; `q` has batch shape `(B,)`."""
    with torch.no_grad():
        point = q.approximate_mean()
    point.requires_grad_()
    with mask_gradient_only():
        reconstruction = programs.reconstruction(point)
    (gradient,) = torch.autograd.grad(reconstruction.sum(), point)
    return gradient.detach()


class MuProp(LeaveOneOut):
    """Leave-one-out baselines for what the linear part leaves over; unbiased for every guide."""

    penalties = ("exact", "constant")
    has_slopes = True
    differentiates = True

    def prepare(self, programs: Programs, masks: Masks) -> Tensor | None:
        """Slopes of the reconstruction in each word, `(B, T)`; `None` where gradients are off, or slopes."""
        return slope(programs, masks.q.origin) if slopes_wanted() else None

    def control_variate(self, draws: Draws, penalty: Tensor) -> tuple[Tensor, Tensor]:
        """The linear part is taken out of the reward, and its expectation put in directly."""
        slopes, q, z = draws.prepared, draws.q, draws.z
        if slopes is None:
            return draws.reconstruction, penalty
        linear = slopes * (q.mean[0] if q.has_exact_marginals else q.inclusion(z))
        reward = draws.reconstruction - (slopes * z).sum(-1)
        return reward, penalty - (linear if penalty.dim() == 3 else linear.sum(-1))


REGISTERED = MuProp
