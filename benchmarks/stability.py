"""Fit the same model with many seeds and tabulate what comes out: does it collapse, how much does it vary?

    python benchmarks/stability.py --seeds 10 [--jobs 2] [--out runs/stability] -- --guide chain

Everything after `--` goes to `python -m pyro_rationale.fit`. A run that is there already is read, not fitted again.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

COLUMNS = ("mse", "accuracy", "selected", "span", "empty", "precision", "recall", "f1", "opinion_recall", "elbo")


def fit(seed: int, out: Path, flags: tuple[str, ...]) -> dict[str, Any]:
    """One fit in a process of its own; its metrics."""
    folder = out / f"seed-{seed}"
    if not (folder / "metrics.json").exists():
        again = ["--resume"] if (folder / "config.json").exists() else []
        command = [sys.executable, "-m", "pyro_rationale.fit", "--quiet", "--seed", str(seed), "--out", str(folder)]
        done = subprocess.run([*command, *again, *flags], capture_output=True, text=True, check=False)
        if done.returncode:
            raise click.ClickException(f"seed {seed}: {done.stderr.strip()}")
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def table(results: list[dict[str, Any]], title: str) -> Table:
    """A row per seed, then mean, standard deviation and worst and best value."""
    columns = [name for name in COLUMNS if results[0]["test"].get(name) is not None]
    shown = Table(title=title)
    for name in ("seed", *columns, "recoveries", "seconds"):
        shown.add_column(name, justify="right")
    rows = [[r["test"][name] for name in columns] + [r["recoveries"], r["seconds"]] for r in results]
    for result, row in zip(results, rows, strict=True):
        shown.add_row(str(result["seed"]), *(f"{value:.4g}" for value in row))
    shown.add_section()
    summaries: dict[str, Callable[[Sequence[float]], float]] = {
        "mean": statistics.mean,
        "sd": statistics.stdev,
        "lowest": min,
        "highest": max,
    }
    for name, summary in summaries.items():
        if name == "sd" and len(rows) < 2:
            continue
        shown.add_row(name, *(f"{summary(column):.4g}" for column in zip(*rows, strict=True)))
    return shown


@click.command()
@click.option("--seeds", default=10, show_default=True, help="seeds 0 ... N-1")
@click.option("--jobs", default=1, show_default=True, help="fits at a time")
@click.option("--out", default="runs/stability", show_default=True, type=click.Path(path_type=Path))
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def main(seeds: int, jobs: int, out: Path, flags: tuple[str, ...]) -> None:
    """Fit with each seed; FLAGS are those of pyro_rationale.fit."""
    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(lambda seed: fit(seed, out, flags), range(seeds)))
    Console(width=140).print(table(results, " ".join(("pyro_rationale.fit", *flags))))


if __name__ == "__main__":
    main()
