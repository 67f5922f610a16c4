"""Other norms of the mask than the number of kept words, for the reading notes' question which one is right.

On 0/1 masks the L0 norm, the L1 norm and the squared L2 norm are one number. They part in two places: on a relaxed
mask, where L0 is the expected number of words that the discrete guide keeps and L1 the sum of the relaxed weights;
and at the L2 norm itself, the root, under which the tenth word of a document costs less than the first.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyro_rationale.distributions import LinearChain, MaskDistribution
from pyro_rationale.errors import ConfigError
from pyro_rationale.inference.estimators.rules import NORMS
from pyro_rationale.inference.objectives.elbo import MaskELBO
from pyro_rationale.inference.terms import MaskTerms


class NormELBO(MaskELBO):
    """`MaskELBO` whose field charges a norm of the sampled mask in place of the expected number of kept words.

    Everything else of the KL stays exact. The objective is then no bound on an evidence: p(z) with another norm has
    another normaliser, which depends on neither guide nor model and is left out.

    Args:
        norm: `l1`, the sum of weights; `l2`, the root of the sum of their squares.
        options: as for `MaskELBO`.

    Raises:
        ConfigError: another norm; later, a recurrent guide.
    """

    def __init__(self, norm: str, *options: Any, **named: Any) -> None:
        super().__init__(*options, **named)
        if norm not in NORMS[1:]:
            raise ConfigError(f"--norm: expected one of {', '.join(NORMS)}, got {norm!r}")
        self.norm = norm

    def _terms(self, q: MaskDistribution, p: LinearChain, z: Tensor) -> MaskTerms:
        if not q.has_exact_marginals:
            raise ConfigError("--norm: the recurrent guide has no marginals to exchange; use --guide independent")
        terms = super()._terms(q, p, z)
        field = -p.fields[..., :1].squeeze(-1)  # the prior's, the same on every word
        size = z.sum(-1) if self.norm == "l1" else z.square().sum(-1).clamp_min(1e-8).sqrt()
        excess = field * (size - q.mean.sum(-1))  # (K, B)
        return MaskTerms(terms.kl + excess, terms.entropy + torch.zeros_like(excess))
