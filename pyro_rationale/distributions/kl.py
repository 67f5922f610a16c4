"""Divergences between mask distributions, and what replaces them where they have no closed form.

Against a chain, everything needs only the marginals and the probabilities of change of q:

    E_q[-log p(z)] = -sum_t E[z_t] fields_t + sum_t P(z_t != z_{t+1}) coupling_t + log Z        (the cross energy)
    KL(q || p) = E_q[-log p(z)] - H(q)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pyro.distributions.util import broadcast_shape
from torch import Tensor
from torch.distributions.kl import kl_divergence, register_kl

from pyro_rationale.distributions.base import MaskDistribution
from pyro_rationale.distributions.chain import LinearChain
from pyro_rationale.distributions.independent import IndependentMask
from pyro_rationale.distributions.nonempty import NonEmptyMask
from pyro_rationale.distributions.scan.scan import bernoulli_entropy, bernoulli_kl
from pyro_rationale.distributions.units import UnitMask


def cross_energy(q: MaskDistribution, p: LinearChain | NonEmptyMask) -> Tensor:
    """E_q[-log p(z)] = KL(q || p) + H(q), `(*batch,)`: exact wherever q's `mean` and `change` are."""
    shape = broadcast_shape(q.batch_shape, p.batch_shape)
    q, p = q.origin, p.origin  # once, and not for each of the particles that they were expanded to
    energy = p.log_normalizer - (q.mean * p.fields).sum(-1) + (q.change * p.coupling).sum(-1)
    return energy.expand(shape)


@register_kl(MaskDistribution, LinearChain)
def _kl_chain(q: MaskDistribution, p: LinearChain) -> Tensor:
    if not q.has_exact_marginals:
        raise NotImplementedError(f"{type(q).__name__} has no closed form; use sequential_kl")
    return cross_energy(q, p) - q.entropy()


@register_kl(MaskDistribution, NonEmptyMask)
def _kl_nonempty(q: MaskDistribution, p: NonEmptyMask) -> Tensor:
    if isinstance(q, NonEmptyMask):
        return cross_energy(q, p) - q.entropy()
    raise NotImplementedError(f"{type(q).__name__} draws empty masks, to which the prior gives no probability")


@register_kl(UnitMask, UnitMask)
def _kl_units(q: UnitMask, p: UnitMask) -> Tensor:
    """The KL of the choices, if both have the same units."""
    return kl_divergence(q.by_unit, p.by_unit)


@register_kl(IndependentMask, IndependentMask)
def _kl_independent(q: IndependentMask, p: IndependentMask) -> Tensor:
    return torch.where(q.word_mask, bernoulli_kl(q.logits, p.logits), 0.0).sum(-1)


def sequential_kl(q: MaskDistribution, p: MaskDistribution, z: Tensor) -> Tensor:
    """KL(q(z_t given z_<t) || p(z_t given z_{t-1})) per word along the prefixes of `z`.

    Summed over words and averaged over z ~ q this is KL(q || p), with far less variance than log q(z) - log p(z).

    Args:
        q: a distribution with conditionals, such as the autoregressive one.
        p: the chain.
        z: masks, `(*sample, *batch, T)`.

    Returns:
        `(*sample, *batch, T)`; 0 on padding. Its gradient is that of the terms alone, not of the sampling.
    """
    off, on = p.transitions.unbind(-1)
    before = F.pad(z[..., :-1], (1, 0))
    terms = bernoulli_kl(q.conditional_logits(z), off + before * (on - off))
    return torch.where(q.word_mask, terms, 0.0)


def sequential_entropy(q: MaskDistribution, z: Tensor) -> Tensor:
    """H(q(z_t given z_<t)) per word along the prefixes of `z`, `(*sample, *batch, T)`; 0 on padding."""
    return torch.where(q.word_mask, bernoulli_entropy(q.conditional_logits(z)), 0.0)
