"""FRESH (Jain et al. 2020): words that soft attention marks, read by an encoder that has seen nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.experiments.baselines._base import Baseline
from pyro_rationale.experiments.baselines._encoder_only import fit_encoder
from pyro_rationale.experiments.baselines.soft_attention import fit_soft_attention
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.decoding import Mask
from pyro_rationale.prediction.rationalizer import ModelRationalizer, Rationalizer, Scores, padded


class FixedMaskRationalizer(ModelRationalizer):
    """Words that another rationalizer marks, read by an encoder of their own."""

    def __init__(self, fitted: FittedModel, marked_by: Rationalizer, name: str) -> None:
        super().__init__(fitted, name=name)
        self.marked_by = marked_by

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """Scores of the other rationalizer."""
        return self.marked_by.marginals(documents)

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """Masks of the other rationalizer."""
        return self.marked_by.masks(documents)


def fit_fresh(config: Config, corpus: Corpus, folder: Path) -> FixedMaskRationalizer:
    """Train soft attention, then an encoder on what it marks, or read the finished ones."""
    attention = fit_soft_attention(config, corpus, folder / "marker")
    documents = {"train": corpus.train, "dev": corpus.dev}
    marked = {split: attention.masks(some) for split, some in documents.items()}

    def masks(batch: Batch, split: str) -> Tensor:
        assert batch.index is not None
        index = batch.index.tolist()
        return padded([marked[split][i] for i in index], [documents[split][i] for i in index], batch.tokens) > 0

    fitted = fit_encoder("fresh", config, corpus, folder / "reader", masks)
    return FixedMaskRationalizer(fitted, attention, "fresh")


REGISTERED = Baseline(
    "soft attention, top words, read by a reader of their own (FRESH)", fit_fresh, encoder_only=True, keeps_words=True
)
