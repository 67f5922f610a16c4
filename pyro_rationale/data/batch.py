"""A padded batch: what the data hand to the networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

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
        gold: bool, `(B, T)`; words of the annotated rationale; `None` if unknown.
        opinion: bool, `(B, T)`; the words inside it that carry the rating; `None` if unknown.
        index: long, `(B,)`; indices of the documents in the list that they came from.
        excluded: uint8, `(B, T)`; 1 for words that no run of kept ones begins or ends with, 2 for those that none
            holds, 0 for others; `None` if there are none such.
        units: long, `(B, T)`; number of the sentence that a word belongs to, `0` on padding; `None` where masks are
            over words.
        unit_starts: long, `(B, U)`; first word of each sentence, `0` where a document has no more.
    """

    tokens: Tensor
    lengths: Tensor
    targets: Tensor | None = None
    gold: Tensor | None = None
    opinion: Tensor | None = None
    index: Tensor | None = None
    excluded: Tensor | None = None
    units: Tensor | None = None
    unit_starts: Tensor | None = None

    def __len__(self) -> int:
        return self.tokens.shape[0]

    @property
    def mask(self) -> Tensor:
        """Bool, `(B, T)`; True on words, False on padding."""
        return torch.arange(self.tokens.shape[1], device=self.tokens.device) < self.lengths[:, None]

    @property
    def unit_lengths(self) -> Tensor:
        """Long, `(B,)`; sentences per document, at least 1, or words where masks are over words."""
        if self.units is None:
            return self.lengths
        return self.units.gather(1, self.lengths[:, None] - 1)[:, 0] + 1

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Move every tensor to `device`; `non_blocking` as for :meth:`torch.Tensor.to`."""
        return self._each(lambda part: part.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """Copy every tensor to pinned memory, from which a GPU fetches it while others compute."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        parts: dict[str, Tensor | None] = {item.name: getattr(self, item.name) for item in fields(self)}
        return replace(self, **{name: change(part) for name, part in parts.items() if part is not None})

    def repeated(self, copies: int) -> Batch:
        """The documents, one after the other, so many times."""
        return self._each(lambda part: part.repeat(copies, *[1] * (part.dim() - 1)))

    def without_targets(self) -> Batch:
        """The batch without targets, for prediction."""
        return replace(self, targets=None)
