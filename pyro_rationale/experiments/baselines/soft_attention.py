"""Soft attention (Bahdanau et al. 2015): states of all words, averaged with the softmax of the scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.experiments.baselines._attention import AttentionModel, AttentionRationalizer, fit_attention
from pyro_rationale.experiments.baselines._base import Baseline
from pyro_rationale.nn.packing import compact


class SoftAttention(AttentionModel):
    """A model that reads all words, weighted by attention."""

    def forward_soft(self, batch: Batch) -> Tensor:
        """Outputs of the encoder with all states averaged by attention, `(B, W)`."""
        encoder = self.model.encoder
        whole = batch.mask.to(torch.get_default_dtype())
        states = encoder.reader(encoder.dropout(encoder.embedding(batch.tokens)), whole, True)
        pooled = (states * self.weights(batch)[..., None]).sum(1)
        outputs: Tensor = encoder.output(encoder.dropout(pooled))
        return outputs

    def forward_masked(self, batch: Batch, z: Tensor) -> Tensor:
        """Outputs from the kept words, `(B, W)`, read as a text of their own, scores included.

        Scores that had seen the dropped words would tell of them.
        """
        kept = compact(batch.tokens, z, batch.lengths)
        text = replace(batch, tokens=kept.words, lengths=kept.lengths.clamp_min(1), targets=None)
        outputs = self.forward_soft(text)
        output = self.model.encoder.output
        nothing = output(outputs.new_zeros(1, output.in_features))
        return torch.where(kept.lengths[:, None] > 0, outputs, nothing)

    def loss(self, batch: Batch, step: int = 0) -> Tensor:
        """Cost of the outputs of all words."""
        return self.cost(self.forward_soft(batch), batch).mean()

    def dev_outputs(self, batch: Batch) -> Tensor:
        """Outputs of all words, `(B, W)`."""
        return self.forward_soft(batch)


def fit_soft_attention(config: Config, corpus: Corpus, folder: Path) -> AttentionRationalizer:
    """Train soft attention, or read the finished one."""
    return fit_attention("soft-attention", SoftAttention, config, corpus, folder)


REGISTERED = Baseline("soft attention, top words", fit_soft_attention)
