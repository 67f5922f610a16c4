"""What the score-function estimators compare a sample's reward with. Rewards are `(K, B)`, or per word `(K, B, T)`."""

from __future__ import annotations

from typing import Any, cast

import torch
from pyro.poutine import Trace
from torch import Tensor

from pyro_rationale.distributions import IndependentMask, MaskDistribution
from pyro_rationale.errors import ConfigError
from pyro_rationale.nn.baseline import StandardisedBaseline


def leave_one_out_advantage(reward: Tensor) -> Tensor:
    """Leave-one-out baselines: each sample's reward less the mean of the other K - 1."""
    return (reward - reward.mean(0)) * (len(reward) / (len(reward) - 1))


@torch.no_grad()
def antithetic_masks(q: IndependentMask) -> Tensor:
    """K / 2 masks [u < p], then their antithetic twins [1 - u < p], from batch shape `(K, B)`; `(K, B, T)`."""
    chance = q.mean
    half = len(chance) // 2
    uniform = torch.rand(half, *chance.shape[1:], dtype=chance.dtype, device=chance.device)
    return (torch.cat([uniform, 1.0 - uniform]) < chance).to(chance.dtype)


def antithetic_term(reward: Tensor, z: Tensor, q: MaskDistribution) -> Tensor:
    """The surrogate of DisARM (Dong, Mnih and Tucker 2020, equation 5; Yin et al. 2020), summed over K masks.

    Its gradient in logit i of a pair (b, b') is 1/2 (f(b) - f(b')) (b_i - b'_i) sigmoid(|phi_i|): what is left of
    the average of both masks' score functions when the uniforms behind the pair are integrated out. Counted twice,
    since a sum over K masks has two terms for each pair.

    Args:
        reward: f, `(K, B)`, detached; twins in the second half.
        z: the masks, `(K, B, T)`.
        q: independent words, batch shape `(K, B)`.
    """
    half = len(z) // 2
    logits = q.logits[:half]
    change = (z[:half] - z[half:]) * torch.sigmoid(logits.detach().abs())
    return ((reward[:half] - reward[half:]) * (change * logits).sum(-1)).sum()


class NeuralBaseline:
    """The guide's own baseline at one evaluation of it (NVIL, Mnih and Gregor 2014).

    Args:
        guide: with a :class:`~pyro_rationale.nn.baseline.StandardisedBaseline`.
        trace: of the guide, whose site `z` says what the baseline reads.

    Raises:
        ConfigError: the guide has no such baseline.
    """

    def __init__(self, guide: Any, trace: Trace) -> None:
        module = getattr(guide, "baseline", None)
        if not isinstance(module, StandardisedBaseline):
            raise ConfigError(
                "--estimator nvil: the guide has no baseline with running statistics; build it with a "
                "StandardisedBaseline, as build_guide does, or use --estimator rloo"
            )
        self.module = module
        hint = cast(Any, trace.nodes["z"]["infer"])["baseline"]
        self.pooled: Tensor = hint["nn_baseline_input"]  # (B, H), detached

    def subtract_baseline(self, reward: Tensor, q: MaskDistribution) -> tuple[Tensor, Tensor]:
        """The reward less the baseline, and the baseline's own loss, summed like the reward over K and documents.

        The baseline is the one from before this step's samples, or it would depend on them. In training the
        statistics move on with them afterwards. Rewards per word share their document's baseline, which learns
        their mean.
        """
        with torch.no_grad():
            expected = self.module(self.pooled).squeeze(-1)  # (B,)
        signal = reward
        if reward.dim() == 3:
            words = q.word_mask.to(reward.dtype)
            signal = (reward * words).sum(-1) / words.sum(-1).clamp_min(1.0)
            expected = expected[..., None]
        if self.module.training and torch.is_grad_enabled():
            self.module.observe(signal)
        return reward - expected, self.module.loss(self.pooled, signal)
