"""Random numbers from a seed, for a while: torch has one generator per device, which all threads share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

# Whoever seeds torch's generators, or draws from them under a seed, holds this lock.
GENERATOR_LOCK = RLock()


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Torch's generators start from `seed` inside and are as before outside; one thread at a time is inside.

    Args:
        seed: of all generators.
        device: the one device, beside the CPU, whose generator is put back; default: all that there are.
    """
    if device is None:
        kept = [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
    else:
        kept = [device] if device.type == "cuda" else []
    with GENERATOR_LOCK, torch.random.fork_rng(devices=kept):
        torch.manual_seed(seed)
        yield
