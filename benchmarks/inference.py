"""How fast `explain` is: texts per second in bulk, against the bare networks, and how long it takes to start.

    python benchmarks/inference.py                                     # fits a small run first
    python benchmarks/inference.py --run runs/chain --json inference.json
    python benchmarks/inference.py --quick --device cuda

The floor is what nobody can avoid: the generator on the whole texts and the encoder on the likeliest rationale, each
once, on sorted batches, nothing else. `read` is everything in Python: encoding, 100 draws for intervals and
alternatives, their predictions. `explain --json` is the command, from a file of texts to lines of JSON, less its time
for one text; that is the start-up, beside which stands what importing torch alone takes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click
import torch
from rich.console import Console
from rich.table import Table
from timing import machine, settle, write

from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.corpora.synthetic import make_reviews
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.document import make_document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.decoding import evaluating
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.prediction.predictor import Prediction, predict
from pyro_rationale.training.fit import fit_run


class Seconds(NamedTuple):
    """By the clock, and of all processors: on a machine that others use, only the latter says much."""

    clock: float
    processor: float


BATCH = 64
STARTS = "start-up: explain of one text", "import torch"
BAR_TEXTS, BAR_START = 1000.0, 4.0  # texts of 150 words per second on 2 cores; seconds


def make_texts(count: int, words: int) -> list[Document]:
    """Planted reviews, put together and cut to so many words, unlike those that runs are fitted on."""
    options = DataOptions(split_seed=1)
    reviews = make_reviews(options, "inference", range(count * (1 + words // 60)), ("appearance",))
    made = []
    for number in range(count):
        text = " ".join(next(reviews).text for _ in range(1 + words // 60))
        end = make_document("", text, (), words).offsets[-1][1]
        made.append(make_document(f"text {number}", text[:end], (), words))
    return made


def bare(fitted: FittedModel, documents: Sequence[Document]) -> None:
    """Both networks once on every text."""
    with evaluating(fitted), torch.inference_mode():
        for batch in BucketedBatches(documents, fitted.vocabulary, fitted.spec, BATCH).ordered(BATCH):
            here = batch.to(fitted.device)
            fitted.model.encoder(here.tokens, fitted.guide.posterior(here).mode, here.lengths)


def command(*words: object) -> Seconds:
    """Time of a command in a Python of its own."""
    start, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Seconds(time.perf_counter() - start, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)


def timed(action: Callable[[], object], rounds: int, device: torch.device) -> Seconds:
    """Time of an action in this process, after a warm-up."""
    found = []
    for _ in range(rounds + (rounds > 1)):
        settle(device)
        start, used = time.perf_counter(), time.process_time()
        action()
        settle(device)
        found.append(Seconds(time.perf_counter() - start, time.process_time() - used))
    return middle(found[-rounds:])


def middle(found: Sequence[Seconds]) -> Seconds:
    """Medians."""
    return Seconds(*(median(part) for part in zip(*found, strict=True)))


def small_run(folder: Path, steps: int, device: str, threads: int) -> None:
    """A run of the default networks."""
    data = DataOptions(documents=min(10000, 64 * max(steps, 2)))
    train = TrainOptions(steps=max(steps, 1), anneal=steps // 2, device=device, threads=threads)
    fitted = fit_run(Config(data, ModelOptions(), train), folder).fitted
    if not steps:
        fitted.guide.start_rate(fitted.config.model.rate)
        fitted.save(folder)


@click.command()
@click.option("--run", "folder", type=click.Path(path_type=Path), help="a fitted run  [default: a small one is fitted]")
@click.option("--fit-steps", default=600, show_default=True, help="of the small run; 0 leaves it undecided")
@click.option("--texts", "count", default=4000, show_default=True)
@click.option("--words", default=150, show_default=True, help="of each text")
@click.option("--rounds", default=3, show_default=True, help="that count; the median is shown")
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", default=1, show_default=True, help="of the networks here; explain has its own")
@click.option("--quick", is_flag=True, help="few texts, a hardly fitted run: does it work?")
@click.option("--json", "out", type=click.Path(path_type=Path), help="write the figures here, too")
def main(
    folder: Path | None,
    fit_steps: int,
    count: int,
    words: int,
    rounds: int,
    device: str,
    threads: int,
    quick: bool,
    out: Path | None,
) -> None:
    """Print the table."""
    if quick:
        count, rounds, fit_steps = min(count, 128), 1, 0
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    with TemporaryDirectory() as temporary:
        if folder is None:
            folder = Path(temporary) / "run"
            small_run(folder, fit_steps, device, threads)
        documents = make_texts(count, words)
        file = Path(temporary) / "texts.txt"
        file.write_text("".join(f"{document.text}\n" for document in documents), encoding="utf-8")
        one = Path(temporary) / "one.txt"
        one.write_text(documents[0].text + "\n", encoding="utf-8")
        fitted = FittedModel.load(folder, device)
        found = {**machine(fitted.device), **measure(fitted, documents, rounds)}
        explain: list[object] = ["-m", "pyro_rationale.explain", "--run", folder, "--json", "--device", device]
        words_of: dict[str, list[object]] = {"bulk": [*explain, "--file", file]}
        words_of |= {STARTS[0]: [*explain, "--file", one], STARTS[1]: ["-c", "import torch"]}
        turns = [{name: command(*arguments) for name, arguments in words_of.items()} for _ in range(rounds)]
    taken = {name: middle([turn[name] for turn in turns]) for name in words_of}
    bulk = Seconds(*(a - b for a, b in zip(taken["bulk"], taken[STARTS[0]], strict=True)))
    found["rows"].append(row("explain --json, less its start-up", count, bulk, found["rows"][0]))
    starts = {name: [round(value, 2) for value in taken[name]] for name in STARTS}
    facts = {"benchmark": "inference", "texts": count, "words": words, **found, "seconds": starts}
    write(out, facts)
    show(facts)


def measure(fitted: FittedModel, documents: Sequence[Document], rounds: int) -> dict[str, Any]:
    """Rows of what goes on in one process, and how decided the guide is."""
    readings: list[Prediction] = []

    def all_of_it() -> None:
        readings[:] = predict(fitted, documents, PredictOptions(), BATCH)

    def shown_alone() -> None:
        list(predict(fitted, documents, PredictOptions(samples=1, alternatives=0), BATCH))

    actions: dict[str, Callable[[], object]] = {
        "floor: bare networks, once": lambda: bare(fitted, documents),
        "read, 1 draw": shown_alone,
        "read, 100 draws": all_of_it,
    }
    rows: list[dict[str, Any]] = []
    for name, action in actions.items():
        rows.append(row(name, len(documents), timed(action, rounds, fitted.device), rows[0] if rows else None))
    kept = [sum(reading.kept) / max(1, len(reading.kept)) for reading in readings]
    open_words = [p for reading in readings for p in reading.inclusion if 0.01 < p < 0.99]
    total = sum(len(reading.inclusion) for reading in readings)
    return {
        "guide": fitted.config.guide,
        "hidden": fitted.config.model.hidden,
        "kept": round(sum(kept) / len(kept), 3),
        "undecided": round(len(open_words) / total, 3),
        "rows": rows,
    }


def row(name: str, count: int, seconds: Seconds, floor: dict[str, Any] | None) -> dict[str, Any]:
    """Texts per second, milliseconds a text by the clock and of the processor, and these over the floor's."""
    ms, cpu = (round(1e3 * value / count, 3) for value in seconds)
    over = floor or {"ms": ms, "cpu_ms": cpu}
    return {
        "what": name,
        "texts_per_second": round(count / seconds.clock, 1),
        "ms": ms,
        "ratio": round(ms / over["ms"], 2),
        "cpu_ms": cpu,
        "cpu_ratio": round(cpu / over["cpu_ms"], 2),
    }


def show(facts: dict[str, Any]) -> None:
    """For people."""
    title = (
        f"{facts['texts']:,} texts of {facts['words']} words, {facts['device']}, {facts['threads']} thread(s), guide "
        f"{facts['guide']}, hidden {facts['hidden']}: {100 * facts['kept']:.1f} % kept, "
        f"{100 * facts['undecided']:.1f} % undecided"
    )
    table = Table(title=title)
    for column in ("what", "texts a second", "ms a text", "over the floor", "CPU ms a text", "over the floor"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for each in facts["rows"]:
        figures = (f"{each['ms']:.3f}", f"{each['ratio']:.2f}", f"{each['cpu_ms']:.3f}", f"{each['cpu_ratio']:.2f}")
        table.add_row(each["what"], f"{each['texts_per_second']:,.0f}", *figures)
    console = Console()
    console.print(table)
    for name, (clock, cpu) in facts["seconds"].items():
        console.print(f"{name}: {clock:.2f} s by the clock, {cpu:.2f} s of the processor")
    console.print(f"bars: {BAR_TEXTS:,.0f} texts a second on 2 cores, start-up under {BAR_START:g} s")


if __name__ == "__main__":
    main()
