"""NVIL (Mnih and Gregor 2014): a neural baseline that the guide brings, with running statistics of the reward."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from pyro_rationale.errors import ConfigError
from pyro_rationale.inference.estimators._base import Draws, Masks, Programs
from pyro_rationale.inference.estimators._score_function import ScoreFunction
from pyro_rationale.nn.baseline import StandardisedBaseline


class Nvil(ScoreFunction):
    """Compares a reward with the baseline's prediction, which is trained along; unbiased for every guide."""

    @classmethod
    def make_baseline(cls, inputs: int, hidden: int) -> nn.Module:
        """A baseline that starts as the running mean of the reward."""
        return StandardisedBaseline(inputs, hidden)

    def prepare(self, programs: Programs, masks: Masks) -> tuple[StandardisedBaseline, Tensor]:
        """The guide's baseline, and the detached features `(B, H)` that it predicts from.

        Raises:
            ConfigError: the guide has no such baseline.
        """
        module = getattr(programs.guide, "baseline", None)
        if not isinstance(module, StandardisedBaseline):
            raise ConfigError(
                "--estimator nvil: the guide has no baseline with running statistics; build it with a "
                "StandardisedBaseline, as build_guide does, or use --estimator rloo"
            )
        return module, cast(Any, programs.guide_trace.nodes["z"]["infer"])["baseline"]["nn_baseline_input"]

    def score_term(self, reward: Tensor, draws: Draws) -> Tensor:
        """The score function's term, less the baseline's own loss, both summed over samples and documents.

        The baseline is the one from before this step's samples, or it would depend on them. In training the
        statistics move on with them afterwards. Rewards per word share their document's baseline, which learns
        their mean.
        """
        baseline, pooled = draws.prepared
        q, z = draws.q, draws.z
        with torch.no_grad():
            expected = baseline(pooled).squeeze(-1)  # (B,)
        signal = reward
        if reward.dim() == 3:
            words = q.word_mask.to(reward.dtype)
            signal = (reward * words).sum(-1) / words.sum(-1).clamp_min(1.0)
            expected = expected[..., None]
        if baseline.training and torch.is_grad_enabled():
            baseline.observe(signal)
        score = q.word_log_probs(z) if reward.dim() == 3 else q.log_prob(z)
        result: Tensor = ((reward - expected) * score).sum() - baseline.loss(pooled, signal)
        return result


REGISTERED = Nvil
