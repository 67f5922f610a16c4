"""Cosine annealing of the target share of words: slow at both ends, fastest half-way."""

import math


def cosine(start: float, final: float, progress: float) -> float:
    """The target at `progress`, from `start` to `final`."""
    return final + (start - final) * 0.5 * (1.0 + math.cos(math.pi * progress))


REGISTERED = cosine
