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
        aspects: long, `(B,)`; the one target that each row is about, where every target has a mask of its own (all
            others are NaN in `targets`); `None` where a row is about all targets.
        others: float, `(B, D)`; the targets of a row's document but its own, NaN where one is unknown; `None` where a
            row is about all targets, or targets are unknown.
        owners: long, `(B,)`; which of the different texts a row has, as rows of one document stand in a batch
            together; `None`: look at each row.
        firsts: long, `(U,)`; the first row of each different text.
        weights: float, `(B,)`; how many texts each counts as in a fit, 1 on average over the training texts; `None`
            where all count alike, and outside of training.
        titles: long, `(B,)`; words of a title that are read whatever a mask keeps; `None` where there are none such.
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
    aspects: Tensor | None = None
    others: Tensor | None = None
    owners: Tensor | None = None
    firsts: Tensor | None = None
    weights: Tensor | None = None
    titles: Tensor | None = None

    def __len__(self) -> int:
        return self.tokens.shape[0]

    @property
    def mask(self) -> Tensor:
        """Bool, `(B, T)`; True on words, False on padding."""
        return torch.arange(self.tokens.shape[-1], device=self.tokens.device) < self.lengths[..., None]

    @property
    def unit_mask(self) -> Tensor:
        """Bool, `(B, U)`; True on sentences, False behind the last; `mask` where masks are over words."""
        if self.unit_starts is None:
            return self.mask
        return torch.arange(self.unit_starts.shape[-1], device=self.tokens.device) < self.unit_lengths[..., None]

    @property
    def unit_lengths(self) -> Tensor:
        """Long, `(B,)`; sentences per document, at least 1, or words where masks are over words."""
        if self.units is None:
            return self.lengths
        return self.units.gather(-1, self.lengths[..., None] - 1)[..., 0] + 1

    def weigh(self, values: Tensor) -> Tensor:
        """Figures of the documents, `(*s, B)`, times their weights."""
        return values if self.weights is None else values * self.weights.to(values.dtype)

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
        alone = replace(self, owners=None, firsts=None)
        return alone._each(lambda part: part.repeat(copies, *[1] * (part.dim() - 1)))

    @property
    def texts(self) -> Batch:
        """The different texts, without targets and aspects: what a network reads once for all rows of a document."""
        plain = replace(self, targets=None, aspects=None, others=None, owners=None, firsts=None)
        if self.firsts is None:
            return plain
        firsts = self.firsts
        return plain._each(lambda part: part[firsts])

    def by_aspect(self, count: int) -> Batch:
        """The batch with a row for each document and each of its `count` targets that is known, aspect after aspect.

        A target that is unknown has no row: it costs nothing. Without targets there is a row for each.
        """
        flat = self.aspect_grid(count).flat
        documents = torch.arange(len(self), device=self.tokens.device).repeat(count)
        if flat.targets is not None:
            known = (~flat.targets.isnan()).any(-1)
            known[0] |= ~known.any()  # no batch is empty; that row has no likelihood
            rows = known.nonzero()[:, 0]
            return replace(flat, owners=None, firsts=None)._each(lambda part: part[rows])._sharing(documents[rows])
        return flat

    @property
    def flat(self) -> Batch:
        """The rows of a grid, one after the other."""
        flat = self._each(lambda part: part.flatten(0, 1))
        return flat._sharing(torch.arange(self.tokens.shape[1], device=self.tokens.device).repeat(len(self)))

    def aspect_grid(self, count: int) -> Batch:
        """Every tensor with one more dimension in front, of `count` aspects; in `targets` only a row's own is known.

        Annotations, which are of all targets together, are left out.
        """
        plain = replace(self, gold=None, opinion=None, owners=None, firsts=None)
        grid = plain._each(lambda part: part.expand(count, *part.shape))
        aspects = torch.arange(count, device=self.tokens.device)
        grid = replace(grid, aspects=aspects[:, None].expand(count, len(self)))
        if self.targets is None:
            return grid
        own = torch.eye(count, dtype=torch.bool, device=self.targets.device)[:, None]
        targets = torch.where(own, self.targets, torch.nan)
        return replace(grid, targets=targets, others=self.targets.masked_fill(own, torch.nan))

    def about(self, aspects: Tensor) -> Batch:
        """The batch of rows that are about `aspects` `(B,)`; neighbours of the same words are the same text."""
        same = (self.tokens[1:] == self.tokens[:-1]).all(-1) & (self.lengths[1:] == self.lengths[:-1])
        if self.units is not None:  # unknown words are alike, sentences need not be
            same = same & (self.units[1:] == self.units[:-1]).all(-1)
        documents = torch.cat([same.new_zeros(1), ~same]).cumsum(0)
        return replace(self, aspects=aspects)._sharing(documents)

    def _sharing(self, documents: Tensor) -> Batch:
        """The batch with rows of equal numbers in `documents` `(B,)` known to have the same words."""
        numbers, owners = documents.unique(return_inverse=True)
        places = torch.arange(len(documents), device=documents.device)
        firsts = places.new_full((len(numbers),), len(documents)).scatter_reduce(0, owners, places, "amin")
        return replace(self, owners=owners, firsts=firsts)

    def without_targets(self) -> Batch:
        """The batch without targets, for prediction."""
        return replace(self, targets=None, others=None)
