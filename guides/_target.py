"""Targets as a guide reads them, for q(z | x, y): numbers that say what is known, and nothing where nothing is."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.tasks import TargetSpec, task_of


@dataclass(frozen=True)
class TargetContext:
    """Makes the context `(B, C)` of a generator out of a batch's targets.

    Ratings and labels: the scaled value, 0 where it is unknown (NaN), and a flag that it is known, for each of the `D`
    aspects (C = 2 D). Classes: one-hot (C = number of classes). A context of zeros says nothing, so that a document
    that nobody rated is the same as one whose target is hidden.

    Attributes:
        spec: what is predicted.
    """

    spec: TargetSpec

    @property
    def size(self) -> int:
        """C."""
        return task_of(self.spec).context_width

    def __call__(self, batch: Batch) -> Tensor:
        """The context, `(B, C)`.

        Raises:
            ValueError: the batch has no targets.
        """
        if batch.targets is None:
            raise ValueError("expected a batch with targets: there is nothing to condition on")
        return task_of(self.spec).context(batch.targets)
