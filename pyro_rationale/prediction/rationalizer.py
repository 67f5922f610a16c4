"""Protocol of anything that scores words, selects some and predicts from them, and a fitted model as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.decoding import Mask, inclusion_probabilities, padded, predict_from
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.prediction.shown_masks import decode_masks
from pyro_rationale.tasks import Decision, Numbers

__all__ = ["ModelRationalizer", "Rationalizer", "Scores", "padded"]

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
    """A fitted run as a :class:`Rationalizer`; one with a mask for each target wants rows about one target each.

    Args:
        fitted: the run.
        decode: how its masks are made of q(z | x).
        batch_size: documents at once.
        name: for tables; that of the run by default.
    """

    def __init__(
        self, fitted: FittedModel, decode: DecodeOptions | None = None, batch_size: int = 64, name: str = ""
    ) -> None:
        self.fitted, self.decode, self.batch_size = fitted, decode or DecodeOptions(), batch_size
        self.name, self.spec, self.aspects = name or fitted.name, fitted.spec, fitted.aspects

    @property
    def decision(self) -> Decision | None:
        """The run's rule that names classes of predictions from single masks, as `predict` makes them."""
        rule = self.fitted.decision
        return None if rule is None else rule.of_one_mask

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """P(word is kept | text) under the guide."""
        return inclusion_probabilities(self.fitted, documents, self.batch_size)

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """The masks of the decode rule."""
        return decode_masks(self.fitted, documents, self.decode, self.batch_size)

    def predict(self, documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> Numbers:
        """Predictions of the encoder from the kept words.

        Raises:
            ValueError: a mask is not as long as its document.
        """
        return predict_from(self.fitted, documents, masks, self.batch_size)

    def predict_own(self, documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> Numbers:
        """:meth:`predict` from masks of the run's own, which each member of an ensemble reads if it draws them."""
        return predict_from(self.fitted, documents, masks, self.batch_size, masks)
