"""Targets as inputs of a guide q(z | x, y)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.tasks import TargetSpec, task_of


@dataclass(frozen=True)
class TargetContext:
    """Makes the context `(B, C)` of a generator from a batch's targets, as the task encodes them.

    By default that is the scaled value of each target and a flag that it is known; for classes it is one-hot. An
    unknown target is encoded as zeros, so an unrated document looks like one whose target is hidden.

    Attributes:
        spec: what is predicted.
    """

    spec: TargetSpec

    @property
    def size(self) -> int:
        """Number of context columns, C."""
        return task_of(self.spec).context_width

    def __call__(self, batch: Batch) -> Tensor:
        """Context of a batch, `(B, C)`.

        Raises:
            ValueError: the batch has no targets.
        """
        if batch.targets is None:
            raise ValueError("expected a batch with targets: there is nothing to condition on")
        return task_of(self.spec).context(batch.targets)
