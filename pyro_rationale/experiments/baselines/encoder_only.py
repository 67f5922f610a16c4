"""Readers: the encoder alone, trained on masks that nobody chose. What a text, or a part of it, is worth.

`full` reads whole texts: the ceiling of prediction, and the usual judge of comprehensiveness and sufficiency. `random`
is trained on masks of every rate and of runs of up to eight words, so that a part of a text is nothing new to it: a
better judge for parts, and the reader behind random masks. `given` learns from masks that something else has chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.experiments.baselines.storage import finished, read_networks, write_networks
from pyro_rationale.experiments.baselines.top_k import all_top_words
from pyro_rationale.experiments.baselines.training import build_networks, train
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.draws import seed_of
from pyro_rationale.prediction.predictor import Mask
from pyro_rationale.prediction.rationalizer import ModelRationalizer, Scores, padded
from pyro_rationale.training.auxiliary_losses import reading_loss

LONGEST = 8  # words that random masks keep or drop together, at most
Masks = Sequence[Sequence[bool]]


def random_masks(batch: Batch) -> Tensor:
    """A mask per document, bool `(B, T)`: its rate the square of a uniform number, in blocks of 1 to 8 words."""
    rows, words = batch.tokens.shape
    device = batch.tokens.device
    rate = torch.rand(rows, 1, device=device).square()  # half of them below a quarter: rationales are short
    length = torch.randint(1, LONGEST + 1, (rows, 1), device=device)
    start = torch.randint(0, LONGEST, (rows, 1), device=device)
    block = (torch.arange(words, device=device) + start) // length
    kept = torch.rand(rows, words + LONGEST, device=device) < rate
    return kept.gather(1, block) & batch.mask


def fit_reader(name: str, kind: str, config: Config, corpus: Corpus, folder: Path,
               given: tuple[Masks, Masks] | None = None) -> FittedModel:
    """Train a reader into a folder, or read the finished one.

    Args:
        name: of the method, for the folder.
        kind: `full`, `random` or `given`.
        config: of the fit.
        corpus: train and dev.
        folder: its own.
        given: for `given`: masks of the training and of the dev documents.
    """
    if finished(name, config, folder):
        return read_networks(config, folder)
    fitted, scale = build_networks(config, corpus, name)
    masks_of = {part: given[i] if given else None for i, part in enumerate(("train", "dev"))}

    def masks(batch: Batch, documents: Sequence[Document], part: str) -> Tensor:
        if kind == "random":
            return random_masks(batch)
        chosen = masks_of[part]
        if chosen is None:
            return batch.mask
        assert batch.index is not None
        index = batch.index.tolist()
        return padded([chosen[i] for i in index], [documents[i] for i in index], batch.tokens) > 0

    def loss(batch: Batch, step: int) -> Tensor:
        return reading_loss(fitted.model, batch, masks(batch, corpus.train, "train")) / (len(batch) * scale)

    def score() -> float:
        torch.manual_seed(0)  # the same random masks after each epoch
        dev = BucketedBatches(corpus.dev, fitted.vocabulary, fitted.spec, 128).ordered(128)
        moved = (batch.to(fitted.device) for batch in dev)
        return sum(float(reading_loss(fitted.model, batch, masks(batch, corpus.dev, "dev"))) for batch in moved)

    train(fitted, corpus, loss, score if corpus.dev else None)
    write_networks(name, config, fitted, folder)
    return fitted.eval()


class FullTextMarker(ModelRationalizer):
    """Marks everything."""

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """Ones."""
        return [np.ones(len(document.tokens)) for document in documents]

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """All words."""
        return [(True,) * len(document.tokens) for document in documents]


class RandomMarker(ModelRationalizer):
    """Marks words at random, the same ones of the same text every time.

    Args:
        fitted: the reader.
        rate: share of each document's words.
        seed: of the choice.
    """

    def __init__(self, fitted: FittedModel, rate: float, seed: int) -> None:
        super().__init__(fitted)
        self.rate, self.seed = rate, seed

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """Uniform numbers."""
        return [np.random.default_rng(seed_of(d, self.seed)).uniform(size=len(d.tokens)) for d in documents]

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """The share of words with the highest numbers."""
        return all_top_words(self.marginals(documents), self.rate)


class FixedMaskRationalizer(ModelRationalizer):
    """Another marker's words, read by a reader that was trained on nothing else."""

    def __init__(self, fitted: FittedModel, marker: ModelRationalizer) -> None:
        super().__init__(fitted)
        self.marker = marker

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """Those of the other."""
        return self.marker.marginals(documents)

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """Those of the other."""
        return self.marker.masks(documents)
