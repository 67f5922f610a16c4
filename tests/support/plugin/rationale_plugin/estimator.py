"""A score-function estimator whose baseline is the median of a document's samples."""

from __future__ import annotations

from torch import Tensor

from pyro_rationale.inference.estimators._base import Draws
from pyro_rationale.inference.estimators._score_function import ScoreFunction


class MedianBaseline(ScoreFunction):
    """Compares each sample with the median of its document's; slightly biased."""

    fewest_samples = 3

    def advantage(self, reward: Tensor, draws: Draws) -> Tensor:
        """Reward less the median."""
        return reward - reward.median(0).values
