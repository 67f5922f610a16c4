"""How many texts each document counts as in a fit: by its own weight, times that of its class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.cache.dataset import document_weights, taken, target_rows
from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.document import Document
from pyro_rationale.data.files.text import log
from pyro_rationale.errors import DataError, listed
from pyro_rationale.tasks import task_of

Numbers = NDArray[np.float64]
FEWEST_TEXTS = 20  # of a class: with fewer a fit learns next to nothing about it
SMALLEST = 1e-30  # weight of a document, relative to the mean weight
MOST_ROWS = 2_000_000  # that :meth:`Weighting.resampled` makes


@dataclass(frozen=True)
class Weighting:
    """Weights of documents in a fit; only their ratios matter.

    Attributes:
        classes: weight of each class of the one target, `(C,)`; `None` where classes have none.
    """

    classes: Numbers | None = None

    @classmethod
    def of(cls, wanted: str, spec: TargetSpec, documents: Sequence[Document]) -> Weighting:
        """The weights that `--class-weight` names.

        Args:
            wanted: `none`, `balanced`, or `LABEL=W,...`.
            spec: what is predicted.
            documents: training texts, by whose classes weights are balanced.

        Raises:
            ConfigError: it does not go with what is predicted.
        """
        if wanted == "none":
            return EQUAL
        targets = target_rows(documents, len(spec.names))
        return cls(task_of(spec).class_weights(wanted, targets, document_weights(documents)))

    def absolute(self, documents: Sequence[Document]) -> Numbers:
        """How many texts each document counts as, `(N,)`; one whose class is unknown has the class weight 1."""
        weights = document_weights(documents)
        if self.classes is None:
            return weights
        targets = target_rows(documents, 1)[:, 0]
        known = ~np.isnan(targets)
        return weights * np.where(known, self.classes[np.where(known, targets, 0).astype(int)], 1.0)

    def relative(self, documents: Sequence[Document], where: str = "") -> Numbers | None:
        """Weights with a mean of 1, so that steps are as long as without; `None` where all are equal.

        Args:
            documents: of one split.
            where: stands before the name of a document in a message.

        Raises:
            DataError: one is so small beside the others that a fit, in single precision, would have 0 in its place.
        """
        weights = self.absolute(documents)
        if not len(weights) or not np.ptp(weights):
            return None
        with np.errstate(over="ignore"):
            shares: Numbers = weights / weights.mean()
        if shares.min() < SMALLEST:
            low, high = int(weights.argmin()), int(weights.argmax())
            raise DataError(
                f"{where}{documents[low].id} has the weight {weights[low]:g}, and {documents[high].id} "
                f"{weights[high]:g}, too far apart or too large for single precision; write weights nearer to 1, and 0 "
                "to leave a row out"
            )
        return shares

    def resampled(self, documents: Sequence[Document], spec: TargetSpec) -> Numbers:
        """Targets of the documents `(M, D)`, each as often as it counts, for means and shares that follow the weights.

        Where weights differ, rows are repeated in proportion, about a hundred times each: no class gets or loses a
        hundredth of a text by it.
        """
        targets, weights = target_rows(documents, len(spec.names)), self.relative(documents)
        if weights is None:
            return targets
        rows = min(100 * len(targets), max(MOST_ROWS, len(targets)))
        ends = np.floor(np.cumsum(weights) * (rows / len(targets)) + 0.5).astype(int)
        return np.repeat(targets, np.diff(ends, prepend=0), axis=0)


EQUAL = Weighting()


def without_weightless(corpus: Corpus) -> Corpus:
    """The corpus without documents of weight 0, which count as no text; tables leave such rows out as they are read.

    Raises:
        DataError: a weight is below 0 or not finite, or no training text has one above 0.
    """
    parts: dict[str, Any] = {}
    for split in ("train", "dev", "test"):
        documents = getattr(corpus, split)
        weights = document_weights(documents)
        if not (np.isfinite(weights) & (weights >= 0)).all():
            wrong = weights[~(np.isfinite(weights) & (weights >= 0))][0]
            raise DataError(f"{corpus.name}: a document has the weight {wrong:g}; expected numbers from 0")
        if (weights == 0).any():
            parts[split] = taken(documents, np.flatnonzero(weights))
            if split == "train" and not len(parts[split]):
                raise DataError(f"{corpus.name}: every training document has the weight 0; there is nothing to learn")
    return replace(corpus, **parts) if parts else corpus


def warn_of_rare_classes(corpus: Corpus) -> None:
    """Log classes of which there are only a few training texts."""
    spec = corpus.spec
    targets = target_rows(corpus.train, len(spec.names))
    for name, column in zip(spec.names, targets.T, strict=True):
        known = column[~np.isnan(column)].astype(int)
        counts = np.bincount(known, minlength=len(spec.classes)).tolist() if spec.classes else []
        each = zip(spec.classes, counts, strict=False)
        rare = [f"{label} ({count})" for label, count in each if count < FEWEST_TEXTS]
        if rare:
            log.warning(
                "%s: of %r, fewer than %d training texts are %s, too few to learn what speaks for it; add some, or "
                "judge it by its own recall and precision in the test table",
                corpus.name, name, FEWEST_TEXTS, listed(rare, 5),
            )  # fmt: skip
