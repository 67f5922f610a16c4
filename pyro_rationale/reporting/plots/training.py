"""Training curves."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyro_rationale.reporting.plots.style import GOLD, INK, POSTERIOR, PRIOR, REFERENCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pyro_rationale.training.history import EpochRecord

# Of each quantity: the axis' label, and per line a field, its name, colour and style.
Line = tuple[str, str, str, str]
QUANTITIES: dict[str, tuple[str, tuple[Line, ...]]] = {
    "error": ("dev error", (("dev_error", "dev", POSTERIOR, "-o"),)),
    "rate": (
        "share of words kept",
        (
            ("kept", "training, expected", POSTERIOR, "-o"),
            ("dev_rate", "dev, most probable masks", GOLD, "--s"),
            ("target", "target", PRIOR, ":"),
        ),
    ),
    "elbo": ("dev ELBO (nats per document)", (("dev_elbo", "dev", POSTERIOR, "-o"),)),
    "loss": ("minus objective (2) / --nats", (("loss", "training", POSTERIOR, "-o"),)),
    "flatness": ("entropy per word / that of a coin", (("flatness", "training", POSTERIOR, "-o"),)),
}
MARKED = 40  # epochs, up to which each has a marker


def recorded_series(history: Sequence[EpochRecord], quantity: str) -> dict[str, tuple[Line, list[float]]]:
    """The lines of a quantity that were recorded in any epoch, by their names.

    Epochs of the warm-up have a loss and a target only: what the guide would keep before its first step, and what the
    encoder makes of that, is no part of the training.

    Raises:
        ValueError: no such quantity.
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"expected one of {', '.join(QUANTITIES)}, got {quantity!r}")
    series = ((line, [_figure(record, line[0]) for record in history]) for line in QUANTITIES[quantity][1])
    return {line[1]: (line, values) for line, values in series if any(map(math.isfinite, values))}


def _figure(record: EpochRecord, name: str) -> float:
    return math.nan if record.untrained and name not in ("loss", "target") else float(getattr(record, name))


LINE = 28  # letters of a line beside an axis of a small figure


def plot_training(
    axes: Axes, history: Sequence[EpochRecord], quantity: str = "error", error_name: str = ""
) -> Axes:
    """One quantity over the steps of a fit; a dotted line where the watch on collapse stepped in.

    Epochs of the warm-up are on a grey ground, and do not set the scale: their loss is that of another objective.

    Args:
        axes: to draw into.
        history: from `history.read_history`.
        quantity: one of `QUANTITIES`.
        error_name: what the error on held-out texts is; empty if that is unknown.

    Raises:
        ValueError: no such quantity.
    """
    steps = [record.step for record in history]
    series = recorded_series(history, quantity)
    for name, ((_, _, colour, style), values) in series.items():
        style = style if len(history) <= MARKED else style.rstrip("os")
        axes.plot(steps, values, style, color=colour, markersize=3.5, markerfacecolor="white", label=name)
    _leave_out_warmup(axes, history, [values for _, values in series.values()])
    for record in history:
        if record.event.startswith("collapse"):
            axes.axvline(record.step, color=REFERENCE, linestyle=":", linewidth=1.0)
    label = f"dev: {error_name}" if error_name and quantity == "error" else QUANTITIES[quantity][0]
    axes.set(xlabel="step", ylabel=textwrap.fill(label, LINE))
    axes.grid(alpha=0.25)
    if len(series) > 1:
        axes.legend(frameon=False)
    return axes


def _leave_out_warmup(axes: Axes, history: Sequence[EpochRecord], series: Sequence[Sequence[float]]) -> None:
    """Grey the warm-up, if there is one, and scale the axis to what follows."""
    begins = [0, *(record.step for record in history)]
    warm: list[tuple[int, int]] = []  # from step to step: a fit that begins anew has a second one
    for begin, record in zip(begins, history, strict=False):
        if record.untrained and warm and warm[-1][1] == begin:
            warm[-1] = (warm[-1][0], record.step)
        elif record.untrained:
            warm.append((begin, record.step))
    trained = [not record.untrained for record in history]
    shown = [v for values in series for v, counts in zip(values, trained, strict=True) if counts and math.isfinite(v)]
    if not warm or not shown:
        return
    low, high = min(shown), max(shown)
    room = 0.08 * (high - low) or 0.1 * abs(high) or 0.1
    axes.set_ylim(low - room, high + room)
    for begin, end in warm:
        axes.axvspan(begin, end, color=REFERENCE, alpha=0.2, linewidth=0)
        # From the bottom up: on a page it is set in another font, and would be cut at the top.
        axes.text((begin + end) / 2, 0.03, "warm-up", transform=axes.get_xaxis_transform(), rotation=90, ha="center",
                  va="bottom", fontsize="small", color=INK)
