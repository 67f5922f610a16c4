"""Simulation-based calibration: distribution functions of the ranks, less the uniform one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyro_rationale.reporting.plots.files import new_figure
from pyro_rationale.reporting.plots.style import REFERENCE, series_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3


def sbc_figure(results: Sequence[dict[str, Any]]) -> Figure:
    """One panel per statistic, a line per method, and the band that 95 % of the curves of exact methods stay in.

    Args:
        results: of the study, as in its JSON.
    """
    statistics = list(dict.fromkeys(row["statistic"] for row in results))
    methods = list(dict.fromkeys(row["method"] for row in results))
    rows = math.ceil(len(statistics) / COLUMNS)
    figure = new_figure(4 * COLUMNS, 2.8 * rows)
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True).flat
    for panel, statistic in zip(axes, statistics, strict=False):
        panel.set(title=statistic, xlim=(0, 1))
        for row in (row for row in results if row["statistic"] == statistic):
            curve = row["curve"]
            size = len(curve["difference"])
            ranks = [(i + 1) / (size + 1) for i in range(size)]
            if row["method"] == methods[0]:
                panel.fill_between(ranks, curve["low"], curve["high"], color="#dddddd", label="95 % band")
                panel.axhline(0, color=REFERENCE, linewidth=0.8)
            label = row["method"] if row["uniform"] else f"{row['method']}: not uniform"
            colour = series_style(methods.index(row["method"]))["color"]
            panel.plot(ranks, curve["difference"], color=colour, linewidth=1.2, label=label)
        panel.legend(fontsize="x-small", frameon=False)
    figure.supxlabel("rank of the true mask / (draws + 1)", fontsize="medium")
    figure.supylabel("distribution function less uniform", fontsize="medium")
    return figure
