"""Halving finds a number, and many as it finds each."""

from __future__ import annotations

from functools import partial

import torch

from pyro_rationale.distributions.bisection import bisect, bisect_each


def test_bisection() -> None:
    low, high = bisect(lambda x: x * x < 2.0, 0.0, 2.0)
    assert low <= 2.0**0.5 <= high + 1e-15
    assert high - low < 1e-12


def test_many_numbers_are_found_as_each_alone() -> None:
    squares = torch.tensor([2.0, 3.0, 0.5], dtype=torch.float64)
    low, high = bisect_each(lambda x: x * x < squares, torch.zeros_like(squares), 3.0 * torch.ones_like(squares), 20)
    for i, square in enumerate(squares.tolist()):
        assert (float(low[i]), float(high[i])) == bisect(partial(is_below, square), 0.0, 3.0, 20)


def is_below(square: float, x: float) -> bool:
    return x * x < square
