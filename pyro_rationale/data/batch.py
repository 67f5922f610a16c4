"""`Batch`: the one thing that travels from the data to the networks."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """A padded batch of `B` documents of at most `T` words.

    Attributes:
        tokens: long, `(B, T)`; word ids, `0` on padding.
        lengths: long, `(B,)`; words per document, at least 1.
        targets: float `(B, D)` for regression (scaled to [0, 1] by the target range, NaN where a rating is
            missing) and for binary labels; long `(B,)` for classes; `None` where unknown.
        gold: bool, `(B, T)`; words of the annotated rationale, or `None`.
        opinion: bool, `(B, T)`; the words inside it that carry the rating, or `None`.
        index: long, `(B,)`; the documents' positions in the list that they came from.
    """

    tokens: Tensor
    lengths: Tensor
    targets: Tensor | None = None
    gold: Tensor | None = None
    opinion: Tensor | None = None
    index: Tensor | None = None

    def __len__(self) -> int:
        return self.tokens.shape[0]

    @property
    def mask(self) -> Tensor:
        """Bool, `(B, T)`; True on words, False on padding."""
        return torch.arange(self.tokens.shape[1], device=self.tokens.device) < self.lengths[:, None]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with every tensor on `device`."""
        moved: dict[str, Any] = {}
        for item in fields(self):
            part: Tensor | None = getattr(self, item.name)
            moved[item.name] = None if part is None else part.to(device)
        return Batch(**moved)

    def without_targets(self) -> Batch:
        """The same texts with nothing observed, for prediction."""
        return replace(self, targets=None)
