"""Whether predictive distributions are right: the probability integral transform, and coverage against level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pyro_rationale.evaluation.metrics.uncertainty import coverage_curve
from pyro_rationale.reporting.plots.style import POSTERIOR, REFERENCE, literal, series_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOM = 1.35  # height of the panel over that of the bars, for the legend


def plot_pit(axes: Axes, counts: ArrayLike) -> Axes:
    """Share of documents per bin of the probability integral transform, with the band of right distributions.

    A hollow of bars in the middle says that the distributions are too narrow, a hump that they are too wide, a slope
    that predictions are too low or too high.

    Args:
        axes: to draw into.
        counts: of documents per bin, equal bins from 0 to 1.
    """
    numbers = np.asarray(counts, dtype=float)
    bins, total = len(numbers), numbers.sum()
    edges = np.linspace(0.0, 1.0, bins + 1)
    even = 1 / bins
    spread = 1.96 * np.sqrt(even * (1 - even) / total)
    axes.stairs(numbers / total, edges, color=POSTERIOR, alpha=0.45, fill=True, label="documents")
    axes.axhline(even, color=REFERENCE, linestyle="--", linewidth=1.2)
    axes.axhspan(max(0.0, even - spread), even + spread, color=REFERENCE, alpha=0.25, linewidth=0,
                 label="if right: 95 % of bins")
    highest = max(float(numbers.max() / total), even + spread)
    axes.set(xlabel="predicted probability of ratings below the true one", ylabel="share of documents", xlim=(0, 1),
             ylim=(0, ROOM * highest))
    axes.legend(frameon=False, loc="upper center", ncols=2, fontsize="small")
    return axes


def plot_coverage(axes: Axes, counts: Mapping[str, ArrayLike]) -> Axes:
    """Share of true ratings within central intervals, against the level of these.

    Args:
        axes: to draw into.
        counts: of documents per bin of the probability integral transform, as for :func:`plot_pit`, by target.
    """
    axes.plot([0, 1], [0, 1], color=REFERENCE, linewidth=1, linestyle="--", label="if right")
    for index, (name, numbers) in enumerate(counts.items()):
        levels, covered = coverage_curve(np.asarray(numbers, dtype=float))
        axes.plot(levels, covered, linewidth=1.2, markersize=4, label=literal(name), **series_style(index))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="level of the interval", ylabel="true ratings inside")
    axes.legend(frameon=False, fontsize="small", loc="upper left")
    return axes
