"""Charts as numbers: where lines, bars and ticks stand in a viewBox. A template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]

WIDTH, HEIGHT = 380.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 358.0, 12.0, 198.0


@dataclass(frozen=True)
class Scale:
    """From values to places, linearly."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """A line, or points alone if `path` is empty; styles and marker shapes go by `kind`."""

    name: str
    kind: str
    path: str
    marks: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Bar:
    """A bar from the horizontal axis upwards."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Chart:
    """One figure.

    Attributes:
        id: of its HTML element.
        title: above it.
        says: what can be seen, for those who cannot see it.
        x_label: with units.
        y_label: with units.
        x_ticks: places in the viewBox.
        y_ticks: likewise.
        lines: drawn in this order, above the bars.
        bars: of one series.
        bar_name: its name in the legend.
        notes: below the legend, a paragraph each.
        header: of the table of the same figures.
        rows: of that table.
    """

    id: str
    title: str
    says: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()
    bar_name: str = ""
    notes: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Frame:
    """The two axes of a chart."""

    x: Scale
    y: Scale
    x_ticks: tuple[Tick, ...] = field(default=())
    y_ticks: tuple[Tick, ...] = field(default=())

    def path(self, points: Sequence[Point]) -> str:
        """A polyline through the points that are finite; a gap where one is not."""
        pieces, pen = [], "M"
        for x, y in points:
            if math.isfinite(x) and math.isfinite(y):
                pieces.append(f"{pen}{self.x(x):g} {self.y(y):g}")
                pen = "L"
            else:
                pen = "M"
        return "".join(pieces)

    def marks(self, points: Sequence[Point]) -> tuple[Point, ...]:
        """The places of the finite points."""
        return tuple((self.x(x), self.y(y)) for x, y in points if math.isfinite(x) and math.isfinite(y))

    def bars(self, edges: Sequence[float], heights: Sequence[float], gap: float = 1.0) -> tuple[Bar, ...]:
        """A bar per bin, those of no height left out."""
        floor = self.y(0.0)
        found = []
        for low, high, height in zip(edges, edges[1:], heights, strict=False):
            left, right, top = self.x(low) + gap / 2, self.x(high) - gap / 2, self.y(height)
            if floor - top > 0:
                found.append(Bar(round(left, 1), top, round(right - left, 1), round(floor - top, 1)))
        return tuple(found)

    def steps(self, edges: Sequence[float], heights: Sequence[float]) -> str:
        """The outline of a histogram."""
        points = [(edges[0], 0.0)]
        for low, high, height in zip(edges, edges[1:], heights, strict=False):
            points += [(low, height), (high, height)]
        return self.path([*points, (edges[-1], 0.0)])


def frame(
    xs: Sequence[float],
    ys: Sequence[float],
    x_text: Callable[[float], str] | None = None,
    y_text: Callable[[float], str] | None = None,
    whole: bool = False,
) -> Frame:
    """Axes that hold all finite values, with round ticks.

    Args:
        xs: values along.
        ys: values up.
        x_text: how tick labels read; default: as plain numbers.
        y_text: likewise.
        whole: only whole numbers along.
    """
    x_at, y_at = ticks(*_extent(xs), most=7, whole=whole), ticks(*_extent(ys), most=5)
    x_low, x_high = _extent(xs)
    x = Scale(x_low, x_high, LEFT, RIGHT)
    y = Scale(min(y_at[0], *_extent(ys)), max(y_at[-1], *_extent(ys)), BOTTOM, TOP)
    return Frame(
        x,
        y,
        tuple(Tick(x(v), (x_text or plain)(v)) for v in x_at if x_low <= v <= x_high),
        tuple(Tick(y(v), (y_text or plain)(v)) for v in y_at),
    )


def _extent(values: Sequence[float]) -> tuple[float, float]:
    finite = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if high - low > 1e-12 * max(abs(low), abs(high)):
        return low, high
    half = abs(low) / 2 or 0.5
    return low - half, high + half


def ticks(low: float, high: float, most: int = 5, whole: bool = False) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that enclose `low` to `high`, about `most` of them."""
    rough = (high - low) / most
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(m * size for m in (1, 2, 5, 10) if m * size >= rough * (1 - 1e-9))
    if whole:
        step = max(1.0, round(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def plain(value: float) -> str:
    """A tick label with a proper minus sign."""
    return f"{value:.6g}".replace("-", "\N{MINUS SIGN}")


def percent(value: float) -> str:
    """A share as a tick label."""
    return f"{100 * value:.4g} %".replace("-", "\N{MINUS SIGN}")
