"""Variants of a question side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyro_rationale.reporting.console import label_of
from pyro_rationale.reporting.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELS = {
    "mse": "squared error",
    "accuracy": "accuracy",
    "selected": "words kept",
    "empty": "documents with none kept",
    "precision": "kept words that count",
    "position_last_fifth": "kept words in the last fifth",
    "error_reading_all": "squared error, reading all",
    "cpu_seconds": "CPU time of the fit (seconds)",
}
SHARES = ("accuracy", "selected", "empty", "precision", "position_last_fifth")  # in per cent


def plot_variants(axes: Axes, rows: Sequence[Mapping[str, Any]], measure: str) -> Axes:
    """A bar per variant, from the top, with its number beside it; an error bar of a standard deviation over seeds.

    Args:
        axes: to draw into.
        rows: of a study's answer: `variant`, and for the measure `[mean, standard deviation or None]` or `None`.
        measure: its key; variants without it get a dash and no bar.
    """
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    pairs = [row.get(measure) for row in rows]
    means = [pair[0] if pair else 0.0 for pair in pairs]
    deviations = [(pair[1] or 0.0) if pair else 0.0 for pair in pairs]
    ends = [mean + deviation for mean, deviation in zip(means, deviations, strict=True)]
    axes.barh(range(len(rows)), means, xerr=deviations if any(deviations) else None, color=PALETTE[0], height=0.62)
    for i, (pair, end) in enumerate(zip(pairs, ends, strict=True)):
        label = "\u2013" if not pair else f"{100 * pair[0]:.3g} %" if measure in SHARES else f"{pair[0]:.3g}"
        axes.annotate(label, (end, i), (4, 0), textcoords="offset points", va="center", fontsize="small")
    axes.set_yticks(range(len(rows)), [row["variant"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0.0, 1.3 * max(*ends, 1e-9))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    if measure in SHARES:
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel(LABELS.get(measure) or label_of(measure).strip())
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def plot_answer(panels: Iterable[Axes], rows: Sequence[Mapping[str, Any]], measures: Sequence[str]) -> None:
    """A measure per panel; the variants are named on the first.

    Args:
        panels: axes, as many as measures.
        rows: as for :func:`plot_variants`.
        measures: their keys.
    """
    for number, (axes, measure) in enumerate(zip(panels, measures, strict=True)):
        plot_variants(axes, rows, measure).tick_params(axis="y", labelleft=number == 0)
