"""Reliability curves as a figure: said against seen, and below how many words each marginal has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyro_rationale.errors import ConfigError

FEW = 20  # words; a bin with fewer is drawn hollow


def check_figure(path: Path) -> None:
    """Refuse a figure that cannot be drawn before any work is done.

    Raises:
        ConfigError: matplotlib is missing, its folder does not exist, or it cannot write such a file.
    """
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise ConfigError("--figure needs matplotlib: pip install 'pyro_rationale[viz]'") from None
    kinds = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.lstrip(".").lower() not in kinds:
        raise ConfigError(f"--figure {path}: expected a name that ends in one of {', '.join(kinds)}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--figure {path}: there is no such folder to write into; make it first")


def draw(path: Path, runs: Sequence[dict[str, Any]]) -> None:
    """One column per layer of gold; a line for each run and view of the guide, unscaled."""
    from matplotlib.figure import Figure

    layers = list(dict.fromkeys(part["gold"] for run in runs for part in run["results"]))
    figure = Figure(figsize=(5 * len(layers), 6.5), layout="constrained")
    axes = figure.subplots(2, len(layers), squeeze=False, sharex=True, height_ratios=(3, 1))
    for column, layer in enumerate(layers):
        upper, lower = axes[0, column], axes[1, column]
        upper.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--")
        for number, (label, curve) in enumerate(_curves(runs, layer)):
            colour = f"C{number}"
            said, seen, count = (np.array(curve[name]) for name in ("said", "seen", "count"))
            upper.plot(said, seen, color=colour, linewidth=1.2, label=label)
            for chosen, face in ((count >= FEW, colour), (count < FEW, "white")):
                upper.scatter(said[chosen], seen[chosen], s=18, facecolors=face, edgecolors=colour, zorder=3)
            middle = 0.5 * (np.array(curve["low"]) + np.array(curve["high"]))
            lower.plot(middle, count, color=colour, drawstyle="steps-mid", linewidth=1.2)
        upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), title=f"against {layer} words", ylabel="share of gold words")
        lower.set(yscale="log", xlabel="word marginal of the guide", ylabel="words")
        upper.legend(fontsize="small", frameon=False)
    figure.savefig(path, dpi=150)


def _curves(runs: Sequence[dict[str, Any]], layer: str) -> list[tuple[str, dict[str, list[float]]]]:
    found = []
    for run in runs:
        for part in run["results"]:
            if part["gold"] == layer and not part["rescaled"]:
                ece = part["all"]["ece"]
                reads = "" if part["reads"] == "x" else f", reads {part['reads']}"
                found.append((f"{Path(run['run']).name}{reads}: ECE {ece:.3f}", part["all"]["curve"]))
    return found
