"""Two questions to the results of a benchmark that its own tables do not answer.

    python benchmarks/bars.py correlation runs/benchmark/planted
    python benchmarks/bars.py curve runs/benchmark/real --corpus vader-movies --fitted-for 0.3

The first: what tied ratings cost each method, F1 on planted reviews less F1 on correlated ones, seed by seed. The
second: the error of one model at many shares of words, each method read in each way that it can be read in.
"""

from __future__ import annotations

import csv
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pyro_rationale.cli.benchmark import CURVES, RESULTS
from pyro_rationale.evaluation.significance import seeds_test
from pyro_rationale.storage import read_json


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean and standard deviation."""
    deviation = f" ({statistics.stdev(values):.{digits}f})" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


def losses(cells: list[dict[str, Any]], view: str) -> dict[str, list[tuple[float, float]]]:
    """F1 without and with correlation, by method, for the seeds that have both."""
    found: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    for cell in cells:
        if cell["rate"]["label"] == "1x" and view in cell["views"]:
            found[cell["method"], cell["seed"]][cell["corpus"]] = cell["views"][view]["f1"]
    pairs = defaultdict(list)
    for (method, _), f1 in found.items():
        if len(f1) == 2:
            pairs[method].append((f1["planted"], f1["correlated"]))
    return pairs


@click.group(help=__doc__)
def main() -> None:
    """The two questions."""


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--reference", default="chain", show_default=True, help="method that the others are tested against")
def correlation(out: Path, reference: str) -> None:
    """F1 at the gold rate on planted and on correlated reviews, for own and for matched masks."""
    cells = read_json(out / RESULTS)["cells"]
    for view in ("own", "matched"):
        pairs = losses(cells, view)
        base = [a - b for a, b in pairs[reference]]
        rows = []
        for method, figures in pairs.items():
            before, after, loss = [a for a, _ in figures], [b for _, b in figures], [a - b for a, b in figures]
            p = "-" if method == reference else f"{seeds_test(loss, base).p:.3f}"
            rows.append([method, str(len(loss)), *map(spread, (before, after, loss)), p])
        click.echo(f"\n**{view} masks**\n")
        click.echo(table(("method", "seeds", "correlation 0", "correlation .8", "loss", "p over seeds"), rows))


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--corpus", required=True, help="a corpus of the benchmark")
@click.option("--fitted-for", help="label of the rate that the models were fitted for [default: all]")
@click.option("--measure", default="mse", show_default=True, help="mse, accuracy, f1 ...")
def curve(out: Path, corpus: str, fitted_for: str | None, measure: str) -> None:
    """Mean (standard deviation) over seeds, and the share that was really kept."""
    found: dict[tuple[str, str, str], dict[float, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    with (out / CURVES).open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["corpus"] == corpus and fitted_for in (None, row["fitted_for"]) and row[measure]:
                key = row["method"], row["fitted_for"], row["way"]
                found[key][float(row["rate"])].append((float(row[measure]), float(row["selected"])))
    rates = sorted({rate for points in found.values() for rate in points})
    rows = []
    for key, points in found.items():
        cells = [
            f"{spread([a for a, _ in points[rate]])} at {100 * statistics.mean(b for _, b in points[rate]):.1f} %"
            if points[rate] else "-"
            for rate in rates
        ]
        rows.append([*key, *cells])
    click.echo(table(("method", "fitted for", "way", *(f"{rate:g}" for rate in rates)), rows))


if __name__ == "__main__":
    main()
