"""Compaction: the chosen words are kept and the gaps closed before an encoder reads them.

The paper's encoder copies its state where `z = 0` (Lei et al. 2016, section 3.2); reading the kept words side by
side is the same function, costs only what is kept, and leaves no gaps whose shape could spell the answer.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pyro_rationale.distributions.masks import mask_keys, one_of_each

# A relaxed weight below this no longer moves a state or carries a gradient worth its cost.
NEGLIGIBLE = 1e-2


class Kept(NamedTuple):
    """Kept words, left-aligned: `words` and `weights` `(N, L)`, `lengths` `(N,)`; weight 0 on padding.

    `hard`: all weights of words are 1 and take no gradient.
    """

    words: Tensor
    weights: Tensor
    lengths: Tensor
    hard: bool


def compact(tokens: Tensor, z: Tensor, lengths: Tensor) -> Kept:
    """Move the words that must be read to the front of each row, in order.

    Relaxed masks drop what is negligible. A straight-through mask (0 or 1 going forward, but with a gradient) has
    to read every word, since the gradient of a dropped word is the question "what if it had been kept?".

    Args:
        tokens: long, `(N, T)`.
        z: mask or weights in [0, 1], `(N, T)`.
        lengths: long, `(N,)`; nothing beyond a document's end is ever kept.

    Returns:
        The kept words, padded to the longest row (at least one column, so that empty rows are well formed).
    """
    inside = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
    active = (z > NEGLIGIBLE) & inside
    counts = active.sum(-1)
    whole = (z == 1) | (z == 0 if z.requires_grad else ~active)
    # What the sizes and the choice of kernels depend on, in one transfer: the only time a GPU is waited for.
    longest, longest_text, binary = torch.stack([counts.max(), lengths.max(), whole.all().long()]).tolist()
    if z.requires_grad and binary:
        active, counts, longest = inside, lengths, longest_text
    longest = max(1, longest)
    # A stable sort of "dropped" flags is a permutation that keeps word order, and unlike an in-place copy into a
    # fresh buffer it keeps Pyro's provenance of z.
    order = (~active).to(torch.uint8).sort(dim=-1, stable=True).indices[:, :longest]
    present = active.gather(-1, order)
    return Kept(
        words=tokens.gather(-1, order) * present,
        weights=z.gather(-1, order) * present.to(z.dtype),
        lengths=counts,
        hard=bool(binary) and not z.requires_grad,
    )


class Repeats(NamedTuple):
    """Masks to read once: flat positions `(N,)` of one of each kind, and the kind of every mask, `(S * B,)`."""

    chosen: Tensor
    kind: Tensor


def repeated_masks(z: Tensor) -> Repeats | None:
    """Find equal masks among S masks of each of B documents.

    A guide that has learnt something hardly hesitates: of 32 masks for a document, three may be distinct. They are
    found by a 64-bit hash, and then compared word by word.

    Args:
        z: masks of 0 and 1, `(*s, B, T)`.

    Returns:
        `None` if all are distinct, or are no such masks; and always on a GPU, where rows cost next to nothing and
        looking for equal ones means waiting for it.
    """
    documents, size = z.shape[-2:]
    flat = z.reshape(-1, size)
    if len(flat) <= documents or z.requires_grad or z.is_cuda or type(z) is not Tensor:  # not Pyro's provenance either
        return None
    _, chosen, index = one_of_each(mask_keys(z).reshape(-1))
    if len(chosen) == len(flat):
        return None
    owner = torch.arange(len(flat), device=z.device) % documents
    faithful = torch.equal(flat[chosen][index], flat) and torch.equal(owner[chosen][index], owner)
    return Repeats(chosen, index) if faithful else None
