"""A baseline that keeps the first words of a text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data import Batch, Corpus, Document
from pyro_rationale.experiments.baselines import Baseline, ModelRationalizer
from pyro_rationale.experiments.baselines._encoder_only import fit_encoder
from pyro_rationale.experiments.baselines._top_k import all_top_words
from pyro_rationale.fitted import FittedModel


class FirstWords(ModelRationalizer):
    """Marks the first words, and predicts by an encoder that was trained on such masks."""

    def __init__(self, fitted: FittedModel, rate: float) -> None:
        super().__init__(fitted, name="first-words")
        self.rate = rate

    def marginals(self, documents: Sequence[Document]) -> list[np.ndarray]:
        """Numbers that fall from the first word to the last."""
        return [np.linspace(1.0, 0.0, len(document.tokens)) for document in documents]

    def masks(self, documents: Sequence[Document]) -> list[tuple[bool, ...]]:
        """The first words."""
        return all_top_words(self.marginals(documents), self.rate)


def fit_first_words(config: Config, corpus: Corpus, folder: Path) -> FirstWords:
    """Train the encoder on the first words, or read the finished one."""

    def first(batch: Batch, split: str = "train") -> Tensor:
        place = torch.arange(batch.mask.shape[1], device=batch.mask.device)
        return (place < (batch.lengths * config.model.rate).clamp_min(1.0)[:, None]) & batch.mask

    return FirstWords(fit_encoder("first-words", config, corpus, folder, first), config.model.rate)


FIRST_WORDS = Baseline("first words", fit_first_words)
