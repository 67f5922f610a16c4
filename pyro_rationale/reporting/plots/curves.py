"""Rate-error curves: a metric against the share of words kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyro_rationale.reporting.console import label_of
from pyro_rationale.reporting.plots.files import new_figure
from pyro_rationale.reporting.plots.style import legend_columns, literal, log_ticks, series_style
from pyro_rationale.tasks import cost_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pyro_rationale.evaluation.rate_curves import Curve

LINES = {"threshold": "--", "top-k": ":", "prior": "-"}


def plot_curves(axes: Axes, curves: Sequence[Curve], key: str) -> Axes:
    """A line per curve against the share of words that it truly keeps; single points (`own` masks) are filled.

    Bars are 95 % intervals over documents, of the points that have one.

    Colour and marker tell models apart, the line style the way of marking. Points without the metric are left out.

    Args:
        axes: to draw into.
        curves: what to draw; those of one name share a colour.
        key: of the metric.
    """
    names = list(dict.fromkeys(curve.name for curve in curves))
    for curve in curves:
        style = series_style(names.index(curve.name))
        columns = curve.column("selected"), curve.column(key), curve.margin(key)
        pairs = [(x, y, margin) for x, y, margin in zip(*columns, strict=True) if x == x and y == y]
        if not pairs:
            continue
        single = curve.way not in LINES
        axes.plot(
            [x for x, _, _ in pairs],
            [y for _, y, _ in pairs],
            linestyle="" if single else LINES[curve.way],
            markersize=9 if single else 3.5,
            markeredgecolor="black" if single else style["color"],
            label=literal(f"{curve.name}, {curve.way}"),
            zorder=3 if single else 2,
            **style,
        )
        known = [pair for pair in pairs if pair[2] == pair[2]]
        axes.errorbar([x for x, _, _ in known], [y for _, y, _ in known], [margin for _, _, margin in known],
                      fmt="none", ecolor=style["color"], elinewidth=0.8, alpha=0.5, zorder=1)  # fmt: skip
    axes.set_xlabel("share of words kept")
    axes.set_ylabel(label_of(key).strip())
    axes.grid(alpha=0.25)
    return axes


def curve_figure(curves: Sequence[Curve]) -> Figure:
    """Prediction error beside precision, recall and F1 where there is gold, over the share of words on a log scale."""
    points = [point for curve in curves for point in curve.points]
    keys = [key for key in cost_names() if any(point.get(key) is not None for point in points)]
    keys += [key for key in ("precision", "recall", "f1") if any(point.get(key) is not None for point in points)]
    keys = keys or ["span"]
    figure = new_figure(1.0 + 3.6 * len(keys), 4.2)
    parts = figure.subplots(1, len(keys), squeeze=False)[0]
    for axes, key in zip(parts, keys, strict=True):
        plot_curves(axes, curves, key)
        log_ticks(axes, "x", lambda share: f"{100 * share:g} %")
        axes.tick_params(axis="x", labelsize="small")
    handles, labels = parts[0].get_legend_handles_labels()
    columns = legend_columns(1.0 + 3.6 * len(keys), labels, 3)
    bars = "bars: 95 % intervals over documents" if any(curve.margins for curve in curves) else None
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=8, title=bars, title_fontsize=8)
    return figure
