"""The closed-form half of the objective: how far the guide is from the prior, and how random it is.

Only the reconstruction needs an estimator (docs/mathematics.md). For the autoregressive guide, which has no global
closed form, the same quantities are summed along sampled prefixes.
"""

from __future__ import annotations

from typing import NamedTuple

import pyro.distributions as dist
from torch import Tensor

from pyro_rationale.distributions import LinearChain, MaskDistribution, sequential_entropy, sequential_kl


class MaskTerms(NamedTuple):
    """KL(q || p) and H(q), in nats: `(*s, B)` sums, or `(*s, B, T)` per word for an autoregressive guide."""

    kl: Tensor
    entropy: Tensor

    def penalty(self, tau: float) -> Tensor:
        """KL + (1 - tau) H: minus the objective (2) without its reconstruction."""
        return self.kl if tau == 1.0 else self.kl + (1.0 - tau) * self.entropy


def closed_terms(q: MaskDistribution, p: LinearChain) -> MaskTerms:
    """Exact terms, differentiable, one per document `(B,)`.

    Raises:
        NotImplementedError: where no KL is registered for the pair (the recurrent guide).
    """
    return MaskTerms(dist.kl.kl_divergence(q, p), q.entropy())


def sequential_terms(q: MaskDistribution, p: LinearChain, z: Tensor) -> MaskTerms:
    """Terms per word along the masks `z (*s, B, T)`; their sum over words is unbiased for the exact terms."""
    return MaskTerms(sequential_kl(q, p, z), sequential_entropy(q, z))


def best_terms(q: MaskDistribution, p: LinearChain, z: Tensor) -> MaskTerms:
    """Exact terms `(B,)` where q has exact marginals, else terms per word along `z`, `(*s, B, T)`."""
    return closed_terms(q, p) if q.has_exact_marginals else sequential_terms(q, p, z)


def sampled_terms(q: MaskDistribution, p: LinearChain, z: Tensor) -> MaskTerms:
    """The paper's way, nothing in closed form: log q(z) - log p(z) and -log q(z) at the samples, `(*s, B)`."""
    log_q = q.log_prob(z)
    return MaskTerms(log_q - p.log_prob(z), -log_q)
