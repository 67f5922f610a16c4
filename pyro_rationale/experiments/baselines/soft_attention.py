"""Soft attention (Bahdanau et al. 2015): states of all words, averaged with the softmax of the scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.experiments.baselines._attention import AttentionModel, AttentionRationalizer, fit_attention
from pyro_rationale.experiments.baselines._base import Baseline
from pyro_rationale.nn.packing import compact


class SoftAttention(AttentionModel):
    """A model that reads all words, weighted by attention."""

    def forward_soft(self, batch: Batch, read: Tensor | None = None) -> Tensor:
        """Outputs of the encoder with the states of all words averaged by attention, `(B, W)`.

        Args:
            batch: texts.
            read: bool, `(B,)`; texts that are not read have the outputs of an empty text.
        """
        encoder = self.model.encoder
        states, weights = encoder.states(batch.tokens, batch.mask), self.weights(batch)
        outputs: Tensor = encoder.average(states, weights if read is None else weights * read[:, None])
        return outputs

    def forward_masked(self, batch: Batch, z: Tensor) -> Tensor:
        """Outputs from the kept words, `(B, W)`, read as a text of their own, scores included.

        Scores that had seen the dropped words would tell of them.
        """
        kept = compact(batch.tokens, z, batch.lengths)
        text = replace(batch, tokens=kept.words, lengths=kept.lengths.clamp_min(1), targets=None)
        return self.forward_soft(text, kept.lengths > 0)

    def loss(self, batch: Batch, step: int = 0) -> Tensor:
        """Cost of the outputs of all words."""
        return self.cost(self.forward_soft(batch), batch).mean()

    def dev_outputs(self, batch: Batch) -> Tensor:
        """Outputs of all words, `(B, W)`."""
        return self.forward_soft(batch)


def fit_soft_attention(config: Config, corpus: Corpus, folder: Path) -> AttentionRationalizer:
    """Train soft attention, or read the finished one."""
    return fit_attention("soft-attention", SoftAttention, config, corpus, folder)


REGISTERED = Baseline("soft attention, top words", fit_soft_attention, keeps_words=True)
