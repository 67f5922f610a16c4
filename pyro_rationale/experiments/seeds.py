"""Mean and standard deviation over the seeds of a method."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; no deviation of a single value."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


def format_mean_sd(mean: float, sd: float | None, digits: int = 3) -> str:
    """Text such as `0.917 (0.12)`."""
    return f"{mean:.{digits}g}" if sd is None else f"{mean:.{digits}g} ({sd:.2g})"
