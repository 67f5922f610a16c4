"""How a fit went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyro_rationale.reporting.plots.style import GOLD, POSTERIOR, PRIOR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pyro_rationale.training.history import EpochRecord

# What can be shown: the axis's label, and per line a field, its name, colour and style.
Line = tuple[str, str, str, str]
QUANTITIES: dict[str, tuple[str, tuple[Line, ...]]] = {
    "error": ("dev error (scaled rating squared, or nats)", (("dev_error", "", POSTERIOR, "-o"),)),
    "rate": (
        "share of words kept",
        (
            ("rate", "training, expected", POSTERIOR, "-o"),
            ("dev_rate", "dev, most probable masks", GOLD, "--s"),
            ("target", "asked for", PRIOR, ":"),
        ),
    ),
    "elbo": ("ELBO on dev documents (nats per document)", (("dev_elbo", "", POSTERIOR, "-o"),)),
    "loss": ("minus objective (2), per document over --nats", (("loss", "", POSTERIOR, "-o"),)),
    "flatness": ("entropy per word over that of a coin", (("flatness", "", POSTERIOR, "-o"),)),
}


def plot_training(axes: Axes, history: Sequence[EpochRecord], quantity: str = "error") -> Axes:
    """One quantity over the steps of a fit; a dotted line where the watch on collapse stepped in.

    Args:
        axes: to draw into.
        history: from `history.read_history`.
        quantity: one of `QUANTITIES`.

    Raises:
        ValueError: another quantity.
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"expected one of {', '.join(QUANTITIES)}, got {quantity!r}")
    label, lines = QUANTITIES[quantity]
    steps = [record.step for record in history]
    for name, legend, colour, style in lines:
        values = [getattr(record, name) for record in history]
        axes.plot(steps, values, style, color=colour, markersize=3.5, markerfacecolor="white", label=legend or None)
    for record in history:
        if record.event.startswith("collapse"):
            axes.axvline(record.step, color="black", linestyle=":", linewidth=1.0)
    axes.set(xlabel="step", ylabel=label)
    axes.grid(alpha=0.25)
    if len(lines) > 1:
        axes.legend(frameon=False)
    return axes
