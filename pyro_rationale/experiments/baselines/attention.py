"""Attention with the networks of a rationale model: soft, hard, sparse, and with a budget.

The generator's BiLSTM scores the words. What becomes of the scores:

- `soft` (Bahdanau et al. 2015): the encoder's reader reads all words, and its states are averaged with the softmax of
  the scores.
- `sparse` (Peters, Niculae and Martins 2019): the same with 1.5-entmax, under which most words have no share at all.
- `hard` (Xu et al. 2015, section 4.1): words are drawn from the softmax, with replacement, and the encoder reads only
  what was drawn; REINFORCE with leave-one-out baselines and a small weight on the entropy of the softmax.
- `budget`: the scores are projected onto the masks in [0, 1] of a given sum, a relaxed choice of the k best words, and
  the encoder reads words with these weights. This is the structured method of Guerreiro and Martins (2021, SPECTRA)
  with its budget and without its factor for neighbours.

None has a prior. Their rationale is the top k words of a document.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.errors import ConfigError
from pyro_rationale.experiments.baselines.storage import finished, read_networks, write_networks
from pyro_rationale.experiments.baselines.top_k import all_top_words, scaled
from pyro_rationale.experiments.baselines.training import build_networks, train
from pyro_rationale.fitted import FittedModel
from pyro_rationale.guides import IndependentGuide
from pyro_rationale.nn.packing import compact
from pyro_rationale.prediction.predictor import Mask, evaluating, unlabelled
from pyro_rationale.prediction.rationalizer import ModelRationalizer, Scores, padded
from pyro_rationale.tasks import Numbers
from pyro_rationale.training.rate_control import Schedule

KINDS = ("soft", "sparse", "hard", "budget")
DRAWS = 4
ENTROPY = 0.01  # of a document's softmax, in units of the scaled loss
TEMPERATURE = 1.0  # of the budget: below 1, nearly every word is in or out from the start, without a gradient


def entmax() -> Any:
    """The package of sparse projections.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module("entmax")
    except ImportError:
        raise ConfigError("sparse attention needs entmax: pip install 'pyro_rationale[entmax]'") from None


class AttentionModel:
    """Networks that attend, and their loss.

    Args:
        fitted: the networks, with an independent guide.
        kind: one of `KINDS`.
        share: of a document's words that the rationale has (at least one word).
        scale: nats of a loss of order one.
    """

    def __init__(self, fitted: FittedModel, kind: str, share: float, scale: float = 1.0) -> None:
        if kind in ("sparse", "budget"):
            entmax()
        assert isinstance(fitted.guide, IndependentGuide)
        self.fitted, self.kind, self.share, self.scale = fitted, kind, share, scale
        self.vocabulary, self.spec, self.model, self.guide = (
            fitted.vocabulary, fitted.spec, fitted.model, fitted.guide
        )
        config = fitted.config
        self.schedule = Schedule(config.train.warmup, config.train.anneal, share)

    # Attention.

    def scores(self, batch: Batch) -> Tensor:
        """A number per word, `(B, T)`."""
        return self.guide.logits(self.guide.generator(batch.tokens, batch.lengths))

    def shares(self, batch: Batch) -> Tensor:
        """Each word's part of a document's attention, `(B, T)`; 0 on padding."""
        scores = self.scores(batch)
        if self.kind == "sparse":  # minus infinity would not survive its sums of squares
            outside = scores.detach().amin(-1, keepdim=True) - 100.0
            found: Tensor = entmax().entmax15(torch.where(batch.mask, scores, outside), dim=-1)
            return found * batch.mask
        return scores.masked_fill(~batch.mask, -torch.inf).softmax(-1)

    def budgeted(self, batch: Batch, share: float) -> Tensor:
        """Weights in [0, 1] that sum to the share of the words, `(B, T)`; 0 on padding."""
        scores = self.scores(batch) / TEMPERATURE
        inside = torch.where(batch.mask, scores, torch.inf).detach().amin(-1, keepdim=True)
        wanted = (batch.lengths * share).clamp_min(1.0).to(scores.dtype)[:, None]
        # Two below the lowest word: outside of the document even where all of it is kept.
        found: Tensor = entmax().budget_bisect(torch.where(batch.mask, scores, inside - 2.0), budget=wanted, dim=-1)
        return found * batch.mask

    def count(self, batch: Batch) -> Tensor:
        """Words in each document's rationale, `(B,)`."""
        return (batch.lengths * self.share).round().long().clamp(min=1)

    def top(self, batch: Batch) -> Tensor:
        """The rationale: the top words by attention, `(B, T)`."""
        rank = self.shares(batch).argsort(-1, descending=True).argsort(-1)
        return ((rank < self.count(batch)[:, None]) & batch.mask).to(torch.get_default_dtype())

    def softly(self, batch: Batch) -> Tensor:
        """The encoder's outputs with all states averaged by attention, `(B, W)`."""
        encoder = self.model.encoder
        whole = batch.mask.to(torch.get_default_dtype())
        states = encoder.reader(encoder.dropout(encoder.embedding(batch.tokens)), whole, True)
        pooled = (states * self.shares(batch)[..., None]).sum(1)
        outputs: Tensor = encoder.output(encoder.dropout(pooled))
        return outputs

    def reading(self, batch: Batch, z: Tensor) -> Tensor:
        """Outputs from the kept words, `(B, W)`, as if there were no others.

        Soft and sparse attention read them as a text of their own, scores and all: scores that had seen the dropped
        words would tell of them.
        """
        if self.kind in ("hard", "budget"):
            outputs: Tensor = self.model.encoder(batch.tokens, z, batch.lengths)
            return outputs
        kept = compact(batch.tokens, z, batch.lengths)
        text = replace(batch, tokens=kept.words, lengths=kept.lengths.clamp_min(1), targets=None)
        found = self.softly(text)
        output = self.model.encoder.output
        nothing = output(found.new_zeros(1, output.in_features))
        return torch.where(kept.lengths[:, None] > 0, found, nothing)

    # Fitting.

    def loss(self, batch: Batch, step: int = 0) -> Tensor:
        """Per document on average, in units of what there is to explain; its gradient is the estimate."""
        if self.kind in ("soft", "sparse"):
            return self._cost(self.softly(batch), batch).mean()
        if self.kind == "budget":
            z = self.budgeted(batch, self.schedule.target(step))
            return self._cost(self.model.encoder(batch.tokens, z, batch.lengths), batch).mean()
        shares = self.shares(batch)
        most = int(self.count(batch).max())
        with torch.no_grad():
            drawn = torch.multinomial(shares, DRAWS * most, replacement=True).unflatten(-1, (DRAWS, most))
            # Shorter texts draw fewer: (B, 1, most).
            used = torch.arange(most, device=shares.device) < self.count(batch)[:, None, None]
        logs = shares.clamp_min(1e-12).log()  # padding has a share of 0, whose own logarithm has no gradient
        log_q = (logs[:, None].expand(-1, DRAWS, -1).gather(-1, drawn) * used).sum(-1).t()
        picked = torch.zeros(len(batch), DRAWS, shares.shape[1], device=shares.device)
        picked = picked.scatter_add_(-1, drawn, used.float().expand_as(drawn))
        z = (picked > 0).float().transpose(0, 1)
        cost = self._cost(self.model.encoder(batch.tokens, z, batch.lengths), batch)  # (DRAWS, B)
        reward = (cost.detach() - cost.detach().mean(0)) * DRAWS / (DRAWS - 1)
        entropy = -(shares * logs).sum(-1).mean()
        return cost.mean() + (reward * log_q).mean() - ENTROPY * entropy

    def _cost(self, outputs: Tensor, batch: Batch) -> Tensor:
        assert batch.targets is not None
        law, targets = self.model.likelihood.observe(outputs, batch.targets)
        return -float(self.model.kappa) / self.scale * law.log_prob(targets)

    def cost(self, documents: Sequence[Document]) -> float:
        """Of what the fit is for, summed over documents: the attention's own outputs, or those from the top words."""
        total = 0.0
        for batch in BucketedBatches(documents, self.vocabulary, self.spec, 128).ordered(128):
            batch = batch.to(self.fitted.device)
            soft = self.kind in ("soft", "sparse")
            outputs = self.softly(batch) if soft else self.reading(batch, self.top(batch))
            total += float(self._cost(outputs, batch).sum())
        return total

    def decode(
        self, documents: Sequence[Document], predict: Callable[[Batch, Tensor], Tensor]
    ) -> tuple[list[Mask], Numbers]:
        """The rationales, in the documents' order, and what `predict` makes of each batch and its masks."""
        masks: list[Mask] = [()] * len(documents)
        values = np.zeros((len(documents), self.fitted.task.width))
        for batch in BucketedBatches(documents, self.vocabulary, self.spec, 128).ordered(128):
            assert batch.index is not None
            index = batch.index.tolist()
            batch = batch.to(self.fitted.device)
            z = self.top(batch)
            values[index] = self.fitted.task.values(self.model.likelihood(predict(batch, z)))
            for i, row in zip(index, z, strict=True):
                masks[i] = tuple((row[: len(documents[i].tokens)] > 0).tolist())
        return masks, values


