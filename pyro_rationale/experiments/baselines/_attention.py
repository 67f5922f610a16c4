"""Attention with the networks of a rationale model.

The network of the generator scores the words. There is no prior; the rationale is the top k words of a document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.experiments.baselines._networks import build_networks, completed, read_networks, write_networks
from pyro_rationale.experiments.baselines._storage import is_finished
from pyro_rationale.experiments.baselines._top_k import all_top_words, scaled
from pyro_rationale.fitted import FittedModel
from pyro_rationale.guides import IndependentGuide
from pyro_rationale.optional import optional
from pyro_rationale.prediction.decoding import Mask, batches_of, evaluating, unlabelled
from pyro_rationale.prediction.rationalizer import ModelRationalizer, Scores, padded
from pyro_rationale.tasks import Numbers
from pyro_rationale.training.loop import train_networks
from pyro_rationale.training.rate_control import Schedule


def entmax() -> Any:
    """Package of sparse projections.

    Raises:
        ConfigError: it is not installed.
    """
    return optional("entmax", "sparse attention needs", "entmax")


class AttentionModel:
    """Networks with attention over words, and their loss.

    Args:
        fitted: the networks, with an independent guide.
        share: of a document's words that the rationale has (at least one word).
        scale: nats of a loss of order one.
    """

    def __init__(self, fitted: FittedModel, share: float, scale: float = 1.0) -> None:
        assert isinstance(fitted.guide, IndependentGuide)
        self.fitted, self.share, self.scale = fitted, share, scale
        self.vocabulary, self.spec, self.model, self.guide = (
            fitted.vocabulary, fitted.spec, fitted.model, fitted.guide
        )
        config = fitted.config
        self.schedule = Schedule(config.train.warmup, config.train.anneal, share)

    @staticmethod
    def check_installed() -> Any:
        """Raises ConfigError if a library that the model needs is missing."""

    def scores(self, batch: Batch) -> Tensor:
        """Score of each word, `(B, T)`."""
        return self.guide.logits(self.guide.generator(batch.tokens, batch.lengths))

    def weights(self, batch: Batch) -> Tensor:
        """Weight of each word, `(B, T)`, the softmax of the scores; 0 on padding."""
        return self.scores(batch).masked_fill(~batch.mask, -torch.inf).softmax(-1)

    def count(self, batch: Batch, share: float | None = None) -> Tensor:
        """Words in the rationale of each document, `(B,)`; of another share than that of all rationales, if given."""
        return (batch.lengths * (self.share if share is None else share)).round().long().clamp(min=1)

    def topk_mask(self, batch: Batch, share: float | None = None) -> Tensor:
        """The rationale, the words of the largest weights, `(B, T)`; `share` as for :meth:`count`."""
        rank = self.weights(batch).argsort(-1, descending=True).argsort(-1)
        return ((rank < self.count(batch, share)[:, None]) & batch.mask).to(torch.get_default_dtype())

    def forward_masked(self, batch: Batch, z: Tensor) -> Tensor:
        """Outputs from the kept words, `(B, W)`, as if there were no others."""
        outputs: Tensor = self.model.encoder(batch.tokens, z, batch.lengths)
        return outputs

    def loss(self, batch: Batch, step: int = 0) -> Tensor:
        """Loss per document on average, in units of the loss of a constant predictor."""
        raise NotImplementedError

    def cost(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Scaled negative log likelihood of the targets, `(..., B)`."""
        assert batch.targets is not None
        likelihood, targets = self.model.likelihood.observe(outputs, batch.targets)
        return -float(self.model.kappa) / self.scale * batch.weigh(likelihood.log_prob(targets))

    def dev_outputs(self, batch: Batch) -> Tensor:
        """Outputs by which the best epoch is chosen, `(B, W)`: those of the rationale."""
        return self.forward_masked(batch, self.topk_mask(batch))

    def dev_cost(self, documents: Sequence[Document]) -> float:
        """Cost of `dev_outputs`, summed over documents."""
        batches = self._batches(documents, weighted=True)
        return sum(float(self.cost(self.dev_outputs(batch), batch).sum()) for batch in batches)

    def decode(
        self, documents: Sequence[Document], predict: Callable[[Batch, Tensor], Tensor]
    ) -> tuple[list[Mask], Numbers]:
        """Rationales in the order of the documents, and values of what `predict` makes of each batch and its masks."""
        masks: list[Mask] = [()] * len(documents)
        values = np.zeros((len(documents), self.fitted.task.width))
        for batch in self._batches(documents):
            assert batch.index is not None
            index = batch.index.tolist()
            z = self.topk_mask(batch)
            values[index] = self.fitted.task.values(self.model.likelihood(predict(batch, z)))
            for i, row in zip(index, z, strict=True):
                masks[i] = tuple((row[: len(documents[i].tokens)] > 0).tolist())
        return masks, values

    def _batches(self, documents: Sequence[Document], weighted: bool = False) -> list[Batch]:
        batches = self.fitted.batches(documents, 128, weighted=weighted).ordered()
        return [batch.to(self.fitted.device) for batch in batches]


class AttentionRationalizer(ModelRationalizer):
    """Attention as a :class:`~pyro_rationale.prediction.rationalizer.Rationalizer`."""

    def __init__(self, attention: AttentionModel, name: str) -> None:
        super().__init__(attention.fitted, name=name)
        self.attention = attention

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """Weights of the attention over the largest one of the document."""
        scores: list[Scores] = [np.zeros(0)] * len(documents)
        with evaluating(self.fitted):
            for index, batch in batches_of(self.fitted, documents, self.batch_size):
                weights = self.attention.weights(batch).to("cpu", torch.float64).numpy()
                for i, row in zip(index, weights, strict=True):
                    scores[i] = scaled(row[: len(documents[i].tokens)])
        return scores

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """The top words; of sparse attention only those that have a weight."""
        return all_top_words(self.marginals(documents), self.attention.share)

    def predict(self, documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> Numbers:
        """Predictions from the kept words, as if there were no others."""
        values = np.zeros((len(documents), self.fitted.task.width))
        with evaluating(self.fitted):
            for index, batch in batches_of(self.fitted, documents, self.batch_size):
                z = padded([masks[i] for i in index], [documents[i] for i in index], batch.tokens)
                outputs = self.attention.forward_masked(batch, z)
                values[index] = self.fitted.task.values(self.fitted.model.likelihood(outputs))
        return values


def fit_attention(
    name: str, kind: type[AttentionModel], config: Config, corpus: Corpus, folder: Path
) -> AttentionRationalizer:
    """Train attention of a kind into a folder, or read the finished one."""
    kind.check_installed()
    config = completed(config, corpus)
    share = config.model.rate
    if is_finished(name, config, corpus, folder):
        return AttentionRationalizer(kind(read_networks(config, folder), share), name)
    fitted, scale = build_networks(config, corpus, name)
    attention = kind(fitted, share, scale)
    dev = [replace(unlabelled(d), targets=d.targets) for d in corpus.dev if d.targets]
    train_networks(fitted, corpus.train, attention.loss, (lambda: attention.dev_cost(dev)) if dev else None)
    write_networks(name, config, fitted, folder)
    fitted.eval()
    return AttentionRationalizer(attention, name)
