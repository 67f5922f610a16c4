"""Reliability curves: of events of each probability, how many come true, such as words that are gold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_rationale.evaluation.calibration import Curve
from pyro_rationale.reporting.plots.files import new_figure
from pyro_rationale.reporting.plots.style import REFERENCE, literal, series_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 20  # words, or labels; a bin with fewer is drawn hollow


def plot_reliability(
    axes: Axes,
    curves: Mapping[str, Curve],
    predicted: str = "probability of being kept",
    observed: str = "share of gold words",
) -> Axes:
    """Share of events that came true against their probability; bins of few events are hollow.

    Args:
        axes: to draw into.
        curves: by their names in the legend.
        predicted: label of the probabilities.
        observed: label of the shares.
    """
    axes.plot([0, 1], [0, 1], color=REFERENCE, linewidth=1, linestyle="--", label="perfect calibration")
    for index, (name, curve) in enumerate(curves.items()):
        style = series_style(index)
        axes.plot(curve.confidence, curve.accuracy, color=style["color"], linewidth=1.2, label=literal(name))
        for chosen, face in ((curve.count >= FEW, style["color"]), (curve.count < FEW, "white")):
            points = curve.confidence[chosen], curve.accuracy[chosen]
            axes.plot(*points, linestyle="", markersize=4.5, markerfacecolor=face, **style)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=predicted, ylabel=observed)
    axes.legend(fontsize="small", frameon=False)
    return axes


def calibration_figure(runs: Sequence[dict[str, Any]]) -> Figure:
    """Reliability curves, a column per layer of gold, above the number of words of each marginal.

    Args:
        runs: of the calibration study's result, as in its JSON.
    """
    layers = list(dict.fromkeys(part["gold"] for run in runs for part in run["results"]))
    figure = new_figure(5 * len(layers), 6.5)
    axes = figure.subplots(2, len(layers), squeeze=False, sharex=True, height_ratios=(3, 1))
    for layer, upper, lower in zip(layers, *axes, strict=True):
        curves = _curves(runs, layer)
        plot_reliability(upper, curves).set(title=f"against {layer} words", xlabel="")
        for index, curve in enumerate(curves.values()):
            middle = 0.5 * (curve.low + curve.high)
            lower.plot(middle, curve.count, color=series_style(index)["color"], drawstyle="steps-mid", linewidth=1.2)
        lower.set(yscale="log", xlabel="word marginal of the guide", ylabel="words")
    return figure


def _curves(runs: Sequence[dict[str, Any]], layer: str) -> dict[str, Curve]:
    """Curves over all words, by run and what the guide read, with their expected calibration error."""
    curves = {}
    for run in runs:
        for part in run["results"]:
            if part["gold"] == layer and not part["rescaled"]:
                reads = "" if part["reads"] == "x" else f", reads {part['reads']}"
                name = f"{Path(run['run']).name}{reads}: ECE {part['all']['ece']:.3f}"
                curves[name] = Curve.from_dict(part["all"]["curve"])
    return curves
