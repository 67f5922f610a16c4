"""A run that has masks for each of several targets, seen from one of them: its masks, and its column of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pyro_rationale.data.aspects import asked
from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.decoding import Mask
from pyro_rationale.prediction.rationalizer import ModelRationalizer, Scores
from pyro_rationale.tasks import Decision, Numbers


class OneTarget(ModelRationalizer):
    """The masks of one target, and what is predicted of it; it takes documents that have that target alone.

    Args:
        fitted: a run with masks for each target.
        target: number of the target.
    """

    def __init__(self, fitted: FittedModel, target: int) -> None:
        super().__init__(fitted)
        self.target, self.spec, self.aspects = target, one_target(fitted.spec, target), 1

    @property
    def decision(self) -> Decision | None:
        """The target's rule that names classes."""
        rule = super().decision
        if rule is None:
            return None
        own = slice(self.target, self.target + 1)
        return Decision(rule.offsets[own], rule.texts[own], rule.macro_f1[own], rule.probable_f1[own])

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """P(word is kept for the target | text) under the guide."""
        return super().marginals(self._rows(documents))

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """The target's masks."""
        return super().masks(self._rows(documents))

    def predict(self, documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> Numbers:
        """The target's column, `(N, 1)`."""
        values = super().predict(self._rows(documents), masks)
        return values[:, self.target : self.target + 1]

    def _rows(self, documents: Sequence[Document]) -> list[Document]:
        return [replace(document, targets=(), aspect=self.target) for document in documents]


def one_target(spec: TargetSpec, target: int) -> TargetSpec:
    """The description of one of several targets."""
    own = slice(target, target + 1)
    return replace(spec, names=spec.names[own], ranges=spec.ranges[own], levels=spec.levels[own])


def about(documents: Sequence[Document], target: int) -> list[Document]:
    """Those documents in which a target is known, with that target alone, and the rationale annotated for it."""
    rows = [asked(document, target) for document in documents]
    return [replace(row, targets=(row.targets[target],), aspect=None) for row in rows if row.has_target]
