"""REINFORCE with leave-one-out baselines (Kool, van Hoof and Welling 2019)."""

from __future__ import annotations

from torch import Tensor

from pyro_rationale.inference.estimators._base import Draws
from pyro_rationale.inference.estimators._score_function import ScoreFunction


def leave_one_out_advantage(reward: Tensor) -> Tensor:
    """Each sample's reward, `(K, *)`, less the mean of the other K - 1."""
    return (reward - reward.mean(0)) * (len(reward) / (len(reward) - 1))


class LeaveOneOut(ScoreFunction):
    """Compares each sample with the others of its document; unbiased for every guide."""

    fewest_samples = 2

    def advantage(self, reward: Tensor, draws: Draws) -> Tensor:
        """Reward less the mean of the other samples."""
        return leave_one_out_advantage(reward)


REGISTERED = LeaveOneOut
