"""The face that benchmarks, curves and stress tests see: something that scores words, marks some, and predicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.predictor import DecodeOptions, Mask, decode_all, evaluating, unlabelled
from pyro_rationale.tasks import Numbers

Scores = NDArray[np.float64]


class Rationalizer(Protocol):
    """Whatever marks words and predicts from marked words; documents in, one entry per document out, in their order.

    Attributes:
        name: for tables.
        spec: what is predicted.
    """

    name: str
    spec: TargetSpec

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """A score in [0, 1] per word, by which words can be ranked: P(kept | text) where there is such a thing."""

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """Its own hard mask of every document."""

    def predict(self, documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> Numbers:
        """`(N, W)` in the units of `Predictions.values`, from the kept words alone."""


class ModelRationalizer:
    """A fitted run as a :class:`Rationalizer`.

    Args:
        fitted: the run.
        decode: how its masks are made of q(z | x).
        batch_size: documents at once.
    """

    def __init__(self, fitted: FittedModel, decode: DecodeOptions | None = None, batch_size: int = 64) -> None:
        self.fitted, self.decode, self.batch_size = fitted, decode or DecodeOptions(), batch_size
        self.name, self.spec = fitted.name, fitted.spec

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """P(word is kept | text) under the guide."""
        found: list[Scores] = [np.zeros(0)] * len(documents)
        with evaluating(self.fitted):
            for index, batch in self._batches(documents):
                means = self.fitted.guide.posterior(batch).mean.to("cpu", torch.float64).numpy()
                for i, row in zip(index, means, strict=True):
                    found[i] = row[: len(documents[i].tokens)]
        return found

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """The masks of the decode rule."""
        return decode_all(self.fitted, documents, self.decode, self.batch_size)[0]

    def predict(self, documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> Numbers:
        """What the encoder makes of the kept words.

        Raises:
            ValueError: a mask is not as long as its document.
        """
        values = np.zeros((len(documents), self.fitted.task.width))
        with evaluating(self.fitted):
            for index, batch in self._batches(documents):
                z = padded([masks[i] for i in index], [documents[i] for i in index], batch.tokens)
                values[index] = self.fitted.task.values(self.fitted.model.predictive(batch, z))
        return values

    def _batches(self, documents: Sequence[Document]) -> Iterator[tuple[list[int], Batch]]:
        texts = [unlabelled(document) for document in documents]
        if not texts:
            return
        batches = BucketedBatches(texts, self.fitted.vocabulary, self.spec, self.batch_size)
        for batch in batches.ordered(self.batch_size):
            assert batch.index is not None
            yield batch.index.tolist(), batch.to(self.fitted.device)


def padded(masks: Sequence[Sequence[bool]], documents: Sequence[Document], tokens: Tensor) -> Tensor:
    """Masks as a tensor like `tokens` `(B, T)`, 0 on padding.

    Raises:
        ValueError: a mask is not as long as its document.
    """
    z = torch.zeros(tokens.shape, dtype=torch.get_default_dtype(), device=tokens.device)
    for row, mask, document in zip(z, masks, documents, strict=True):
        if len(mask) != len(document.tokens):
            raise ValueError(f"{document.id}: a mask of {len(mask)} flags for {len(document.tokens)} words")
        row[: len(mask)] = torch.as_tensor(np.asarray(mask, dtype=float), dtype=z.dtype)
    return z
