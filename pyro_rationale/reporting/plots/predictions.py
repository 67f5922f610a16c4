"""Predicted against true ratings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pyro_rationale.reporting.plots.style import POSTERIOR, REFERENCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 1500  # drawn at most, evenly chosen


def plot_predictions(axes: Axes, truth: ArrayLike, predicted: ArrayLike, scale: tuple[float, float]) -> Axes:
    """A point per document, and the line where predictions are right.

    Args:
        axes: to draw into.
        truth: ratings, `(N,)`.
        predicted: ratings, `(N,)`.
        scale: both ends of the rating scale.
    """
    x, y = np.asarray(truth, dtype=float), np.asarray(predicted, dtype=float)
    step = -(-len(x) // POINTS)
    ends = min(scale[0], x.min()), max(scale[1], x.max())
    axes.plot(ends, ends, color=REFERENCE, linewidth=1.2, label="y = x")
    axes.plot(x[::step], y[::step], "o", markersize=4.5, markerfacecolor=(POSTERIOR, 0.28),
              markeredgecolor=(POSTERIOR, 0.75), markeredgewidth=0.7, label="document", clip_on=False)
    axes.set(xlabel="true", ylabel="predicted", xlim=ends, ylim=ends)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return axes