class AttentionMarker(ModelRationalizer):
    """Attention as a :class:`~pyro_rationale.prediction.rationalizer.Rationalizer`."""

    def __init__(self, attending: AttentionModel) -> None:
        super().__init__(attending.fitted)
        self.attending = attending

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """Shares of the attention over the largest one of the document."""
        found: list[Scores] = [np.zeros(0)] * len(documents)
        with evaluating(self.fitted):
            for index, batch in self._batches(documents):
                shares = self.attending.shares(batch).to("cpu", torch.float64).numpy()
                for i, row in zip(index, shares, strict=True):
                    found[i] = scaled(row[: len(documents[i].tokens)])
        return found

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """The top words; of sparse attention only those that have a share."""
        return all_top_words(self.marginals(documents), self.attending.share)

    def predict(self, documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> Numbers:
        """From the kept words, as if there were no others."""
        values = np.zeros((len(documents), self.fitted.task.width))
        with evaluating(self.fitted):
            for index, batch in self._batches(documents):
                z = padded([masks[i] for i in index], [documents[i] for i in index], batch.tokens)
                law = self.fitted.model.likelihood(self.attending.reading(batch, z))
                values[index] = self.fitted.task.values(law)
        return values


def fit_attention(name: str, kind: str, config: Config, corpus: Corpus, folder: Path) -> AttentionMarker:
    """Train attention of one of the `KINDS` into a folder, or read the finished one."""
    share = config.model.rate
    if finished(name, config, folder):
        return _marker(name, AttentionModel(read_networks(config, folder), kind, share))
    if kind in ("sparse", "budget"):
        entmax()  # before the work
    fitted, scale = build_networks(config, corpus, name)
    attending = AttentionModel(fitted, kind, share, scale)
    labelled = [d for d in corpus.dev if d.targets]
    dev = [replace(unlabelled(d), targets=d.targets) for d in labelled]
    train(fitted, corpus, attending.loss, (lambda: attending.cost(dev)) if dev else None)
    write_networks(name, config, fitted, folder)
    fitted.eval()
    return _marker(name, attending)


def _marker(name: str, attending: AttentionModel) -> AttentionMarker:
    marker = AttentionMarker(attending)
    marker.name = name
    return marker


