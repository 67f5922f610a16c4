"""Prior against guide, and how near the guide is to the posterior; `posterior_figures` draws all from a file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyro_rationale.errors import harmless
from pyro_rationale.inference.limits import FEWEST_DRAWS, TRUSTED
from pyro_rationale.reporting.plots.files import new_figure
from pyro_rationale.reporting.plots.style import GOLD, POSTERIOR, PRIOR
from pyro_rationale.tasks._numerals import rating_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from xarray import DataTree

Numbers = NDArray[np.float64]

SHAPES = (-1.0, 3.0)  # k-hat: ends of the axis
COVERED = 0.99  # of the runs, or of the rates, are shown; the rest is counted in the last bar
BAND = (0.05, 0.95)  # quantiles of replicated data
BINS = 25
REPLICATED = 400  # data sets, about
COLUMNS = 2  # panels in a row
LEVELS = 11  # different ratings at most that get a bar each


class MaskDraws(NamedTuple):
    """How much the stored draws keep.

    Attributes:
        rates: share of words kept of each draw from the guide, `(chain, draw, document)`, and `target` where each has
            masks of its own.
        prior_rates: share of words kept of each draw from the prior, `(chain, draw, document)`.
        runs: number of runs of 1, 2, ... words in all draws from the guide, `(L,)`.
        prior_runs: number of runs of 1, 2, ... words in all draws from the prior, `(L,)`.
    """

    rates: Numbers
    prior_rates: Numbers
    runs: Numbers
    prior_runs: Numbers

    @classmethod
    def of(cls, tree: DataTree) -> MaskDraws:
        """Read from a file of draws; masks are not read."""
        groups: Any = tree
        names = (guide_group(tree), "prior")
        rates = (groups[f"{group}/rate"].values for group in names)
        counts = (groups[f"{group}/span_count"] for group in names)
        runs = (count.sum([dim for dim in count.dims if dim != "length"]).values for count in counts)
        return cls(*rates, *runs)


def guide_group(tree: DataTree) -> str:
    """The group of the guide's draws: in files of version 0.1 it is called `posterior`."""
    return "guide" if "guide" in tree.children else "posterior"


def kept_words(groups: Any, group: str) -> dict[str, float]:
    """Figures of all draws of a group together, in which long documents count for more than short ones.

    Args:
        groups: the stored draws, opened.
        group: `guide` or `prior`.

    Returns:
        `share` of all words that are kept, and `run`, the mean number of kept words in a row; NaN where none is kept.
    """
    draws = groups[group]
    runs = float(draws["spans"].sum())
    share = float(draws["rate"].weighted(groups["constant_data/lengths"]).mean())
    return {"share": share, "run": float((draws["spans"] * draws["span"]).sum()) / runs if runs else math.nan}


def posterior_figures(tree: DataTree) -> dict[str, Figure]:
    """The figures of a file of draws (`netcdf.open_groups`), by name.

    The predictive check only if targets are known, and k-hat only if draws are enough for one. The file is read a
    variable at a time, and masks not at all.
    """
    groups: Any = tree
    figures = {name: new_figure(6.4, 4.0) for name in ("rate", "spans")}
    draws = MaskDraws.of(tree)
    plot_rates(figures["rate"].subplots(), draws.rates, draws.prior_rates)
    plot_spans(figures["spans"].subplots(), draws.runs, draws.prior_runs)
    if (khat := shapes_of(groups)) is not None:
        figures["khat"] = new_figure(6.4, 4.0)
        plot_khat(figures["khat"].subplots(), khat)
    if "observed_data" in tree.children:
        figures["predictive"] = _predictive(groups)
    return figures


def shapes_of(groups: Any) -> Numbers | None:
    """k-hat of each document `(N,)`, NaN where no target is known; `None` where draws are too few to see a tail.

    Every k-hat of so few draws is infinite, whatever the guide.
    """
    sizes = groups[guide_group(groups)].sizes
    if sizes["chain"] * sizes["draw"] < FEWEST_DRAWS:
        return None
    khat: Numbers = groups["sample_stats/khat"].values.ravel()
    return khat


