"""Masks as tensors: which are equal, and where and how often they change."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def flips_of(z: Tensor, words: Tensor) -> Tensor:
    """By how much each word of masks `(*s, B, T)` differs from the one before it, `(*s, B, T - 1)`; 0 on padding.

    Args:
        z: the masks.
        words: True on words, `(*s, B, T)`.
    """
    return (z[..., 1:] - z[..., :-1]).abs() * words[..., 1:]


def changes_of(z: Tensor, words: Tensor) -> Tensor:
    """Changes between neighbouring words of masks `(*s, B, T)`, `(*s, B)`; arguments as for :func:`flips_of`."""
    return flips_of(z, words).sum(-1)


def mask_keys(z: Tensor) -> Tensor:
    """A 64-bit key of each mask, equal for equal masks of one document, `(*s, B, T)` -> long `(*s, B)`.

    A sum of one random number per kept word, and one for the document (Zobrist 1970). Among ten million masks, two
    different ones share a key with probability 3e-6.
    """
    documents, size = z.shape[-2:]
    numbers = _random_numbers(size, z.device)
    owner = torch.arange(documents, device=z.device)
    return (z.long() * numbers[:-1]).sum(-1) + owner * numbers[-1]  # wraps around, as it should


@lru_cache(maxsize=64)
def _random_numbers(size: int, device: torch.device) -> Tensor:
    """One odd random number per word, and one for the document."""
    numbers = np.random.default_rng(20160613).integers(-(2**62), 2**62, size + 1) * 2 + 1
    return torch.from_numpy(numbers).to(device)


def one_of_each(keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct keys `(N,)`, flat positions of one of each `(N,)`, and the number of each key among them `(*s, B)`."""
    distinct, index = torch.unique(keys, return_inverse=True)
    flat = index.reshape(-1)
    positions = flat.new_zeros(len(distinct))
    positions[flat] = torch.arange(len(flat), device=flat.device)  # which of several equal ones wins does not matter
    return distinct, positions, index
