"""Budgeted top-k: scores projected onto the masks in [0, 1] of a given sum, a relaxed choice of the k best words.

This is the structured method of Guerreiro and Martins (2021, SPECTRA) with its budget and without its factor for
neighbours.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.experiments.baselines._attention import AttentionModel, entmax, fit_attention
from pyro_rationale.experiments.baselines._base import Baseline

TEMPERATURE = 1.0  # below 1, nearly every word is in or out from the start, without a gradient


class BudgetAttention(AttentionModel):
    """A model that reads words with weights of a given sum."""

    check_installed = staticmethod(entmax)

    def budget_weights(self, batch: Batch, share: float) -> Tensor:
        """Weights in [0, 1] whose sum is the share of the words, `(B, T)`; 0 on padding."""
        scores = self.scores(batch) / TEMPERATURE
        inside = torch.where(batch.mask, scores, torch.inf).detach().amin(-1, keepdim=True)
        budget = (batch.lengths * share).clamp_min(1.0).to(scores.dtype)[:, None]
        # Two below the lowest word: outside of the document even where all of it is kept.
        weights: Tensor = entmax().budget_bisect(torch.where(batch.mask, scores, inside - 2.0), budget=budget, dim=-1)
        return weights * batch.mask

    def loss(self, batch: Batch, step: int = 0) -> Tensor:
        """Cost of the outputs of the weighted words, at the share of words that the schedule has reached."""
        z = self.budget_weights(batch, self.schedule.target(step))
        return self.cost(self.model.encoder(batch.tokens, z, batch.lengths), batch).mean()


REGISTERED = Baseline(
    "budgeted top-k (SPECTRA without pairs)", partial(fit_attention, "budget", BudgetAttention), keeps_words=True
)
