"""Statistics: metrics that are functions of sums over documents, so that documents can be resampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]
Masks = Sequence[Sequence[bool]]
Metrics = dict[str, Any]


@dataclass(frozen=True)
class Statistic:
    """A figure that is a function of sums over documents, which is all that resampling documents needs to know.

    Attributes:
        table: `(N, K)`, what each of `N` documents adds to each of `K` sums; zeros where it has nothing to say.
        of: from sums `(*, K)` to figures `(*)`.
    """

    table: Numbers
    of: Callable[[Numbers], Numbers]

    @property
    def value(self) -> float:
        """The figure for all documents."""
        return float(self.of(self.table.sum(0)))

    def __len__(self) -> int:
        return len(self.table)


Statistics = dict[str, Statistic]


def quotient(part: ArrayLike, whole: ArrayLike) -> Statistic:
    """Sum over sum of two columns `(N,)`: shares, pooled precision; 0 where there is nothing to divide by."""
    return Statistic(np.column_stack([np.asarray(part, dtype=float), np.asarray(whole, dtype=float)]), _quotient)


def average(values: ArrayLike, where: ArrayLike | None = None) -> Statistic:
    """The mean `(N,)` over documents, or over some of them."""
    values = np.asarray(values, dtype=float)
    chosen = np.ones(len(values), dtype=bool) if where is None else np.asarray(where, dtype=bool)
    return quotient(np.where(chosen, values, 0.0), chosen)


def balanced(precision: Statistic, recall: Statistic) -> Statistic:
    """F1, the harmonic mean of two figures."""
    return combined(_harmonic, precision, recall)


def combined(of: Callable[..., Numbers], *parts: Statistic) -> Statistic:
    """A function of several figures on the same documents, in the order of its arguments."""
    ends = np.cumsum([part.table.shape[1] for part in parts]).tolist()
    return Statistic(np.hstack([part.table for part in parts]), partial(_apply, of, parts, [0, *ends]))


def _apply(of: Callable[..., Numbers], parts: Sequence[Statistic], ends: Sequence[int], sums: Numbers) -> Numbers:
    return of(*(part.of(sums[..., a:b]) for part, a, b in zip(parts, ends, ends[1:], strict=False)))


def values_of(statistics: Mapping[str, Statistic]) -> Metrics:
    """The figures, by name."""
    return {name: statistic.value for name, statistic in statistics.items()}


def as_flags(mask: Sequence[bool] | Flags | None) -> Flags:
    """A mask as an array; none at all is an empty one."""
    return np.asarray([] if mask is None else mask, dtype=bool)


def ratio(part: ArrayLike, whole: ArrayLike) -> Numbers:
    """`part / whole`, element by element with broadcasting; 0 where there is nothing to divide by."""
    part, whole = np.asarray(part, dtype=float), np.asarray(whole, dtype=float)
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole != 0)


def _quotient(sums: Numbers) -> Numbers:
    return ratio(sums[..., 0], sums[..., 1])


def _harmonic(precision: Numbers, recall: Numbers) -> Numbers:
    return ratio(2 * precision * recall, precision + recall)
