"""DisARM (Dong, Mnih and Tucker 2020; Yin et al. 2020): antithetic pairs of masks of independent words."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.inference.estimators._base import Draws, Masks
from pyro_rationale.inference.estimators._score_function import ScoreFunction


class DisArm(ScoreFunction):
    """K / 2 pairs of masks; unbiased, for independent words only."""

    fewest_samples = 2
    sample_step = 2

    @classmethod
    def refusal(cls, family: type[MaskDistribution]) -> str | None:
        """Refuses every family whose words depend on each other."""
        if not (family.has_rsample or family.has_independent_words):
            return (
                f"its pairs of masks are for independent words, not for {family.__name__}; use --estimator muprop, or "
                "--guide independent"
            )
        return super().refusal(family)

    @torch.no_grad()
    def draw(self, q: MaskDistribution, z: Tensor, samples: int) -> Masks:
        """K / 2 masks [u < p], then their antithetic twins [1 - u < p], `(K, B, T)`."""
        chance = q.by_unit.mean
        half = len(chance) // 2
        uniform = torch.rand(half, *chance.shape[1:], dtype=chance.dtype, device=chance.device)
        return Masks(q, q.over_words((torch.cat([uniform, 1.0 - uniform]) < chance).to(chance.dtype)))

    def score_term(self, reward: Tensor, draws: Draws) -> Tensor:
        """The surrogate of DisARM (Dong et al. 2020, equation 5), summed over K masks.

        Its gradient in logit i of a pair (b, b') is 1/2 (f(b) - f(b')) (b_i - b'_i) sigmoid(|phi_i|): what is left of
        the average of both masks' score functions when the uniforms behind the pair are integrated out. It counts
        twice, since a sum over K masks has two terms for each pair.
        """
        q, z = draws.q.by_unit, draws.q.unit_values(draws.z)
        half = len(z) // 2
        logits = q.logits[:half]
        change = (z[:half] - z[half:]) * torch.sigmoid(logits.detach().abs())
        return ((reward[:half] - reward[half:]) * (change * logits).sum(-1)).sum()


REGISTERED = DisArm
