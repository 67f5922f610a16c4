"""Sum-and-sample with a quadratic control variate: the encoder to first order, the likelihood to second.

Around the guide's marginals m the encoder is replaced by its tangent, f(z) = f(m) + J (z - m), and the reconstruction
as a function L of the encoder's outputs by its second-order expansion, as Gauss and Newton have it:

    L(f(z)) = L(f(m)) + g . J (z - m) + 1/2 (z - m)' J' H J (z - m) + rest

with the gradient g and the Hessian H of L at f(m). For ratings L is a square and its expansion is exact. MuProp takes
out the linear term; what two words say together, most of what it leaves over, is in the quadratic one. Its expectation
is half the trace of J' H J Cov(z), which distributions with covariances in closed form have in O(T), with gradients:
with H = sum_i h_i v_i v_i' it is half the sum of h_i Var((v_i' J) . z). Unbiased whatever J, g and H are, as they do
not depend on the samples. J is the slope that MuProp needs anyway, so one output costs no further pass of the encoder.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.inference.estimators._base import Draws, Masks, Programs
from pyro_rationale.inference.estimators.muprop import slope, slopes_wanted
from pyro_rationale.inference.estimators.sum_and_sample import MaskSet, SumAndSample
from pyro_rationale.nn.kernels.gated_lstm import mask_gradient_only

DIRECTIONS = 4  # of the outputs, those of the largest curvature; each costs a backward pass


class Expansion(NamedTuple):
    """The reconstruction around a point, for B documents of T words, without gradients.

    Attributes:
        point: where, the guide's marginals, `(B, T)`.
        slopes: its derivative in each word, `(B, T)`.
        curvatures: h_i, `(D, B)`.
        rows: v_i' J, `(D, B, T)`.
    """

    point: Tensor
    slopes: Tensor
    curvatures: Tensor
    rows: Tensor

    def linear(self, z: Tensor) -> Tensor:
        """Linear term of masks or marginals `(*, B, T)`, up to a constant of each document, `(*, B)`."""
        return (self.slopes * z).sum(-1)

    def quadratic(self, z: Tensor) -> Tensor:
        """Quadratic term of masks `(N, B, T)`, `(N, B)`."""
        moved = torch.einsum("dbt,nbt->dnb", self.rows, z - self.point)
        return 0.5 * (self.curvatures[:, None] * moved.square()).sum(0)

    def mean_quadratic(self, q: MaskDistribution) -> Tensor:
        """Expectation of `quadratic` under q, batch shape `(B,)`, whose marginals are the point; differentiable."""
        return 0.5 * (self.curvatures * q.weighted_variance(self.rows)).sum(0)


def expand(programs: Programs, q: MaskDistribution) -> Expansion:
    """Expansion around the marginals of `q`, batch shape `(B,)`; the linear term alone of a model without `encoder`."""
    encoder = getattr(programs.model, "encoder", None)
    point = q.mean.detach()
    if not isinstance(encoder, nn.Module):
        return Expansion(point, slope(programs, q), point.new_zeros(1, len(point)), torch.zeros_like(point)[None])
    caught: list[Tensor] = []
    hook = encoder.register_forward_hook(lambda _module, _inputs, outputs: caught.append(outputs))
    point.requires_grad_()
    try:
        with mask_gradient_only():
            reconstruction = programs.reconstruction(point)
    finally:
        hook.remove()
    outputs = caught[-1]  # (B, D)
    gradient, curvatures, directions = curvature(reconstruction, outputs)
    rows = []
    for direction in directions:
        (row,) = torch.autograd.grad(outputs, point, direction, retain_graph=True)
        rows.append(row)
    if len(directions) == outputs.shape[-1]:  # a basis, in which the gradient has coordinates
        slopes = sum((gradient * v).sum(-1, keepdim=True) * row for v, row in zip(directions, rows, strict=True))
    else:
        (slopes,) = torch.autograd.grad(outputs, point, gradient)
    assert isinstance(slopes, Tensor)
    return Expansion(point.detach(), slopes, curvatures, torch.stack(rows))


def curvature(values: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient and principal curvatures of each document's value in its own outputs.

    Args:
        values: `(B,)`.
        outputs: `(B, D)`, of which they are twice differentiable functions.

    Returns:
        The gradient `(B, D)`, the curvatures of the largest size `(R, B)` and their directions `(R, B, D)`, without
        gradients; R = D, or `DIRECTIONS` if that is less.
    """
    (gradient,) = torch.autograd.grad(values.sum(), outputs, create_graph=True)
    hessian = torch.stack([_derivative(part, outputs) for part in gradient.unbind(-1)], dim=-1)  # (B, D, D)
    if hessian.shape[-1] == 1:
        found, directions = hessian[..., 0], torch.ones_like(hessian)
    else:
        found, directions = torch.linalg.eigh(hessian)
        order = found.abs().argsort(-1, descending=True)[:, :DIRECTIONS]
        found = found.gather(-1, order)
        directions = directions.gather(-1, order[:, None].expand(-1, directions.shape[1], -1))
    return gradient.detach(), found.t(), directions.permute(2, 0, 1)


