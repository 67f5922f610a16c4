"""Hard attention (Xu et al. 2015, section 4.1): the encoder reads words that are drawn from the softmax of the scores.

Words are drawn with replacement; the gradient is REINFORCE with leave-one-out baselines, with a small weight on the
entropy of the softmax.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.experiments.baselines._attention import AttentionModel, fit_attention
from pyro_rationale.experiments.baselines._base import Baseline

DRAWS = 4
ENTROPY = 0.01  # weight of the entropy of a document's softmax, in units of the scaled loss


class HardAttention(AttentionModel):
    """A model that reads only words that were drawn."""

    def loss(self, batch: Batch, step: int = 0) -> Tensor:
        """Expected cost of the drawn words; the gradient is the estimate."""
        weights = self.weights(batch)
        most = int(self.count(batch).max())
        with torch.no_grad():
            drawn = torch.multinomial(weights, DRAWS * most, replacement=True).unflatten(-1, (DRAWS, most))
            # Shorter texts draw fewer: (B, 1, most).
            used = torch.arange(most, device=weights.device) < self.count(batch)[:, None, None]
        logs = weights.clamp_min(1e-12).log()  # padding has a weight of 0, whose own logarithm has no gradient
        log_q = (logs[:, None].expand(-1, DRAWS, -1).gather(-1, drawn) * used).sum(-1).t()
        picked = torch.zeros(len(batch), DRAWS, weights.shape[1], device=weights.device)
        picked = picked.scatter_add_(-1, drawn, used.float().expand_as(drawn))
        z = (picked > 0).float().transpose(0, 1)
        cost = self.cost(self.model.encoder(batch.tokens, z, batch.lengths), batch)  # (DRAWS, B)
        reward = (cost.detach() - cost.detach().mean(0)) * DRAWS / (DRAWS - 1)
        entropy = -(weights * logs).sum(-1).mean()
        return cost.mean() + (reward * log_q).mean() - ENTROPY * entropy


REGISTERED = Baseline(
    "hard attention, top words", partial(fit_attention, "hard-attention", HardAttention), keeps_words=True
)
