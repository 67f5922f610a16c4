"""Description of a target: its kind, its names, and its units."""

from __future__ import annotations

from dataclasses import dataclass

CANDIDATES = 20  # in the lists of similar texts that log loss and ELBO of held-out texts are computed on


@dataclass(frozen=True)
class TargetSpec:
    """Description of what is predicted, and in which units.

    Attributes:
        kind: name of a registered task: regression, binary, multiclass, ordinal, or one of another package.
        names: the `D` targets ("aspects"); exactly one for multiclass.
        ranges: `(low, high)` per target for ratings, mapped to [0, 1] inside the model; empty for classes.
        classes: labels in the order of their indices, two for binary, more for multiclass; empty for ratings.
        levels: number of evenly spaced ratings of each target, from its lowest to its highest; empty unless ordinal.
    """

    kind: str
    names: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...] = ()
    classes: tuple[str, ...] = ()
    levels: tuple[int, ...] = ()