class Histogram(NamedTuple):
    """Shares of draws from the guide and from the prior in the same `K` bins.

    Attributes:
        edges: `K + 1` of them, rising.
        guide: `K` shares; the last bin holds all that lies above as well.
        prior: `K` shares.
        means: of all draws, under the guide and under the prior; NaN where there are none.
        open: whether anything lies above the last edge.
    """

    edges: Numbers
    guide: Numbers
    prior: Numbers
    means: tuple[float, float]
    open: bool


def rate_histogram(guide: ArrayLike, prior: ArrayLike) -> Histogram:
    """Shares of words kept, per draw and document, in `BINS` bins that leave hardly any draw out.

    Args:
        guide: rates from 0 to 1, any shape.
        prior: rates from 0 to 1, any shape.
    """
    after, before = np.ravel(guide).astype(float), np.ravel(prior).astype(float)
    highest = max(float(np.quantile(after, COVERED)), float(np.quantile(before, COVERED)), 0.02)
    edges = np.linspace(0.0, min(1.0, 1.1 * highest), BINS + 1)
    counts = [np.histogram(np.minimum(values, edges[-1]), edges)[0] for values in (after, before)]
    means = float(after.mean()), float(before.mean())
    above = bool(max(after.max(), before.max()) > edges[-1])
    return Histogram(edges, counts[0] / len(after), counts[1] / len(before), means, above)


def span_histogram(guide: ArrayLike, prior: ArrayLike) -> Histogram:
    """Lengths of the runs of kept words, a bin per length, as shares of all runs.

    Args:
        guide: how many runs there are of 1, 2, ... words (the last: or more), `(L,)`.
        prior: how many runs there are of 1, 2, ... words, `(L,)`.
    """
    counts = np.stack([np.asarray(guide, dtype=float), np.asarray(prior, dtype=float)])
    totals = counts.sum(1)
    shares = counts / np.maximum(totals, 1.0)[:, None]
    longest = counts.shape[1]
    below = (shares.cumsum(1) < COVERED).sum(1)[totals > 0]  # lengths that do not yet cover enough
    shown = min(longest, 2 + int(below.max(initial=0)))
    bars = np.concatenate([shares[:, : shown - 1], shares[:, shown - 1 :].sum(1, keepdims=True)], 1)
    with np.errstate(invalid="ignore"):
        after, before = (counts @ np.arange(1, longest + 1) / totals).tolist()
    return Histogram(np.arange(0.5, shown + 1.0), bars[0], bars[1], (after, before), bool(counts[:, shown:].any()))


def plot_rates(axes: Axes, guide: ArrayLike, prior: ArrayLike, requested: float = math.nan) -> Axes:
    """Share of words kept, per draw and document, under the guide (filled) and under the prior (dashed).

    Args:
        axes: to draw into.
        guide: draws of q(z | x), as for :func:`rate_histogram`.
        prior: draws of p(z), likewise.
        requested: rate of the prior that was asked for, where training has moved it; a dotted line.
    """
    bins = rate_histogram(guide, prior)
    axes.stairs(bins.guide, bins.edges, color=POSTERIOR, alpha=0.45, fill=True,
                label=f"guide, mean of documents {bins.means[0]:.3f}")
    axes.stairs(bins.prior, bins.edges, color=PRIOR, linestyle="--", linewidth=1.6,
                label=f"prior, mean of documents {bins.means[1]:.3f}")
    _mark(axes, requested, f"prior asked for, mean {requested:.3f}")
    axes.set(xlabel="share of a document's words that are kept", ylabel="share of draws", xlim=(0.0, bins.edges[-1]))
    _legend_above(axes)
    return axes


