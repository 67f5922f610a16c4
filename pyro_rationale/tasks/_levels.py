"""Whether ratings stand on a few evenly spaced levels, such as one to five stars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.tasks._cells import Cell, number_of
from pyro_rationale.tasks._spec import TargetSpec

FEWEST, MOST = 3, 11  # levels of a target that `--task auto` takes for ordered ones
TOLERANCE = 1e-6  # of a step, as far as a rating may be from its level


def count_levels(values: NDArray[np.float64], low: float, high: float, most: int) -> int | None:
    """Number of evenly spaced levels from `low` to `high` that all values stand on, `None` for more than `most`."""
    places = (np.unique(values) - low) / (high - low)
    for steps in range(1, most):
        if np.all(np.abs(places * steps - np.round(places * steps)) <= TOLERANCE):
            return steps + 1
    return None


def few_levels(values: NDArray[np.float64], low: float, high: float) -> int | None:
    """Number of levels, 3 to 11 evenly spaced from `low` to `high`, if values stand on more than half; else `None`."""
    count = count_levels(values, low, high, MOST)
    return None if count is None or count < FEWEST or 2 * len(np.unique(values)) <= count else count


def has_few_levels(columns: Sequence[Sequence[Cell]], scale: tuple[float, float] | None = None) -> bool:
    """Whether the numbers of each column stand on 3 to 11 evenly spaced levels, and on more than half of these."""
    for column in columns:
        numbers = {number for number in map(number_of, column) if number is not None}
        if len(numbers) < 2:
            return False
        ends = scale or (min(numbers), max(numbers))
        if not (np.isfinite(ends).all() and ends[0] <= min(numbers) and max(numbers) <= ends[1]):
            return False
        if few_levels(np.array(sorted(numbers)), *ends) is None:
            return False
    return True


def evenly_spaced(low: float, high: float, count: int) -> NDArray[np.float64]:
    """Levels from the lowest to the highest rating: 0.3 where sums would round to 0.30000000000000004."""
    levels = np.linspace(low, high, count)
    plain = np.round(levels, 12)
    return np.where(np.abs(plain - levels) <= 4 * np.spacing(max(abs(low), abs(high))), plain, levels)


def levels_of(spec: TargetSpec, i: int) -> list[float]:
    """The levels of the `i`-th target, from its lowest to its highest; none unless it has few."""
    if not spec.levels:
        return []
    levels: list[float] = evenly_spaced(*spec.ranges[i], spec.levels[i]).tolist()
    return levels


def is_level(value: float, levels: Sequence[float]) -> bool:
    """Whether a rating is one of these levels, but for rounding."""
    return min(abs(value - level) for level in levels) <= TOLERANCE * (levels[1] - levels[0])
