"""Soft and hard stochastic attention with the networks of a rationale model, for comparison.

Soft (Bahdanau et al. 2015): the generator's BiLSTM scores the words, the encoder's reader reads all of them, and its
states are averaged with the softmax of the scores. Hard (Xu et al. 2015, section 4.1): words are drawn from that
softmax, with replacement, and the encoder reads only what was drawn; REINFORCE with leave-one-out baselines and a
small weight on the entropy of the softmax. Neither has a prior. Their rationale is the top k words of a document.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from pyro_rationale.build import build_guide, build_model, target_summary
from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.data.vectors import load_vectors
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.evaluation import targets_of
from pyro_rationale.guides import IndependentGuide
from pyro_rationale.metrics import Metrics, Predictions, prediction_metrics, rationale_metrics, selection_metrics
from pyro_rationale.models import RationaleModel
from pyro_rationale.predictions import values_of

DRAWS = 4
ENTROPY = 0.01  # of a document's softmax, in units of the scaled loss


class Attention:
    """A model that attends.

    Args:
        config: as for a fit with the independent guide, whose networks these are.
        corpus: to fit and test on.
        kind: `soft` or `hard`.
        share: of a document's words that the rationale has (at least one word).
    """

    def __init__(self, config: Config, corpus: Corpus, kind: str, share: float) -> None:
        torch.set_num_threads(config.train.threads)
        torch.set_flush_denormal(True)
        torch.manual_seed(config.seed)
        self.config, self.corpus, self.kind, self.share = config, corpus, kind, share
        options = config.model
        self.vocabulary = Vocabulary.build(corpus.train, options.min_count, options.vocabulary)
        vectors = load_vectors(options.vectors, self.vocabulary).matrix if options.vectors else None
        centre, spread = target_summary(corpus.train, corpus.spec)
        self.model: RationaleModel = build_model(config, corpus.spec, len(self.vocabulary), vectors, centre, spread)
        guide = build_guide(config, len(self.vocabulary), vectors, 0.0)
        assert isinstance(guide, IndependentGuide)
        self.guide = guide
        self.scale = spread * self.model.gain

    # Attention.

    def shares(self, batch: Batch) -> Tensor:
        """The softmax over each document's words, `(B, T)`."""
        scores = self.guide.logits(self.guide.generator(batch.tokens, batch.lengths))
        return scores.masked_fill(~batch.mask, -torch.inf).softmax(-1)

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

    # Fitting.

    def loss(self, batch: Batch) -> Tensor:
        """Per document on average, in units of what there is to explain; its gradient is the estimate."""
        if self.kind == "soft":
            return self._cost(self.softly(batch), batch).mean()
        shares = self.shares(batch)
        most = int(self.count(batch).max())
        with torch.no_grad():
            drawn = torch.multinomial(shares, DRAWS * most, replacement=True).unflatten(-1, (DRAWS, most))
            used = torch.arange(most) < self.count(batch)[:, None, None]  # (B, 1, most): shorter texts draw fewer
        logs = shares.clamp_min(1e-12).log()  # padding has a share of 0, whose own logarithm has no gradient
        log_q = (logs[:, None].expand(-1, DRAWS, -1).gather(-1, drawn) * used).sum(-1).t()
        picked = torch.zeros(len(batch), DRAWS, shares.shape[1]).scatter_add_(-1, drawn, used.float().expand_as(drawn))
        z = (picked > 0).float().transpose(0, 1)
        cost = self._cost(self.model.encoder(batch.tokens, z, batch.lengths), batch)  # (DRAWS, B)
        reward = (cost.detach() - cost.detach().mean(0)) * DRAWS / (DRAWS - 1)
        entropy = -(shares * logs).sum(-1).mean()
        return cost.mean() + (reward * log_q).mean() - ENTROPY * entropy

    def _cost(self, outputs: Tensor, batch: Batch) -> Tensor:
        assert batch.targets is not None
        law, targets = self.model.likelihood.observe(outputs, batch.targets)
        return -float(self.model.kappa) / self.scale * law.log_prob(targets)

    def fit(self) -> None:
        """Adam for `--steps` steps at the learning rate of the fit, cooled like there."""
        train = self.config.train
        parameters = [p for m in (self.model, self.guide) for p in m.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=train.learning_rate)
        batches = BucketedBatches(self.corpus.train, self.vocabulary, self.corpus.spec, train.batch_size, train.seed)
        step = epoch = 0
        while step < train.steps:
            for batch in batches.epoch(epoch):
                progress = max(0.0, (step - train.anneal) / max(1, train.steps - train.anneal))
                for group in optimizer.param_groups:
                    group["lr"] = train.learning_rate * (0.05 + 0.475 * (1 + math.cos(math.pi * min(1.0, progress))))
                optimizer.zero_grad()
                self.loss(batch).backward()
                torch.nn.utils.clip_grad_norm_(parameters, train.clip)
                optimizer.step()
                step += 1
            epoch += 1

    # Measuring.

    @torch.no_grad()
    def measure(self, documents: Sequence[Document]) -> Metrics:
        """The test table of the top words; `error_reading_all` is the error of soft attention itself."""
        self.model.eval()
        self.guide.eval()
        masks, values = self._decode(documents, lambda batch, z: self.model.encoder(batch.tokens, z, batch.lengths))
        spec, targets = self.corpus.spec, targets_of(documents, self.corpus.spec)
        metrics: Metrics = dict(prediction_metrics(spec, Predictions(values, targets)))
        metrics |= selection_metrics(masks)
        metrics |= rationale_metrics(documents, masks)
        if self.kind == "soft":
            soft = self._decode(documents, lambda batch, z: self.softly(batch))[1]
            known = prediction_metrics(spec, Predictions(soft, targets))
            metrics["error_reading_all"] = known.get("mse", known.get("accuracy", math.nan))
        return metrics

    def masks(self, documents: Sequence[Document]) -> list[tuple[bool, ...]]:
        """The rationales, in the documents' order."""
        with torch.no_grad():
            return self._decode(documents, lambda batch, z: self.model.encoder(batch.tokens, z, batch.lengths))[0]

    def _decode(
        self, documents: Sequence[Document], predict: Callable[[Batch, Tensor], Tensor]
    ) -> tuple[list[tuple[bool, ...]], np.ndarray]:
        masks: list[tuple[bool, ...]] = [()] * len(documents)
        values = np.zeros((len(documents), self.corpus.spec.width))
        for batch in BucketedBatches(documents, self.vocabulary, self.corpus.spec, 128).ordered(128):
            assert batch.index is not None
            z = self.top(batch)
            values[batch.index.tolist()] = values_of(self.model.likelihood(predict(batch, z)), self.corpus.spec)
            for i, row in zip(batch.index.tolist(), z, strict=True):
                masks[i] = tuple((row[: len(documents[i].tokens)] > 0).tolist())
        return masks, values
