"""`ScoreFunction`, the base class of estimators that multiply a reward with the gradient of log q(z)."""

from __future__ import annotations

from torch import Tensor

from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.inference.estimators._base import Draws, Estimator


class ScoreFunction(Estimator):
    """Unbiased for guides whose samples carry no gradient; subclasses differ in what they compare a reward with."""

    @classmethod
    def refusal(cls, family: type[MaskDistribution]) -> str | None:
        """Refuses relaxed samples: the score function would add to the gradient that they carry themselves."""
        if family.has_rsample:
            return (
                f"samples of {family.__name__} carry gradients themselves; use --estimator relaxed, or --guide "
                "independent, the same family without"
            )
        return None

    def advantage(self, reward: Tensor, draws: Draws) -> Tensor:
        """The reward, `(N, B)` or per word `(N, B, T)`, less a baseline."""
        return reward

    def score_term(self, reward: Tensor, draws: Draws) -> Tensor | float:
        """Sum of advantages times log probabilities; each word has its own reward where it is given per word."""
        q, z = draws.q, draws.z
        score = q.word_log_probs(z) if reward.dim() == 3 else q.log_prob(z)
        return (self.advantage(reward, draws) * score).sum()
