"""Linear annealing of the target share of words: every step takes as many words."""


def linear(start: float, final: float, progress: float) -> float:
    """The target at `progress`, from `start` to `final`."""
    return start + (final - start) * progress


REGISTERED = linear
