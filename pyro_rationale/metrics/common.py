"""What the metrics share: masks, and ratios whose denominator may be nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]
Masks = Sequence[Sequence[bool]]
Metrics = dict[str, Any]


def as_flags(mask: Sequence[bool] | Flags | None) -> Flags:
    """A mask as an array; none at all is an empty one."""
    return np.asarray([] if mask is None else mask, dtype=bool)


def ratio(part: float, whole: float) -> float:
    """0 where there is nothing to divide by."""
    return float(part) / float(whole) if whole else 0.0


def f1_of(precision: float, recall: float) -> float:
    """The harmonic mean, 0 where both are."""
    return ratio(2 * precision * recall, precision + recall)
