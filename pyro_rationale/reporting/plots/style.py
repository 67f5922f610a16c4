"""Colours, markers and hatches that all figures share.

Colours are those of Okabe and Ito (2008), which people with any colour vision tell apart; line styles, markers and
hatches repeat the distinction for print.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pyro_rationale.errors import harmless
from pyro_rationale.guides import GUIDES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "P", "v", "X")
HATCHES = ("", "//", "..", "xx", "\\\\", "--")
POSTERIOR, PRIOR, GOLD = "#0072B2", "#D55E00", "#009E73"
INK, REFERENCE = "#000000", "#999999"
ON_FILL = "#010101"  # of text on a filled area; as a colour of its own it is kept in SVG, where black is left out


def literal(name: str) -> str:
    """A name as matplotlib shows it: `$` starts no formula, `_` at the beginning does not hide it from the legend."""
    return (" " if name.startswith("_") else "") + harmless(name).replace("$", r"\$")


def series_style(index: int) -> dict[str, Any]:
    """Colour and marker of the series number `index`; no two of the first 42 have both in common."""
    return {"color": PALETTE[index % len(PALETTE)], "marker": MARKERS[index % len(MARKERS)]}


def guide_style(name: str) -> dict[str, Any]:
    """Colour and marker of a guide, by its position in the registry, so that it looks the same in every figure."""
    names = list(GUIDES)
    return series_style(names.index(name) if name in names else len(names))


def log_ticks(axes: Axes, which: str, written: Callable[[float], str] = "{:g}".format) -> None:
    """Give an axis, `x` or `y`, a log scale with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: written(value)))
    axis.set_minor_formatter(NullFormatter())


def legend_columns(width: float, labels: Sequence[str], most: int) -> int:
    """Columns of a legend of small letters that fit below a figure of this width, in inches; `most` of them at most."""
    longest = max(map(len, labels), default=0)
    return max(1, min(most, int(width / (0.55 + 0.068 * longest))))
