"""The number of CPU threads of a fit: as many as make a step faster on this machine at this time.

A second thread halves a large step on an idle machine; on a busy one threads wait for each other, and a step can take
ten times as long. Sums in another number of threads are rounded differently, so a checkpoint keeps the number that was
chosen, and a resumed fit goes on with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from pyro_rationale.data.parallel import cores as cores

REPEATS = 3  # timed steps of each number of threads
GAIN = 0.9  # of the time with half as many threads: a step must take less


def fastest_threads(step: Callable[[], object], most: int) -> int:
    """Set the number of threads, 1, 2, 4, ... up to `most`, beyond which doubling does not make a step faster.

    Args:
        step: runs one training step that leaves no trace.
        most: largest number of threads.

    Returns:
        The number, in force from now on.
    """
    count, best = 1, _fastest(step, 1)
    while 2 * count <= most:
        seconds = _fastest(step, 2 * count, hopeless=2.0 * best)
        if seconds > GAIN * best:
            break
        count, best = 2 * count, seconds
    torch.set_num_threads(count)
    return count


def _fastest(step: Callable[[], object], threads: int, hopeless: float = float("inf")) -> float:
    """Seconds of the fastest of a few steps; the first that takes more than `hopeless` is the last."""
    torch.set_num_threads(threads)
    step()  # threads start, memory is allocated
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
        if best > hopeless:
            break
    return best
