"""Targets as a guide reads them, for q(z | x, y): numbers that say what is known, and nothing where nothing is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import TargetSpec


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
        return self.spec.width if self.spec.kind == "multiclass" else 2 * self.spec.width

    def __call__(self, batch: Batch) -> Tensor:
        """The context, `(B, C)`.

        Raises:
            ValueError: the batch has no targets.
        """
        if batch.targets is None:
            raise ValueError("expected a batch with targets: there is nothing to condition on")
        if self.spec.kind == "multiclass":
            return torch.nn.functional.one_hot(batch.targets, self.spec.width).to(torch.get_default_dtype())
        known = ~batch.targets.isnan()
        return torch.cat([batch.targets.nan_to_num(0.0), known.to(batch.targets.dtype)], dim=-1)
