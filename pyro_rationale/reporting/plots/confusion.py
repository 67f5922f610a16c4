"""True against predicted classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyro_rationale.reporting.plots.style import ON_FILL, POSTERIOR, literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NUMBERED = 8  # classes at most whose cells show their counts; of more, every other class or fewer is named
LONGEST = 14  # characters of a class's name


def plot_confusion(axes: Axes, counts: Mapping[str, Mapping[str, int]]) -> Axes:
    """A cell per pair of classes, the darker the larger the share of its row.

    Args:
        axes: to draw into.
        counts: documents by true class and predicted class.
    """
    short = (name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}" for name in counts)
    names = list(map(literal, short))
    size = len(names)
    for i, row in enumerate(counts.values()):
        total = max(1, sum(row.values()))
        for j, count in enumerate(row.values()):
            share = count / total
            axes.fill([j, j + 1, j + 1, j], [i, i, i + 1, i + 1], facecolor=(POSTERIOR, 0.45 * share), linewidth=0)
            if size <= NUMBERED:
                axes.text(j + 0.5, i + 0.5, f"{count:,}", ha="center", va="center", color=ON_FILL)
    step = max(1, -(-size // NUMBERED))
    places, shown = [i + 0.5 for i in range(0, size, step)], names[::step]
    axes.set_xticks(places, shown, rotation=30 if size > 3 else 0, ha="right" if size > 3 else "center")
    axes.set_yticks(places, shown)
    axes.tick_params(length=0)
    axes.set(xlim=(0, size), ylim=(size, 0), xlabel="predicted", ylabel="true")
    for spine in axes.spines.values():
        spine.set_visible(False)
    for edge in range(size + 1):
        axes.axhline(edge, color="#b0b0b0", linewidth=0.6)
        axes.axvline(edge, color="#b0b0b0", linewidth=0.6)
    return axes
