"""Ranks of simulation-based calibration as a figure: their distribution functions, less the uniform one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLUMNS = 3


def draw(path: Path, results: Sequence[dict[str, Any]]) -> None:
    """One panel per statistic, a line per method, and the band that 95 % of right curves stay in."""
    from matplotlib.figure import Figure

    statistics = list(dict.fromkeys(row["statistic"] for row in results))
    methods = list(dict.fromkeys(row["method"] for row in results))
    rows = math.ceil(len(statistics) / COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True).flat
    for panel, statistic in zip(axes, statistics, strict=False):
        panel.set(title=statistic, xlim=(0, 1))
        for row in (row for row in results if row["statistic"] == statistic):
            curve = row["curve"]
            size = len(curve["difference"])
            at = [(i + 1) / (size + 1) for i in range(size)]
            if row["method"] == methods[0]:
                panel.fill_between(at, curve["low"], curve["high"], color="#dddddd", label="95 % band")
                panel.axhline(0, color="#999999", linewidth=0.8)
            label = row["method"] if row["uniform"] else f"{row['method']}: not uniform"
            panel.plot(at, curve["difference"], color=f"C{methods.index(row['method'])}", linewidth=1.2, label=label)
        panel.legend(fontsize="x-small", frameon=False)
    figure.supxlabel("rank of the true mask / (draws + 1)", fontsize="medium")
    figure.supylabel("distribution function less uniform", fontsize="medium")
    figure.savefig(path, dpi=150)
