"""Time and memory for very many documents on many GPUs, from figures that `step.py` and `data.py` measured.

    python benchmarks/projection.py --step step.json --data data.json

Measured: the milliseconds of a step on one GPU; the speed at which one process cuts batches out of Arrow files; memory
and disk per document; how fast a core cuts texts into words. Computed: everything else. An epoch takes

    documents / (GPUs x batch) x (step x words / measured words + exchange),

where the exchange of gradients is a ring's, 2 (n - 1) / n x bytes / bandwidth + latency, and nothing of it is hidden
behind the step. Bandwidth and latency are assumptions; so is that all GPUs are alike and that disks keep up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from timing import write


@dataclass(frozen=True)
class Plan:
    """Size of the job, and speed of the links.

    Attributes:
        documents: in the corpus.
        words: of a document.
        parameters: whose gradients are exchanged, 4 bytes each.
        bandwidth: bytes per second into and out of each GPU.
        latency: seconds of an exchange.
    """

    documents: float
    words: float
    parameters: float
    bandwidth: float
    latency: float

    def exchange(self, gpus: int) -> float:
        """Seconds that the gradients of a step are under way."""
        return 0.0 if gpus == 1 else 2 * (gpus - 1) / gpus * 4 * self.parameters / self.bandwidth + self.latency


def epochs(plan: Plan, step: dict[str, Any], gpus: list[int]) -> list[dict[str, Any]]:
    """Rows of the measured steps: documents per second on one GPU, and an epoch's hours on several."""
    rows = []
    for row in step["rows"]:
        if row["step"] == "floor":
            continue  # no way to train
        seconds = row["ms"] / 1e3 * plan.words / step["words"]
        hours = {n: plan.documents / (n * row["batch"]) * (seconds + plan.exchange(n)) / 3600 for n in gpus}
        speed = row["batch"] / seconds
        share = {n: seconds / (seconds + plan.exchange(n)) for n in gpus}
        rows.append({"step": row["step"], "batch": row["batch"], "documents_per_second": speed, "hours": hours,
                     "computing": share})  # fmt: skip
    return rows


def corpus(plan: Plan, data: dict[str, Any]) -> dict[str, float]:
    """Rows of the corpus: core-hours to prepare, disk, memory of each process, batches of one process."""
    ways = {row["way"]: row for row in data["rows"]}
    made, opened = ways["Arrow, made"], ways["Arrow, opened"]
    millions = plan.documents / 1e6
    return {
        "core_hours": plan.documents / made["documents_per_second"]["read"] / 3600,
        "disk_gigabytes": opened["disk_megabytes_per_million"] * millions / 1e3,
        "memory_gigabytes": opened["megabytes_per_million"] * millions / 1e3,
        "in_memory_gigabytes": ways["in memory"]["megabytes_per_million"] * millions / 1e3,
        "fed_per_second": opened["documents_per_second"]["batches"],
    }


@click.command()
@click.option("--step", "step_file", type=click.Path(exists=True, path_type=Path), required=True, help="of step.py")
@click.option("--data", "data_file", type=click.Path(exists=True, path_type=Path), required=True, help="of data.py")
@click.option("--documents", default=100e6, show_default=True)
@click.option("--words", default=150.0, show_default=True, help="of each")
@click.option("--gpus", multiple=True, type=int, default=(8, 64), show_default=True)
@click.option("--parameters", default=2.2e6, show_default=True, help="exchanged in a step")
@click.option("--bandwidth", default=25.0, show_default=True, help="between GPUs, GB/s; assumed")
@click.option("--latency", default=1e-4, show_default=True, help="of an exchange, seconds; assumed")
@click.option("--only", multiple=True, help="guides or estimators to show; may be repeated  [default: all]")
@click.option("--json", "out", type=click.Path(path_type=Path), help="write the figures here, too")
def main(
    step_file: Path,
    data_file: Path,
    documents: float,
    words: float,
    gpus: tuple[int, ...],
    parameters: float,
    bandwidth: float,
    latency: float,
    only: tuple[str, ...],
    out: Path | None,
) -> None:
    """Print the tables."""
    step, data = (json.loads(path.read_text(encoding="utf-8")) for path in (step_file, data_file))
    plan = Plan(documents, words, parameters, bandwidth * 1e9, latency)
    rows = [row for row in epochs(plan, step, list(gpus)) if not only or set(only) & set(row["step"].split(", "))]
    needs = corpus(plan, data)
    write(out, {"benchmark": "projection", "step": step["device"], "data": data["device"], "epochs": rows, **needs})
    show(plan, step, rows, needs)


def show(plan: Plan, step: dict[str, Any], rows: list[dict[str, Any]], needs: dict[str, float]) -> None:
    """For people."""
    title = f"{plan.documents:,.0f} documents of {plan.words:g} words, hidden {step['hidden']}, {step['device']} each"
    table = Table(title=title)
    counts = list(rows[0]["hours"]) if rows else []
    for column in ("guide, estimator, samples", "batch a GPU", "documents a second, 1 GPU"):
        table.add_column(column, justify="left" if column.startswith("guide") else "right")
    for n in counts:
        table.add_column(f"hours an epoch, {n} GPUs", justify="right")
        table.add_column("computing", justify="right")
    table.add_column("cores a GPU for batches", justify="right")
    for row in rows:
        cells = [f"{row['hours'][n]:.2f}\n{100 * row['computing'][n]:.0f} %" for n in counts]
        cores = row["documents_per_second"] / needs["fed_per_second"]
        spread = [part for cell in cells for part in cell.split("\n")]
        table.add_row(row["step"], str(row["batch"]), f"{row['documents_per_second']:,.0f}", *spread, f"{cores:.2f}")
    console = Console()
    console.print(table)
    console.print(
        f"preparing: {needs['core_hours']:,.0f} core-hours; on disk {needs['disk_gigabytes']:,.0f} GB; memory of each "
        f"process {needs['memory_gigabytes']:,.1f} GB (of lists in memory: {needs['in_memory_gigabytes']:,.0f} GB)",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