def plot_spans(axes: Axes, guide: ArrayLike, prior: ArrayLike, requested: float = math.nan) -> Axes:
    """Lengths of the runs of kept words, under the guide and under the prior, as shares of all runs.

    Args:
        axes: to draw into.
        guide: draws of q(z | x), as for :func:`span_histogram`.
        prior: draws of p(z), likewise.
        requested: mean length under the prior that was asked for, where training has moved it; a dotted line.
    """
    bins = span_histogram(guide, prior)
    shown = len(bins.guide)
    for i, (name, colour, hatch) in enumerate((("guide", POSTERIOR, ""), ("prior", PRIOR, "///"))):
        mean = bins.means[i]
        label = f"{name}, no word kept" if math.isnan(mean) else f"{name}, mean {mean:.2f} words"
        axes.bar(np.arange(1, shown + 1) + 0.4 * (i - 0.5), bins[i + 1], 0.4, label=label, hatch=hatch,
                 color="white" if hatch else colour, edgecolor=colour)
    _mark(axes, requested, f"prior asked for, mean {requested:.2f} words")
    ticks = _few(shown)
    axes.set_xticks(ticks, [f"{tick}+" if tick == shown else str(tick) for tick in ticks])
    axes.set(xlabel="words in a run of kept words", ylabel="share of runs")
    _legend_above(axes)
    return axes


def _mark(axes: Axes, value: float, label: str) -> None:
    """A vertical line; none for NaN."""
    if not math.isnan(value):
        axes.axvline(value, color=GOLD, linestyle=":", linewidth=1.8, label=label)


def plot_predictive(
    axes: Axes,
    drawn: ArrayLike,
    observed: ArrayLike,
    name: str,
    classes: Sequence[str] = (),
    scale: tuple[float, float] | None = None,
    columns: int = 3,
) -> Axes:
    """Predictive check: the distribution of the observed targets among those of replicated data sets.

    Ratings of few levels, such as stars, get a bar per level.

    Args:
        axes: to draw into.
        drawn: a replicated data set per row, `(S, N)`.
        observed: `(N,)`; NaN where unknown, which is left out of both.
        name: of the target, with its unit.
        classes: names, if targets are 0, 1, ...
        scale: both ends of the rating scale, where the axis ends; draws beyond count at its ends.
        columns: of the legend.
    """
    values: Numbers = np.asarray(observed, dtype=float)
    known = ~np.isnan(values)
    table, values = np.asarray(drawn, dtype=float)[:, known], values[known]
    levels = np.arange(len(classes)) if classes else np.unique(table)
    bars = bool(classes) or bool(len(levels) <= LEVELS and np.isin(values, levels).all())
    if bars:
        step = float(np.diff(levels).min()) if len(levels) > 1 else 1.0
        edges = np.concatenate([levels[:1] - step / 2, (levels[1:] + levels[:-1]) / 2, levels[-1:] + step / 2])
    elif scale is not None:
        table, edges = table.clip(*scale), np.linspace(*scale, BINS + 1)
    else:
        least = min(float(values.min()), float(np.quantile(table, 0.001)))
        most = max(float(values.max()), float(np.quantile(table, 0.999)))
        edges = np.linspace(least, most if most > least else least + 1.0, BINS + 1)
    truth = np.histogram(values, edges)[0] / len(values)
    replicated = np.stack([np.histogram(row, edges)[0] for row in table]) / len(values)
    low, middle, high = np.quantile(replicated, (BAND[0], 0.5, BAND[1]), axis=0)
    band = f"{100 * (BAND[1] - BAND[0]):.0f} % of replicated data sets"
    if bars:
        axes.bar(levels, truth, 0.6 * step, color="white", edgecolor="black", label="observed")
        axes.errorbar(levels, middle, (middle - low, high - middle), fmt="o", color=POSTERIOR, capsize=4, label=band)
        ticks = [harmless(name) for name in classes] or [rating_text(float(level)) for level in levels]
        axes.set_xticks(levels, ticks, parse_math=False)
    else:
        axes.stairs(high, edges, baseline=low, fill=True, color=POSTERIOR, alpha=0.3, label=band)
        axes.stairs(middle, edges, color=POSTERIOR, label="their median", baseline=None)
        axes.stairs(truth, edges, color="black", linewidth=1.8, label="observed", baseline=None)
        axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel(harmless(name), parse_math=False)
    axes.set(ylabel="share of documents", ylim=(0.0, 1.05 * max(float(high.max()), float(truth.max()))))
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, fontsize="small",
                borderpad=0.0, columnspacing=1.2)
    return axes


