"""The closed-form half of the objective: how far the guide is from the prior, and how random it is.

Only the reconstruction needs an estimator (docs/explanation/mathematics.md). For the autoregressive guide, which has no
global closed form, the same quantities are summed along sampled prefixes.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.distributions import kl_divergence

from pyro_rationale.distributions import MaskDistribution, Prior, sequential_entropy, sequential_kl


class MaskTerms(NamedTuple):
    """KL(q || p) and H(q), in nats: `(*s, B)` sums, or `(*s, B, T)` per word for an autoregressive guide."""

    kl: Tensor
    entropy: Tensor

    def penalty(self, tau: float) -> Tensor:
        """KL + (1 - tau) H: minus the objective (2) without its reconstruction."""
        return self.kl if tau == 1.0 else self.kl + (1.0 - tau) * self.entropy


def best_terms(q: MaskDistribution, p: Prior, z: Tensor) -> MaskTerms:
    """Exact terms `(B,)` where q has exact marginals, else terms per word along the masks `z`, `(*s, B, T)`.

    Both are differentiable; the sum over words is unbiased for the exact terms.
    """
    if q.has_exact_marginals:
        return MaskTerms(kl_divergence(q, p), q.entropy())
    return MaskTerms(sequential_kl(q, p, z), sequential_entropy(q, z))


def sampled_terms(q: MaskDistribution, p: MaskDistribution, z: Tensor) -> MaskTerms:
    """Terms with nothing in closed form, as in the paper: log q - log p and -log q at the samples `z`, `(*s, B)`."""
    log_q = q.log_prob(z)
    return MaskTerms(log_q - p.log_prob(z), -log_q)
