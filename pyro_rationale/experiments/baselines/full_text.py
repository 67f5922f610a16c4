"""An encoder that reads whole texts: the ceiling of prediction, and the usual judge of sufficiency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.experiments.baselines._base import Baseline
from pyro_rationale.experiments.baselines._encoder_only import fit_encoder
from pyro_rationale.prediction.decoding import Mask
from pyro_rationale.prediction.rationalizer import ModelRationalizer, Scores


class FullTextRationalizer(ModelRationalizer):
    """Marks every word."""

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """A score of 1 for every word."""
        return [np.ones(len(document.tokens)) for document in documents]

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """Masks that keep every word."""
        return [(True,) * len(document.tokens) for document in documents]


def fit_full_text(config: Config, corpus: Corpus, folder: Path) -> FullTextRationalizer:
    """Train an encoder on whole texts, or read the finished one."""
    return FullTextRationalizer(fit_encoder("full-text", config, corpus, folder), name="full-text")


REGISTERED = Baseline("full text", fit_full_text, encoder_only=True)
