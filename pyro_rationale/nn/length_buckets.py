"""Rows of kept words, cut into groups of like length before they are read.

Masks that keep 22 words of 150 on average keep 36 in the longest of a few hundred rows, and a reader of them all
together spends a third of its time on padding. Texts come in batches of like length; masks do not.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pyro_rationale.nn.packing import Kept

PIECES = 8  # where the sorted rows may be cut: after every eighth of them
STEP = 24  # rows whose arithmetic costs a CPU what a step of a recurrence costs besides; hidden sizes of 32 to 200
GROUP = 200  # words whose arithmetic costs as much as calling one reader more


class Split(NamedTuple):
    """Groups of rows, and the position of every row `(N,)` once the groups stand one after the other."""

    parts: list[Kept]
    order: Tensor


def in_lengths(kept: Kept) -> Split | None:
    """Groups that are read in less time than all rows together, or `None` if there are none.

    Never on a GPU, which is waiting for calls rather than for arithmetic, nor of weighted words, whose recurrence is
    a loop of small operations on a CPU too.
    """
    weights = kept.weights
    if not kept.hard or weights.is_cuda or type(weights) is not Tensor or len(weights) < 2 * PIECES:
        return None  # Pyro's provenance, too, is left alone
    lengths, order = kept.lengths.sort()
    ends = [len(lengths) * piece // PIECES for piece in range(1, PIECES + 1)]
    longest = [max(1, length) for length in lengths[torch.tensor(ends) - 1].tolist()]
    cuts = cheapest(ends, longest)
    if len(cuts) == 1:
        return None
    parts, start = [], 0
    for cut in cuts:
        rows = order[start : ends[cut]]
        words = slice(0, longest[cut])
        parts.append(Kept(kept.words[rows, words], weights[rows, words], kept.lengths[rows], kept.hard))
        start = ends[cut]
    return Split(parts, order.argsort())


def cheapest(ends: list[int], longest: list[int]) -> list[int]:
    """Which pieces end a group, such that all are read in the least time.

    Args:
        ends: rows in front of the end of each piece; they are sorted by length.
        longest: length of its last row.
    """
    best: list[tuple[float, list[int]]] = []
    for last, (end, length) in enumerate(zip(ends, longest, strict=True)):
        ways = []
        for first in range(last + 1):  # of the last group
            before, cuts = best[first - 1] if first else (0.0, [])
            rows = end - (ends[first - 1] if first else 0)
            ways.append((before + length * (rows + STEP) + GROUP, [*cuts, last]))
        best.append(min(ways))
    return best[-1][1]
