"""A text and the model that reads it, as methods of attribution see them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_rationale.data.document import Document
from pyro_rationale.errors import ConfigError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.optional import optional
from pyro_rationale.prediction.decoding import evaluating, unlabelled
from pyro_rationale.prediction.draws import seed_of
from pyro_rationale.prediction.mask_predictions import read_rows
from pyro_rationale.tasks import Numbers

ROWS = 4096  # masks of which words are held as floats at once


class Subject:
    """One text of at least one word, and the model whose prediction from all of its words is explained.

    What is explained of each target is a number: a rating in the user's units, or the log odds of the predicted class,
    in nats. A word that is left out is not replaced by another: the model reads the words before and after it side by
    side.

    Args:
        reader: an encoder that was trained on whole texts.
        document: the text.
        seed: of whatever is drawn at random, together with the text.
    """

    def __init__(self, reader: FittedModel, document: Document, seed: int = 0) -> None:
        self.reader, self.document = reader, unlabelled(document)
        self.seed = seed_of(self.document, seed) % 2**32
        self.words = document.tokens

    @cached_property
    def values(self) -> Numbers:
        """The prediction from all words, `(W,)`, as :attr:`~pyro_rationale.prediction.predictor.Prediction.values`."""
        return self._values(np.ones((1, len(self.words)), dtype=bool))[0]

    def read(self, masks: Any) -> Numbers:
        """The explained number of each target `(N, D)`, from the words that the masks `(N, n)` keep."""
        return self.reader.task.effects(self._values(np.asarray(masks, dtype=bool)), self.values[None])

    def read_vectors(self, vectors: Tensor) -> Tensor:
        """The numbers of `read`, up to a constant, from variants `(N, S, E)` of the text's vectors, with gradients."""
        distribution = self.reader.model.likelihood(self.reader.model.encoder.read_vectors(vectors))
        return self.reader.task.effect_tensor(distribution, self.values[None])

    @cached_property
    def tokens(self) -> Tensor:
        """Numbers of the words, `(n,)`."""
        return self._batch.tokens[0]

    @cached_property
    def _batch(self) -> Any:
        return self.reader.encode([self.document]).to(self.reader.device)

    def _values(self, masks: Any) -> Numbers:
        parts = []
        with evaluating(self.reader):
            for start in range(0, len(masks), ROWS):
                some = torch.from_numpy(np.ascontiguousarray(masks[start : start + ROWS]))
                z = some.to(self.reader.device, self.reader.model.encoder.dtype)
                parts.append(read_rows(self.reader, self._batch, z, np.zeros(len(some), dtype=np.int64))[0])
        return np.concatenate(parts)


@dataclass(frozen=True)
class AttributionMethod:
    """A way to say after the fact what each word does to a prediction.

    Attributes:
        title: name for tables.
        library: that computes it, by the name that is imported.
        extra: that installs it.
        evaluations: how often the model is asked about a text, where nothing else is wanted.
        compute: numbers `(n, D)` of a subject, for the given number of evaluations; above 0 where a word raises the
            rating, or speaks for the predicted class.
    """

    title: str
    library: str
    extra: str
    evaluations: int
    compute: Callable[[Subject, int], Numbers]

    def check_installed(self) -> None:
        """Raise ConfigError if the library is missing."""
        library(self.library, self.extra)


def library(name: str, extra: str) -> Any:
    """A module of an extra, imported without the warnings of its own imports.

    Raises:
        ConfigError: it is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optional(name, "attributions need", extra)


def attribute(
    reader: FittedModel, document: Document, method: AttributionMethod, evaluations: int | None = None, seed: int = 0
) -> Numbers:
    """Attribute the prediction of each target to the words of a text, `(n, D)`.

    Args:
        reader: an encoder that was trained on whole texts.
        document: the text; one that is asked about one target (`aspect`) gets that column alone.
        method: one of :data:`ATTRIBUTIONS`.
        evaluations: how often the reader is asked; the method's own number by default.
        seed: of what is drawn at random.

    Raises:
        ConfigError: the library is not installed, or the encoder does not let gradients be taken.
    """
    words, targets = len(document.tokens), len(reader.spec.names)
    columns = slice(None) if document.aspect is None else slice(document.aspect, document.aspect + 1)
    if not words:
        return np.zeros((0, targets))[:, columns]
    subject = Subject(reader, document, seed)
    method.check_installed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, about themselves
        try:
            found = method.compute(subject, evaluations or method.evaluations)
        except NotImplementedError as problem:
            raise ConfigError(f"--method {method.title}: {problem}; take another method") from None
    return np.asarray(found, dtype=float).reshape(words, targets)[:, columns]


def importance(reader: FittedModel, attributions: Numbers, aspect: int | None = None) -> Numbers:
    """How much each word matters, at least 0, `(n,)`: absolute attributions, added over targets.

    Those of ratings are shares of their scales, so that targets of different scales can be added.

    Args:
        reader: the model that is explained.
        attributions: of one text, `(n, D)`.
        aspect: the one target that they are of, if they are not of all.
    """
    widths = np.array([high - low for low, high in reader.spec.ranges] or [1.0])
    widths = widths if aspect is None or len(widths) == 1 else widths[aspect : aspect + 1]
    size: Numbers = (np.abs(attributions) / widths).sum(1)
    return size
