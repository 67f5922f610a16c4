"""Sparse attention (Peters, Niculae and Martins 2019): 1.5-entmax, under which most words have no weight at all."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.experiments.baselines._attention import entmax, fit_attention
from pyro_rationale.experiments.baselines._base import Baseline
from pyro_rationale.experiments.baselines.soft_attention import SoftAttention


class SparseAttention(SoftAttention):
    """Soft attention with 1.5-entmax in place of the softmax."""

    check_installed = staticmethod(entmax)

    def weights(self, batch: Batch) -> Tensor:
        """Weight of each word, `(B, T)`; 0 on padding."""
        scores = self.scores(batch)  # minus infinity would not survive the sums of squares of entmax
        outside = scores.detach().amin(-1, keepdim=True) - 100.0
        weights: Tensor = entmax().entmax15(torch.where(batch.mask, scores, outside), dim=-1)
        return weights * batch.mask


REGISTERED = Baseline(
    "1.5-entmax attention, top words", partial(fit_attention, "sparse-attention", SparseAttention),
    keeps_words=True, check_installed=entmax,
)
