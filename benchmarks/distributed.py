"""Documents per second of several processes over those of one, on the same batches, measured in turn.

    python benchmarks/distributed.py [--json distributed.json]         # two processes, one thread each
    python benchmarks/distributed.py --device cuda --devices 8 --batch 2048

Each round has a step by the first process alone, on the whole batch, while the others wait asleep, and then a step by
all of them, each on its share; both are the trainer's own steps, with clip, optimiser, control and record. Guides are
untrained and keep the share `--rate`; learning rates are 1e-9, so that it stays. "by CPU time" is the same ratio of the
first process's own work: what it would be, but for waiting, if nothing else ran on the machine. "adding" is what
adding up gradients and figures takes by itself.
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from rich.table import Table
from step import Sizes, make_batches, make_trainer, size_options
from timing import machine, ratios, take_turns, write

from pyro_rationale.cli.common import run_command
from pyro_rationale.data.batch import Batch
from pyro_rationale.fitted import pick_device
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.training.distributed import Group
from pyro_rationale.training.launch import check_devices, launch, process_group
from pyro_rationale.training.launch_options import LaunchOptions, in_process_group
from pyro_rationale.training.trainer import Trainer

KINDS = (("relaxed", "relaxed", 1), ("chain", "muprop", 4))
BAR = 1.6  # of two processes on two cores, at one thread each


def part(batch: Batch, share: slice) -> Batch:
    """A process's documents of a batch."""
    return Batch(*(None if value is None else value[share].contiguous() for value in vars(batch).values()))  # type: ignore[arg-type]


def measure(sizes: Sizes, kind: tuple[str, str, int], rounds: int, group: Group) -> dict[str, Any]:
    """A row of the table; every process makes one, the first one's counts."""
    whole = make_batches(sizes)
    shares = [part(batch, group.share) for batch in whole]
    one, several = make_trainer(sizes, *kind), make_trainer(sizes, *kind)
    several.group = group
    parameters = list(several.named.values())
    work: dict[str, list[float]] = defaultdict(list)

    def run(name: str, trainer: Trainer, batches: list[Batch]) -> None:
        start = time.process_time()
        for _ in trainer.steps(batches):
            pass
        work[name].append(time.process_time() - start)

    def alone(chunk: int) -> None:
        if group.main:
            run("one", one, whole[:chunk])
        group.broadcast(lambda: None)

    def together(chunk: int) -> None:
        run("several", several, shares[:chunk])
        group.broadcast(lambda: None)

    def adding(chunk: int) -> None:
        for _ in range(chunk):
            group.all_reduce(parameters, [], 1, torch.zeros(5, device=sizes.device))

    chunk = 4 if sizes.device.type == "cuda" else 1
    actions = {"one": alone, "several": together, "adding": adding}
    seconds = take_turns(actions, rounds, sizes.device, chunk=chunk, warmup=1)
    found = ratios(seconds["one"], seconds["several"])
    speeds = {f"per second, {name}": round(sizes.batch / median(seconds[name]), 1) for name in ("one", "several")}
    milliseconds = round(1e3 * median(seconds["adding"]), 2)
    found["by CPU time"] = round(median(work["one"][1:]) / median(work["several"][1:]), 3) if group.main else 0.0
    del found["ms"]
    return {"step": ", ".join(kind[:2]), "batch": sizes.batch, **speeds, **found, "adding, ms": milliseconds}


def show(rows: list[dict[str, Any]], title: str, judged: bool) -> Table:
    """For people."""
    table = Table(title=title)
    figures = ("ratio", "lowest", "highest", "by CPU time", "adding, ms")
    for column in ("guide, estimator", "batch", "texts/s", "all", *figures, ""):
        table.add_column(column, justify="left" if column.startswith("guide") else "right")
    for row in rows:
        verdict = "" if not judged else "met" if row["ratio"] >= BAR else "missed"
        speeds = (f"{row[name]:,.0f}" for name in ("per second, one", "per second, several"))
        table.add_row(row["step"], str(row["batch"]), *speeds, *(f"{row[name]:.2f}" for name in figures), verdict)
    return table


@click.command()
@click.option("--device", default="cpu", show_default=True)
@click.option("--devices", default=2, show_default=True, help="processes")
@click.option("--rounds", default=4, show_default=True, help="that count")
@click.option("--batch", "batches", multiple=True, default=(64, 256), show_default=True, help="documents, all together")
@size_options
@click.option("--json", "out", type=click.Path(path_type=Path), help="write the figures here, too")
def main(
    device: str,
    devices: int,
    rounds: int,
    batches: tuple[int, ...],
    words: int,
    hidden: int,
    vocabulary: int,
    rate: float,
    out: Path | None,
) -> int:
    """Print the table."""
    if not in_process_group():
        options = LaunchOptions(devices=devices)
        check_devices(options, device, min(batches))
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        return launch(options, sys.argv)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with process_group(device) as group:
        place = group.device(pick_device(device))
        sizes = Sizes(0, words, hidden, vocabulary, rate, place)
        rows = [measure(replace(sizes, batch=n), kind, rounds, group) for n in batches for kind in KINDS]
        if group.main:
            facts = {"benchmark": "distributed", **machine(place), "cores": os.cpu_count(), "processes": group.size}
            write(out, {**facts, "words": words, "hidden": hidden, "rate": rate, "rows": rows})
            title = f"{group.size} processes over one ({facts['device']}, {words} words, hidden {hidden})"
            Terminal().print(show(rows, title, place.type == "cpu" and group.size == 2))
    return 0


if __name__ == "__main__":
    run_command(main)
