"""Draws under a seed are its own, and leave no trace."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from pyro_rationale.nn.seeding import seeded


def test_threads_that_draw_under_a_seed_take_turns() -> None:
    """Torch has one generator: without a lock, draws of one thread would come from the seed of another."""
    found: dict[int, list[float]] = {}

    def draw(seed: int) -> None:
        with seeded(seed):
            found[seed] = [float(torch.rand(())) for _ in range(200)]

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(8):
        with seeded(seed):
            expected = [float(torch.rand(())) for _ in range(200)]
        np.testing.assert_array_equal(found[seed], expected)


@pytest.mark.parametrize("device", [None, torch.device("cpu")])
def test_generators_are_put_back(device: torch.device | None) -> None:
    before = torch.get_rng_state()
    with seeded(3, device):
        found = torch.rand(2)
    torch.testing.assert_close(torch.get_rng_state(), before)
    torch.testing.assert_close(found, torch.rand(2, generator=torch.Generator().manual_seed(3)))
