"""One document: its words, each with the probability that it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.document import spans_of
from pyro_rationale.reporting.plots.style import GOLD, POSTERIOR, literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Numbers = Sequence[float] | NDArray[np.floating[Any]]
Flags = Sequence[bool] | NDArray[np.bool_]

AMBER = "#E69F00"
ADVANCE = 0.602  # width of a letter of DejaVu Sans Mono, which comes with matplotlib, over its size
LEADING = 1.9  # height of a line over the size of its letters
LARGEST = 14.0  # points
LABELLED = 60  # words, up to which each gets its label


def plot_rationale(
    axes: Axes,
    tokens: Sequence[str],
    inclusion: Numbers,
    kept: Flags | None = None,
    gold: Flags | None = None,
    columns: int = 80,
    spaced: Flags | None = None,
) -> Axes:
    """The text, every word shaded by the probability that it is kept; the letters fit the axes as they are now.

    Args:
        axes: to draw into; its frame goes.
        tokens: `n` words.
        inclusion: `n` probabilities.
        kept: a rationale to underline.
        gold: the annotated rationale, under a dotted green line.
        columns: letters in a line.
        spaced: whether there is a space before each word; `None`: everywhere.
    """
    cells = _layout(tokens, columns, spaced)
    lines = 1 + max((line for line, _ in cells), default=0)
    axes.set_axis_off()
    axes.figure.canvas.figure.draw_without_rendering()  # lays the axes out: only then is their size known
    box, points = axes.get_window_extent(), 72.0 / axes.figure.dpi
    width, height = points * box.width, points * box.height
    size = min(LARGEST, width / columns / ADVANCE, height / (lines + 0.5) / LEADING)
    axes.set(xlim=(0.0, width / size / ADVANCE), ylim=(height / size / LEADING, 0.0))
    for i, (token, (line, column)) in enumerate(zip(tokens, cells, strict=True)):
        _word(axes, token, line, column, float(inclusion[i]), size)
        if kept is not None and kept[i]:
            axes.plot([column, column + len(token)], [line + 0.86] * 2, color="black", linewidth=1.6)
        if gold is not None and gold[i]:
            end = column + len(token)
            if i + 1 < len(tokens) and gold[i + 1] and cells[i + 1][0] == line:
                end = cells[i + 1][1]
            axes.plot([column, end], [line + 0.99] * 2, color=GOLD, linewidth=1.6, linestyle=":")
    return axes


def plot_inclusion(
    axes: Axes,
    tokens: Sequence[str],
    inclusion: Numbers,
    kept: Flags | None = None,
    gold: Flags | None = None,
) -> Axes:
    """A bar per word, as high as the probability that it is kept; bars of a rationale `kept` are filled.

    Args:
        axes: to draw into.
        tokens: `n` words; of long texts only those that are more likely kept than not are named.
        inclusion: `n` probabilities.
        kept: a rationale.
        gold: the annotated rationale, as a green ground.
    """
    positions = np.arange(len(tokens))
    filled = np.zeros(len(tokens), dtype=bool) if kept is None else np.asarray(kept, dtype=bool)
    heights = np.asarray(inclusion, dtype=float)
    for i, (start, end) in enumerate(spans_of(() if gold is None else list(gold))):
        label = "annotated rationale" if i == 0 else None
        axes.axvspan(start - 0.5, end - 0.5, color=GOLD, alpha=0.2, linewidth=0.0, label=label)
    for chosen, name in ((filled, "kept"), (~filled, "P(kept | text)" if kept is None else "not kept")):
        if chosen.any():
            full = name == "kept"
            axes.bar(positions[chosen], heights[chosen], 0.8, label=name, edgecolor=POSTERIOR,
                     color=POSTERIOR if full else "white", linewidth=1.0)
    short = len(tokens) <= LABELLED
    named = [i for i in range(len(tokens)) if short or heights[i] >= 0.5]
    axes.set_xticks(named, [_shortened(tokens[i]) for i in named], rotation=90, fontsize=8 if short else 7)
    axes.set(xlim=(-0.6, max(len(tokens), 1) - 0.4), ylim=(0.0, 1.02), ylabel="P(word is kept | text)")
    axes.set_xlabel("word" if short else "words in order; named are those more likely kept than not")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return axes


def _word(axes: Axes, token: str, line: int, column: int, probability: float, size: float) -> None:
    """A word in its shade; `$` does not start a formula."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import Rectangle

    font = FontProperties(family="DejaVu Sans Mono", size=size)
    shade = Rectangle((column, line + 0.08), len(token), 0.74, facecolor=AMBER, alpha=0.85 * probability, linewidth=0)
    axes.add_patch(shade)
    axes.text(column, line + 0.66, token, fontproperties=font, va="baseline", parse_math=False)


def _layout(tokens: Sequence[str], columns: int, spaced: Flags | None = None) -> list[tuple[int, int]]:
    """Line and column of each word; lines break at spaces only.

    A word that is longer than a line stands alone, and the frame cuts it.
    """
    starts = [i for i in range(len(tokens)) if i == 0 or spaced is None or spaced[i]]
    cells = []
    line = column = 0
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        if column and column + sum(len(token) for token in tokens[start:end]) > columns:
            line, column = line + 1, 0
        for token in tokens[start:end]:
            cells.append((line, column))
            column += len(token)
        column += 1
    return cells


def _shortened(token: str) -> str:
    """A word as a tick label."""
    return literal(token if len(token) <= 16 else token[:15] + "…")
