"""Many masks of one document: packed, a bit per word, and each distinct one read once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.prediction.agreement import CANDIDATES
from pyro_rationale.tasks import Numbers, to_numbers

if TYPE_CHECKING:
    from pyro_rationale.distributions import MaskDistribution

Bits = NDArray[np.uint8]
Whole = NDArray[np.int64]

ROWS = 256  # masks that the encoder reads at once; sorted, so few that like lengths stand together
CELLS = 2**22  # words times masks at once, as floats


@dataclass(frozen=True)
class Masks:
    """Masks of one document: `S` of them, of which `U` distinct.

    Attributes:
        packed: the distinct ones, a bit per word, `(U, ceil(n / 8))`.
        index: which of them each draw is, `(S,)`.
        words: n.
    """

    packed: Bits
    index: Whole
    words: int

    def unpacked(self, rows: slice | Whole = slice(None)) -> Bits:
        """Distinct masks as 0 and 1, `(U', n)`."""
        return np.unpackbits(self.packed[rows], axis=1, count=self.words)


def draw_masks(distribution: MaskDistribution, samples: int) -> Masks:
    """Independent masks of one document, those first of which an explanation shows one."""
    words = distribution.event_shape[0]
    most = max(1, CELLS // words)
    packed = []
    for start, end in pairwise((0, *range(min(CANDIDATES, samples), samples, most), samples)):
        z = distribution.precise_sample(torch.Size([end - start]))[:, 0]
        packed.append(np.packbits((z > 0.5).cpu().numpy(), axis=1))
    distinct, index = np.unique(np.concatenate(packed), axis=0, return_inverse=True)
    return Masks(distinct, index.reshape(-1), words)


def in_rows(masks: Masks, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """Values of all distinct masks, computed for some of them at a time.

    Masks that keep about equally many words are taken together: an encoder reads as many as the fullest of them has.

    Args:
        masks: of one document.
        compute: from float masks `(U', 1, n)` to their values `(U', 1, *)`.

    Returns:
        `(U, 1, *)`, in the order of `masks.packed`.
    """
    kept = np.concatenate([masks.unpacked(piece).sum(1) for piece in _slices(len(masks.packed), masks.words)])
    order = np.argsort(kept, kind="stable")
    pieces = [
        compute(torch.from_numpy(masks.unpacked(order[piece]))[:, None])
        for piece in _slices(len(order), masks.words)
    ]
    joined = torch.cat(pieces)
    result = torch.empty_like(joined)
    result[torch.from_numpy(order).to(joined.device)] = joined
    return result


def log_densities(masks: Masks, p: MaskDistribution, q: MaskDistribution, device: torch.device) -> Numbers:
    """Log p and log q of all distinct masks, `(U, 2)`.

    Args:
        masks: of one document.
        p: the prior, batch shape `(1,)`.
        q: the guide's distribution, likewise.
        device: where both are.
    """

    def densities(z: Tensor) -> Tensor:
        z = z.to(device, q.mean.dtype)
        return torch.stack([p.log_prob(z), q.log_prob(z)], -1)

    return to_numbers(in_rows(masks, densities)[:, 0])


def _slices(rows: int, words: int) -> Iterator[slice]:
    step = max(1, min(ROWS, CELLS // words))
    return (slice(start, start + step) for start in range(0, rows, step))
