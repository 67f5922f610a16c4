"""Annealing beside the target share of words: the weight of the entropy and the learning rate."""

from __future__ import annotations

import math

from pyro_rationale.training.rate_control import Schedule


def anneal_progress(schedule: Schedule, step: int, last: int) -> float:
    """Progress from the step that reaches the target rate to step `last`, the end of the fit; 0 to 1."""
    start = schedule.warmup + schedule.anneal
    return min(1.0, max(0.0, (step - start) / max(1.0, last - start)))


def entropy_weight(tau: float, start: float, progress: float) -> float:
    """Entropy weight of a step: `start` until the target rate is reached, if that is more, and then down to `tau`.

    A guide without entropy collapses to its first guess: with tau = 0 from the start, masks are lost while the target
    rate comes down. So the weight is held until the target is reached, and falls to tau over half of the steps that
    remain; the last half is a fit of the requested objective (docs/explanation/mathematics.md, equation 2).

    Args:
        tau: weight at the end.
        start: weight until the target rate is reached; no more than tau counts as tau.
        progress: see :func:`anneal_progress`.
    """
    if start <= tau:
        return tau
    return start + (tau - start) * min(1.0, 2.0 * progress)


def cosine_decay(progress: float) -> float:
    """Factor on the learning rate: 1 until the target rate is reached, then half a cosine down to 0.05."""
    return 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * progress))