def plot_khat(axes: Axes, khat: ArrayLike) -> Axes:
    """Pareto shapes of the documents' importance weights, in ascending order; values off the axis stand at its edge.

    Args:
        axes: to draw into.
        khat: `(N,)`; NaN where there are no weights, which is left out.
    """
    values = np.sort(np.asarray(khat, dtype=float))
    values = values[~np.isnan(values)]
    low, high = SHAPES
    axes.axhline(TRUSTED, color=PRIOR, linestyle="--", linewidth=1.2)
    axes.set(xlabel="share of documents", ylabel="k-hat of the weights of q(z | x)", xlim=(0.0, 1.0),
             ylim=(low - 0.1, high + 0.1))
    if not len(values):
        axes.text(0.5, 0.5, "no document has a target", transform=axes.transAxes, ha="center")
        return axes
    share = (np.arange(len(values)) + 0.5) / len(values)
    for chosen, marker, colour, label in (
        (values <= TRUSTED, "o", POSTERIOR, f"up to {TRUSTED}, trusted"),
        ((values > TRUSTED) & (values <= high), "x", PRIOR, f"above {TRUSTED}"),
        (values > high, "^", PRIOR, f"above {high:g}, or infinite"),
    ):
        label = f"{label}: {100 * chosen.mean():.0f} % of documents"
        axes.plot(share[chosen], values[chosen].clip(low, high), marker, color=colour, markersize=3.5, label=label)
    _legend_above(axes)
    return axes


def _legend_above(axes: Axes) -> None:
    """A legend above the axes, in which points, bars and lines may lie anywhere."""
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), fontsize="small")


def _few(count: int) -> list[int]:
    """At most a dozen of 1 ... count, both ends among them."""
    step = -(-count // 12)
    ticks = list(range(1, count + 1, step))
    return ticks if ticks[-1] == count else [*(tick for tick in ticks if count - tick >= step), count]


class Replicated(NamedTuple):
    """Drawn and observed targets, as :func:`plot_predictive` takes them."""

    drawn: Numbers
    observed: Numbers
    name: str
    classes: tuple[str, ...]
    scale: tuple[float, float] | None


def replicated_targets(tree: DataTree) -> list[Replicated | None]:
    """Drawn and observed targets for the predictive check, by target; `None` for a target that no document has.

    Of the draws there are so many that `REPLICATED` data sets come together.
    """
    groups: Any = tree
    if "observed_data" not in tree.children:
        return []
    observed, drawn = groups["observed_data/y"], groups[f"{guide_group(groups)}_predictive/y"]
    drawn = drawn.isel(draw=slice(-(-REPLICATED // drawn.sizes["chain"]))).sel(document=observed["document"])
    names, classes = json.loads(groups.attrs["targets"]), json.loads(groups.attrs["classes"])
    scales = json.loads(groups.attrs.get("ranges", "[]"))  # files of older versions do not have them
    found: list[Replicated | None] = []
    for i, name in enumerate(names):
        one = drawn.isel(target=i) if "target" in drawn.dims else drawn
        truth = (observed.isel(target=i) if "target" in observed.dims else observed).values.astype(float)
        table = one.transpose("chain", "draw", "document").values.reshape(-1, truth.size)
        scale = (float(scales[i][0]), float(scales[i][1])) if scales else None
        known = not np.isnan(truth).all()
        found.append(Replicated(table, truth, str(name), tuple(classes), scale) if known else None)
    return found


def _predictive(groups: Any) -> Figure:
    """A panel per target."""
    targets = replicated_targets(groups)
    rows = -(-len(targets) // COLUMNS)
    wide = min(len(targets), COLUMNS)
    figure = new_figure(6.4 if wide == 1 else 5.0 * wide, 4.0 if rows == 1 else 3.2 * rows)
    panels: list[Any] = np.ravel(figure.subplots(rows, wide)).tolist()
    for axes, target in zip(panels, targets, strict=False):
        if target is not None:
            plot_predictive(axes, *target)
    for axes in panels[len(targets) :]:
        axes.set_axis_off()
    return figure
