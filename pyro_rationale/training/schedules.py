"""What eases over a fit beside the share of words: the weight of the entropy, and the learning rate."""

from __future__ import annotations

import math

from pyro_rationale.training.rate_control import Schedule


def anneal_progress(schedule: Schedule, step: int, last: int) -> float:
    """How much of a fit that ends with step `last` is over at `step`, 0 to 1, from where the target rate is reached."""
    start = schedule.warmup + schedule.anneal
    end = max(start + 1.0, float(last))
    return min(1.0, max(0.0, (step - start) / (end - start)))


def entropy_weight(tau: float, start: float, passed: float) -> float:
    """tau of a step: that of the configuration, reached from above where `start` asks for more at first.

    A guide without entropy commits itself to its first guess: with tau = 0 from the start, masks collapse while
    the target rate comes down. So the weight is held until the target is reached, and then falls to tau over
    half of the steps that remain; what is left is a fit of objective (2) with the tau that was asked for.

    Args:
        tau: in the end.
        start: until the target rate is reached; no more than tau counts as tau.
        passed: of the fit, as `anneal_progress` has it.
    """
    if start <= tau:
        return tau
    fallen = min(1.0, 2.0 * passed)
    return start + (tau - start) * fallen


def cosine_decay(passed: float) -> float:
    """Factor on the learning rate: 1 until the target rate is reached, then half a cosine down to a twentieth."""
    return 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * passed))
