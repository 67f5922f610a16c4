"""What tied ratings cost each method: F1 on planted reviews less F1 on correlated ones, seed by seed.

    python benchmarks/correlation.py runs/benchmark/planted
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import click

from pyro_rationale.metrics import seeds_test
from pyro_rationale.storage import read_json

VIEWS = ("own", "matched")


def losses(cells: list[dict[str, Any]], view: str) -> dict[str, list[tuple[float, float]]]:
    """F1 without and with correlation, by method, for the seeds that have both."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    for cell in cells:
        if cell["rate"]["label"] == "1x" and view in cell["views"]:
            found.setdefault((cell["method"], cell["seed"]), {})[cell["corpus"]] = cell["views"][view]["f1"]
    pairs: dict[str, list[tuple[float, float]]] = {}
    for (method, _), f1 in found.items():
        if len(f1) == 2:
            pairs.setdefault(method, []).append((f1["planted"], f1["correlated"]))
    return pairs


@click.command(help=__doc__)
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--reference", default="chain", show_default=True, help="method that the others are tested against")
def main(out: Path, reference: str) -> None:
    """Print a table per view, as Markdown."""
    cells = read_json(out / "results.json")["cells"]
    for view in VIEWS:
        pairs = losses(cells, view)
        base = [a - b for a, b in pairs[reference]]
        click.echo(f"\n**F1 at the gold rate, {view} masks**\n")
        click.echo("| method | seeds | correlation 0 | correlation .8 | loss (sd) | p over seeds |")
        click.echo("|---|---:|---:|---:|---:|---:|")
        for method, rows in pairs.items():
            loss = [a - b for a, b in rows]
            before, after = (statistics.mean(row[i] for row in rows) for i in (0, 1))
            spread = f" ({statistics.stdev(loss):.3f})" if len(loss) > 1 else ""
            told = f"{statistics.mean(loss):.3f}{spread}"
            p = "-" if method == reference else f"{seeds_test(loss, base).p:.3f}"
            click.echo(f"| {method} | {len(rows)} | {before:.3f} | {after:.3f} | {told} | {p} |")


if __name__ == "__main__":
    main()
