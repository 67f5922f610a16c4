"""A schedule of the target share of words that comes down quickly at first."""


def square(start: float, final: float, progress: float) -> float:
    """The target at `progress`, from `start` to `final`."""
    return final + (start - final) * (1.0 - progress) ** 2
