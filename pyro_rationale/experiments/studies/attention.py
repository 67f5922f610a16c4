"""Soft and hard attention in the study of questions: one fit, and its test table.

The study takes the weights of the last step, not those that are best on the dev set, and lets the encoder average over
the top words as they come; its published figures are of these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.evaluation.evaluate import compute
from pyro_rationale.evaluation.metrics import MetricInputs, Metrics
from pyro_rationale.experiments.baselines._networks import build_networks
from pyro_rationale.experiments.baselines.hard_attention import HardAttention
from pyro_rationale.experiments.baselines.soft_attention import SoftAttention
from pyro_rationale.prediction.decoding import Mask
from pyro_rationale.training.loop import train_networks

KINDS = {"soft": SoftAttention, "hard": HardAttention}


class StudyAttention:
    """A fit of attention.

    Args:
        config: as for a fit with the independent guide, whose networks these are.
        corpus: to fit and test on.
        kind: a key of `KINDS`.
        share: of a document's words that the rationale has (at least one word).
    """

    def __init__(self, config: Config, corpus: Corpus, kind: str, share: float) -> None:
        fitted, scale = build_networks(config, corpus)
        self.corpus, self.model = corpus, KINDS[kind](fitted, share, scale)

    def fit(self) -> None:
        """Train for all steps."""
        train_networks(self.model.fitted, self.corpus.train, self.model.loss)

    @torch.no_grad()
    def measure(self, documents: Sequence[Document]) -> Metrics:
        """Test table of the top words; `error_reading_all` is the error of soft attention itself."""
        model = self.model
        model.fitted.eval()
        masks, values = model.decode(documents, self._encoded)
        metrics = compute(MetricInputs(documents, model.spec, masks, values)).metrics
        if isinstance(model, SoftAttention):
            soft = model.decode(documents, lambda batch, z: model.dev_outputs(batch))[1]
            known = compute(MetricInputs(documents, model.spec, values=soft)).metrics
            metrics["error_reading_all"] = known.get("mse", known.get("accuracy", math.nan))
        return metrics

    @torch.no_grad()
    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """Rationales in the order of the documents."""
        return self.model.decode(documents, self._encoded)[0]

    def _encoded(self, batch: Batch, z: Tensor) -> Tensor:
        outputs: Tensor = self.model.model.encoder(batch.tokens, z, batch.lengths)
        return outputs
