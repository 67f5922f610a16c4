"""Objectives of several runs side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyro_rationale.reporting.plots.files import new_figure
from pyro_rationale.reporting.plots.style import HATCHES, PALETTE, guide_style, legend_columns, literal, log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pyro_rationale.evaluation.objective_comparison import Compared

LINES = {"elbo": "-", "expected-cost": "--"}

COST_TERMS = {
    "error": "error of the prediction",
    "penalty_kept": r"$\lambda_1$ E|z|, words kept",
    "penalty_changes": r"$\lambda_2$ E|dz|, changes",
}
OBJECTIVE_TERMS = {
    "misfit": r"error $\times$ gain",
    "prior_penalty": r"$\alpha$ E|z| + $\gamma$ E|dz|",
    "log_z": "log Z",
    "weighted_entropy": r"$-\tau$ H(q)",
}


def figures(runs: Sequence[Compared], unit: str) -> dict[str, Figure]:
    """All figures of a comparison, by the names of their files.

    Args:
        runs: at least one.
        unit: of the paper's cost.
    """
    result = {}
    if any(_recorded(run) for run in runs):
        figure = result["training"] = new_figure(7.0, 4.8)
        axes = plot_elbo_cost(figure.subplots(), runs, unit)
        handles, labels = axes.get_legend_handles_labels()
        columns = legend_columns(7.0, labels, 2)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=8)
    figure = result["lambda"] = new_figure(9.0, 4.8)
    left, right = figure.subplots(1, 2)
    plot_over_lambda(left, runs, "elbo", "nats per document")
    plot_over_lambda(right, runs, "cost", unit)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(9.0, labels, 4), fontsize=8)
    names = 0.09 * max(0, max((len(run.name) for run in runs), default=0) - 12)  # inches that long names take
    figure = result["terms"] = new_figure(9.0 + names, 1.8 + 0.42 * len(runs))
    left, right = figure.subplots(1, 2, sharey=True)
    plot_terms(left, runs, COST_TERMS, "cost", f"expected cost\n({unit})")
    plot_terms(right, runs, OBJECTIVE_TERMS, "loss", "minus objective (2)\n(nats, no constant)")
    return result


def plot_elbo_cost(axes: Axes, runs: Sequence[Compared], unit: str) -> Axes:
    """Training as a path: expected cost of held-out documents to the right, their ELBO up; the last epoch is filled.

    Runs of before epochs recorded both are left out.
    """
    for run in runs:
        path = _recorded(run)
        if not path:
            continue
        costs, elbos = [cost for cost, _ in path], [elbo for _, elbo in path]
        style = _style(run)
        axes.plot(costs, elbos, markersize=4, markerfacecolor="white", **style)
        axes.plot(costs[-1:], elbos[-1:], color=style["color"], marker=style["marker"], markersize=9, linestyle="")
    every = [cost for run in runs for cost, _ in _recorded(run)]
    _log_scale(axes, "x", min(every, default=1.0), max(every, default=1.0))
    axes.set_xlabel(f"expected cost, dev ({unit}); filled: the last epoch")
    axes.set_ylabel("dev ELBO (nats per document)")
    axes.grid(alpha=0.25)
    return axes


def plot_over_lambda(axes: Axes, runs: Sequence[Compared], key: str, unit: str) -> Axes:
    """`elbo` or `cost` of each run's q, not fitted again, under other penalties on words; a marker at its own."""
    names = {"elbo": "ELBO at kappa = tau = 1", "cost": "expected cost"}
    for run in runs:
        style = _style(run)
        marker = style.pop("marker")
        axes.plot([point["lambda1"] for point in run.curve], [point[key] for point in run.curve], **style)
        own = run.scores["lambda1"]
        if own > 0.0:
            axes.plot([own], [run.scores[key]], color=style["color"], marker=marker, linestyle="", zorder=3)
    axes.set_xscale("log")
    if key == "cost":
        costs = [point[key] for run in runs for point in run.curve]
        _log_scale(axes, "y", min(costs), max(costs))
    axes.set_xlabel(r"$\lambda_1$, penalty per kept word (marker: the run's own)")
    axes.set_ylabel(f"{names[key]}\n({unit})")
    axes.grid(alpha=0.25)
    return axes


def plot_terms(axes: Axes, runs: Sequence[Compared], terms: Mapping[str, str], total: str, label: str) -> Axes:
    """A bar per run, of its terms one behind another, negative ones to the left; a line marks their sum.

    Args:
        axes: to draw into.
        runs: from the top.
        terms: keys of the scores (and those of `bar_scores`), and what the legend calls them.
        total: key of the sum.
        label: of the axis, with its unit.
    """
    axes.use_sticky_edges = False  # or the longest bar's mark lies on the frame
    scores = [bar_scores(run) for run in runs]
    right, left = [0.0] * len(runs), [0.0] * len(runs)
    for number, (key, name) in enumerate(terms.items()):
        values = [score[key] for score in scores]
        starts = [right[i] if value >= 0.0 else left[i] for i, value in enumerate(values)]
        axes.barh(range(len(runs)), values, left=starts, label=name, color=PALETTE[number], height=0.7,
                  hatch=HATCHES[number], edgecolor="#333333", linewidth=0.4)
        for i, value in enumerate(values):
            right[i] += max(value, 0.0)
            left[i] += min(value, 0.0)
    for i, score in enumerate(scores):
        axes.plot([score[total]] * 2, [i - 0.42, i + 0.42], color="black", linewidth=2.0,
                  label="sum" if i == 0 else None)
    axes.axvline(0.0, color="black", linewidth=0.6)
    axes.set_yticks(range(len(runs)), [literal(run.name) for run in runs])
    axes.set_ylim(len(runs) - 0.5, -0.5)
    axes.set_xlabel(label)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8, frameon=False)
    return axes


def bar_scores(run: Compared) -> dict[str, float]:
    """A run's scores, with the parts of minus objective (2) that add up to `loss`.

    The constant of a Normal likelihood, kappa D/2 log(2 pi sigma^2), is left out: it is larger than what it hides, and
    tells more of the errors on which kappa and sigma were settled than of q.
    """
    score = run.scores
    parts = {
        "misfit": score["gain"] * score["error"],
        "prior_penalty": score["gain"] * (score["cost"] - score["error"]),
        "weighted_entropy": -score["tau"] * score["entropy"],
    }
    return {**score, **parts, "loss": sum(parts.values()) + score["log_z"]}


def _log_scale(axes: Axes, which: str, low: float, high: float) -> None:
    """A log scale with plain numbers at 1, 2 and 5; a linear one where the values are too close to meet several."""
    if low <= 0.0 or high / low < 4.0:
        return
    log_ticks(axes, which)


def _recorded(run: Compared) -> list[tuple[float, float]]:
    """Cost and ELBO of the epochs that have both; before the guide's first step they say nothing about it."""
    pairs = [(record.dev_expected, record.dev_elbo) for record in run.history if not record.untrained]
    return [(cost, elbo) for cost, elbo in pairs if math.isfinite(cost) and math.isfinite(elbo) and cost > 0.0]


def _style(run: Compared) -> dict[str, Any]:
    """Colour and marker of the guide, line of the objective."""
    return guide_style(run.guide) | {"linestyle": LINES.get(run.objective, ":"), "label": literal(run.name)}
