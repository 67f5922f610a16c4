"""Soft and hard stochastic attention in the study of the notes' questions: one fit, and its test table.

What they are stands in :mod:`pyro_rationale.experiments.baselines.attention`. The study takes the last weights, not
those that
are best on the dev set, and lets the encoder average over the top words as they come; its published figures are that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.evaluation.evaluate import targets_of
from pyro_rationale.evaluation.metrics import (
    Metrics,
    Predictions,
    prediction_metrics,
    rationale_metrics,
    selection_metrics,
)
from pyro_rationale.experiments.baselines.attention import AttentionModel
from pyro_rationale.experiments.baselines.training import build_networks, train
from pyro_rationale.prediction.predictor import Mask


class Attention(AttentionModel):
    """A model that attends.

    Args:
        config: as for a fit with the independent guide, whose networks these are.
        corpus: to fit and test on.
        kind: `soft` or `hard`.
        share: of a document's words that the rationale has (at least one word).
    """

    def __init__(self, config: Config, corpus: Corpus, kind: str, share: float) -> None:
        fitted, scale = build_networks(config, corpus)
        super().__init__(fitted, kind, share, scale)
        self.corpus = corpus

    def fit(self) -> None:
        """All steps."""
        train(self.fitted, self.corpus, self.loss)

    @torch.no_grad()
    def measure(self, documents: Sequence[Document]) -> Metrics:
        """The test table of the top words; `error_reading_all` is the error of soft attention itself."""
        self.fitted.eval()
        masks, values = self.decode(documents, self._encoded)
        targets = targets_of(documents, self.spec)
        metrics: Metrics = dict(prediction_metrics(self.spec, Predictions(values, targets)))
        metrics |= selection_metrics(masks)
        metrics |= rationale_metrics(documents, masks)
        if self.kind == "soft":
            soft = self.decode(documents, lambda batch, z: self.softly(batch))[1]
            known = prediction_metrics(self.spec, Predictions(soft, targets))
            metrics["error_reading_all"] = known.get("mse", known.get("accuracy", math.nan))
        return metrics

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """The rationales, in the documents' order."""
        with torch.no_grad():
            return self.decode(documents, self._encoded)[0]

    def _encoded(self, batch: Batch, z: Tensor) -> Tensor:
        outputs: Tensor = self.model.encoder(batch.tokens, z, batch.lengths)
        return outputs
