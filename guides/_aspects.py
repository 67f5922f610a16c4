"""Heads of a guide that has masks for several targets: which text and which target each row is about."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class AspectRows(NamedTuple):
    """Rows `(*b,)` about one target each, of texts that a generator has read once.

    Attributes:
        owners: long, `(*b,)`; the text of each row.
        aspects: long, `(*b,)`; its target.
        targets: their number.
    """

    owners: Tensor
    aspects: Tensor
    targets: int

    def of(self, values: Tensor) -> Tensor:
        """Outputs of the head of each row's target on the row's text, `(*b, T, W)`.

        Args:
            values: of all heads on every word of `U` texts, `(U, T, targets * W)`, target after target.
        """
        heads = values.unflatten(-1, (self.targets, values.shape[-1] // self.targets))
        return heads.movedim(-2, 1)[self.owners, self.aspects]
