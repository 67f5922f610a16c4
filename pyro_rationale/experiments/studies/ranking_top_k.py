"""Budgeted top-k of pairs of texts: the words of the highest scores, always the same share, and the loss of a fit.

The scores are those of a generator. Gradients pass straight through: as if each word were kept with the probability
that the logistic function makes of its score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.document import Document
from pyro_rationale.data.pairs import PairCorpus
from pyro_rationale.data.ranking_batch import RankingBatch
from pyro_rationale.experiments.baselines._attention import AttentionModel
from pyro_rationale.experiments.studies.rankers import Flags, batches_in_order
from pyro_rationale.experiments.studies.ranking_training import loss_scale, train_reader, untrained
from pyro_rationale.fitted import FittedModel
from pyro_rationale.training.auxiliary_losses import reading_loss


class TopWords(AttentionModel):
    """A model that reads the words of the highest scores, on both sides."""

    def loss(self, batch: Batch, step: int = 0) -> Tensor:
        """Loss per query, from as many words as the schedule has come down to."""
        assert isinstance(batch, RankingBatch)
        kept = self.topk_mask(batch, self.schedule.target(step))
        soft = self.scores(batch).sigmoid() * batch.mask
        # The bracket is exactly 0: encoders tell 1 from nearly 1.
        return reading_loss(self.model, batch, kept + (soft - soft.detach())) / (len(batch.queries) * self.scale)

    @torch.no_grad()
    def masks(self, documents: Sequence[Document], batch_size: int = 64) -> list[Flags]:
        """The rationales of some texts, in their order."""
        found: list[Flags] = []
        for some, batch in batches_in_order(self.fitted, documents, batch_size):
            rows = self.topk_mask(batch).cpu().numpy() > 0
            found += [np.asarray(row[: len(text.tokens)]) for text, row in zip(some, rows, strict=True)]
        return found


def top_k_reader(
    fitted: FittedModel, corpus: PairCorpus, rate: float, on_step: Callable[[], None] | None = None
) -> TopWords:
    """Train encoder and scores for as many steps as a run.

    Args:
        fitted: the run whose kind of encoder and generator they are.
        corpus: the pairs that it was fitted on.
        rate: share of the words of each text, one at least.
        on_step: called after each step.
    """
    with fitted.seeded(fitted.config.seed):
        reader = untrained(fitted, corpus, "top k", guide=True)
        attention = TopWords(reader, rate, loss_scale(reader))
        train_reader(reader, corpus, attention.loss, lambda batches: list(map(attention.topk_mask, batches)), on_step)
    reader.eval()
    return attention