def _derivative(part: Tensor, outputs: Tensor) -> Tensor:
    """Derivative of a gradient's component `(B,)` in each document's outputs `(B, D)`; 0 where it is constant."""
    if not part.requires_grad:
        return torch.zeros_like(outputs)
    (row,) = torch.autograd.grad(part.sum(), outputs, retain_graph=True, materialize_grads=True)
    return row.detach()


class GaussNewton(SumAndSample):
    """Leaves to the sampled masks what neither single words nor pairs of them explain; unbiased.

    For chains and independent words, also given that one is kept, and for sentences.
    """

    @classmethod
    def refusal(cls, family: type[MaskDistribution]) -> str | None:
        """Refuses families whose covariances have no closed form."""
        if not (family.has_rsample or family.has_exact_marginals):
            return (
                f"it needs the covariances of words, for which {family.__name__} has no closed form; use --estimator "
                "muprop, or --guide chain"
            )
        return super().refusal(family)

    def prepare(self, programs: Programs, masks: Masks) -> Any:
        """The `Expansion`; `None` where gradients are off, or slopes."""
        return expand(programs, masks.q.origin) if slopes_wanted() else None

    def control_variate(self, draws: Draws, penalty: Tensor) -> tuple[Tensor, Tensor]:
        """Both terms, the quadratic one as far as it helps, leave the reward; their expectation comes in directly."""
        expansion: Expansion | None = draws.prepared
        if expansion is None:
            return draws.reconstruction, penalty
        assert isinstance(draws.masks, MaskSet)
        q = draws.q.origin
        reward, quadratic = draws.reconstruction - expansion.linear(draws.z), expansion.quadratic(draws.z)
        factor = factors(reward.detach(), quadratic, draws.masks.count / draws.masks.draws)
        direct = expansion.linear(q.mean) + factor * expansion.mean_quadratic(q)
        return reward - factor * quadratic, penalty - direct


def factors(reward: Tensor, quadratic: Tensor, weights: Tensor) -> Tensor:
    """How much of the quadratic term to take out for each document, in [0, 1], `(B,)`.

    Far from the marginals an expansion may be far off. So the factor is the slope of a regression of rewards on
    quadratic terms within the other documents of the batch: not a number that a document's own samples have a part
    in, which would bias its gradient. A document alone in its batch has 0.

    Args:
        reward: without the linear term, `(N, B)`.
        quadratic: of the same masks, `(N, B)`.
        weights: of the masks that were sampled, `(N, B)`; 0 of others.
    """
    total = weights.sum(0).clamp_min(torch.finfo(weights.dtype).tiny)
    x, y = (value - (weights * value).sum(0) / total for value in (quadratic, reward))
    both, own = (weights * x * y).sum(0), (weights * x.square()).sum(0)
    below = own.sum() - own
    return torch.where(below > 0, (both.sum() - both) / below, 0.0).nan_to_num(0.0).clamp(0.0, 1.0)


REGISTERED = GaussNewton
