"""How time and memory grow: with the words of a text, with the documents of a batch, with K, and with the corpus.

    python benchmarks/scaling.py                                       # the fitted exponents
    python benchmarks/scaling.py --guide chain --json scaling.json
    python benchmarks/scaling.py --quick --device cuda

Each row is a straight line through logarithms: an exponent of 1 says that twice as much takes twice as long. Training
steps of all sizes take turns. Corpora are read, counted and cut into batches in a process of their own each, whose peak
memory is that of the whole process less that of one that reads ten documents.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table
from step import Sizes, actions_of, make_batches
from timing import machine, peak_memory, take_turns, write

from pyro_rationale.data import BucketedBatches, DataOptions, Vocabulary, load_corpus
from pyro_rationale.fitted import pick_device
from pyro_rationale.guides import GUIDES
from pyro_rationale.inference.estimators import ESTIMATORS

BAR = 1.1  # the largest exponent
BASE = {"words": 150, "batch": 64, "samples": 4}
STEPS = {"words": (50, 100, 200, 400), "batch": (16, 32, 64, 128), "samples": (2, 4, 8, 16)}
CORPORA = (1000, 4000, 16000)


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The slope of log values against log sizes, by least squares."""
    x, y = [math.log(size) for size in sizes], [math.log(max(value, 1e-12)) for value in values]
    mean = sum(x) / len(x)
    return sum((a - mean) * b for a, b in zip(x, y, strict=True)) / sum((a - mean) ** 2 for a in x)


def steps(
    what: str, values: Sequence[int], guide: str, hidden: int, device: torch.device, rounds: int
) -> dict[str, Any]:
    """Time, and on a GPU peak memory, of a training step at several sizes of one thing."""
    actions, peaks = {}, []
    estimator = GUIDES[guide].default_estimator
    if what == "samples" and ESTIMATORS[estimator].default_samples == 1:
        estimator = "straight-through"
    for value in values:
        size = BASE | {what: value}
        sizes = Sizes(size["batch"], size["words"], hidden, 5000, 0.15, device)
        samples = 1 if ESTIMATORS[estimator].default_samples == 1 else size["samples"]
        [(_, action)] = actions_of(sizes, make_batches(sizes), [(guide, estimator, samples)])
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            action(1)
            peaks.append(torch.cuda.max_memory_allocated(device) / 2**20)
        actions[str(value)] = action
    seconds = [median(taken) for taken in take_turns(actions, rounds, device).values()]
    return line(f"step: {what} ({guide}, {estimator})", values, seconds, peaks)


def line(what: str, sizes: Sequence[int], seconds: Sequence[float], peaks: Sequence[float]) -> dict[str, Any]:
    """A row."""
    found: dict[str, Any] = {"what": what, "sizes": list(sizes), "ms": [round(1e3 * value, 2) for value in seconds]}
    found["exponent"] = round(exponent(sizes, seconds), 3)
    if peaks:
        found |= {"megabytes": [round(peak, 1) for peak in peaks], "memory": round(exponent(sizes, peaks), 3)}
    return found


def corpora(documents: Sequence[int]) -> dict[str, Any]:
    """Time and memory of reading planted reviews and making an epoch's batches of them."""
    seconds, peaks = [], []
    empty = apart(10)["megabytes"]
    for count in documents:
        found = apart(count)
        seconds.append(found["seconds"])
        peaks.append(found["megabytes"] - empty)
    return line("corpus in memory: documents", documents, seconds, peaks)


def apart(count: int) -> dict[str, float]:
    """`read_corpus` in a fresh process."""
    words = [sys.executable, __file__, "--corpus", str(count)]
    found: dict[str, float] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return found


def read_corpus(count: int) -> dict[str, float]:
    """Seconds of processor time, and the process's peak memory."""
    start = time.process_time()
    corpus = load_corpus(replace(DataOptions(), documents=count))
    vocabulary = Vocabulary.build(corpus.train)
    for _ in BucketedBatches(corpus.train, vocabulary, corpus.spec, 64):
        pass
    return {"seconds": time.process_time() - start, "megabytes": peak_memory()}


@click.command()
@click.option("--guide", "guides", multiple=True, default=("relaxed", "chain"), show_default=True)
@click.option("--hidden", default=64, show_default=True)
@click.option("--rounds", default=5, show_default=True, help="that count; the median is taken")
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--quick", is_flag=True, help="two sizes of each: does it work?")
@click.option("--json", "out", type=click.Path(path_type=Path), help="write the figures here, too")
@click.option("--corpus", type=int, hidden=True)
def main(
    guides: tuple[str, ...],
    hidden: int,
    rounds: int,
    device: str,
    threads: int,
    quick: bool,
    out: Path | None,
    corpus: int | None,
) -> None:
    """Print the table."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    if corpus is not None:
        print(json.dumps(read_corpus(corpus)))
        return
    place = pick_device(device)
    rows = []
    for what, values in STEPS.items():
        for guide in guides:
            rows.append(steps(what, values[:2] if quick else values, guide, hidden, place, 1 if quick else rounds))
    rows.append(corpora((200, 400) if quick else CORPORA))
    facts = {"benchmark": "scaling", **machine(place), "hidden": hidden, "rows": rows}
    write(out, facts)
    show(facts)


def show(facts: dict[str, Any]) -> None:
    """For people."""
    table = Table(title=f"growth ({facts['device']}, {facts['threads']} thread(s), hidden {facts['hidden']})")
    for column in ("what grows", "sizes", "ms", "exponent", "MB", "exponent of memory"):
        table.add_column(column, justify="left" if column == "what grows" else "right")
    for row in facts["rows"]:
        peaks = [f"{peak:,.0f}" for peak in row.get("megabytes", ())]
        cells = [", ".join(map(str, row["sizes"])), ", ".join(f"{value:,.0f}" for value in row["ms"])]
        memory = f"{row['memory']:.2f}" if peaks else ""
        table.add_row(row["what"], *cells, f"{row['exponent']:.2f}", ", ".join(peaks), memory)
    console = Console()
    console.print(table)
    worst = max(row["exponent"] for row in facts["rows"])
    console.print(f"largest exponent of time {worst:.2f}; bar {BAR}: {'met' if worst <= BAR else 'missed'}")


if __name__ == "__main__":
    main()
