"""Search for numbers by halving: of one number, and of many at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def bisect(above: Callable[[float], bool], low: float, high: float, steps: int = 60) -> tuple[float, float]:
    """Ends of `[low, high]` after so many halvings; `above(x)` says whether the number sought is above x."""
    for _ in range(steps):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if above(middle) else (low, middle)
    return low, high


def bisect_each(
    above: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Ends of many intervals after so many halvings, each as by :func:`bisect`.

    Args:
        above: whether each number sought is above the one given, bool, of the shape of `low`.
        low: lower ends, of any shape.
        high: upper ends, of that shape.
        steps: halvings.
    """
    for _ in range(steps):
        middle = 0.5 * (low + high)
        more = above(middle)
        low, high = torch.where(more, middle, low), torch.where(more, high, middle)
    return low, high
