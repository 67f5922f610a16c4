"""Reading and batching: documents per second and memory per million documents, in memory and from Arrow files.

    python benchmarks/data.py                                          # 20,000 planted reviews
    python benchmarks/data.py --documents 100000 --json data.json

Each way runs in processes of its own: one that makes or opens the corpus, counts its words and goes through an epoch,
and one that does the same with a tenth of the documents. The difference of their peak memories is what documents cost;
of a file, pages that are mapped for a while count as well. Seconds are the processor's, of one process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import click
import torch
from rich.console import Console
from rich.table import Table
from timing import machine, peak_memory, write

from pyro_rationale.data import BucketedBatches, Corpus, DataOptions, Vocabulary
from pyro_rationale.data.corpora.synthetic import load_cached_synthetic, load_synthetic

T = TypeVar("T")
MEMORY, MADE, OPENED = "in memory", "Arrow, made", "Arrow, opened"
STAGES = ("read", "count", "prepare", "batches")


def watch(documents: int, cache: str | None) -> dict[str, float]:
    """Seconds of each stage, and peak memory."""
    found: dict[str, float] = {}

    def timed(stage: str, action: Callable[[], T]) -> T:
        start = time.process_time()
        result = action()
        found[stage] = time.process_time() - start
        return result

    load = load_synthetic if cache is None else load_cached_synthetic
    corpus: Corpus = timed("read", lambda: load(DataOptions(documents=documents, cache=cache)))
    vocabulary = timed("count", lambda: Vocabulary.build(corpus.train))
    batches = timed("prepare", lambda: BucketedBatches(corpus.train, vocabulary, corpus.spec, 64))
    real, padded = timed("batches", lambda: epoch(batches))
    every = len(corpus.train) + len(corpus.dev) + len(corpus.test)
    sizes = {"documents": every, "trained": documents, "words": real, "padding": 1 - real / padded}
    return {**found, **sizes, "megabytes": peak_memory()}


def epoch(batches: BucketedBatches) -> tuple[int, int]:
    """Words of an epoch, and places for words."""
    real = padded = 0
    for batch in batches:
        real += int(batch.lengths.sum())
        padded += batch.tokens.numel()
    return real, padded


def apart(documents: int, cache: str | None) -> dict[str, float]:
    """`watch` in a fresh process."""
    words = [sys.executable, __file__, "--watch", str(documents), *(["--cache", cache] if cache else [])]
    found: dict[str, float] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return found


def compare(documents: int) -> list[dict[str, Any]]:
    """A row for each way."""
    rows = []
    with TemporaryDirectory() as folder:
        for way in (MEMORY, MADE, OPENED):
            cache = None if way == MEMORY else folder
            few, many = apart(documents // 10, cache), apart(documents, cache)
            more = many["documents"] - few["documents"]
            row: dict[str, Any] = {"way": way, "documents": int(many["documents"])}
            row["documents_per_second"] = {
                stage: round(many["documents" if stage == "read" else "trained"] / max(many[stage], 1e-6))
                for stage in STAGES
            }
            row["words_per_second"] = round(many["words"] / many["batches"])
            row["megabytes"] = round(many["megabytes"], 1)
            row["megabytes_per_million"] = round(1e6 * (many["megabytes"] - few["megabytes"]) / more, 1)
            row["padding"] = round(many["padding"], 4)
            rows.append(row)
        size = sum(path.stat().st_size for path in Path(folder).glob("*.arrow"))
        every = many["documents"] + few["documents"]
        rows[-1]["disk_megabytes_per_million"] = round(size / every, 1)
    return rows


@click.command()
@click.option("--documents", default=20000, show_default=True, help="to train on; there are up to half as many more")
@click.option("--device", default="cpu", show_default=True, help="for the table's title: reading needs none")
@click.option("--threads", default=1, show_default=True)
@click.option("--quick", is_flag=True, help="few documents: does it work?")
@click.option("--json", "out", type=click.Path(path_type=Path), help="write the figures here, too")
@click.option("--watch", "watched", type=int, hidden=True)
@click.option("--cache", hidden=True)
def main(
    documents: int, device: str, threads: int, quick: bool, out: Path | None, watched: int | None, cache: str | None
) -> None:
    """Print the table."""
    torch.set_num_threads(threads)
    if watched is not None:
        print(json.dumps(watch(watched, cache)))
        return
    rows = compare(400 if quick else documents)
    facts = {"benchmark": "data", **machine(torch.device(device)), "rows": rows}
    write(out, facts)
    show(facts)


def show(facts: dict[str, Any]) -> None:
    """For people."""
    rows = facts["rows"]
    table = Table(title=f"planted reviews, documents a second and megabytes ({facts['device']}, one process)")
    for column in ("way", *STAGES, "words a second", "peak MB", "MB a million", "over memory"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for row in rows:
        speeds = [f"{value:,}" if value < 1e7 else "" for value in row["documents_per_second"].values()]
        each = row["megabytes_per_million"]
        ratio = f"{each / max(rows[0]['megabytes_per_million'], 1e-9):.3f}"
        cells = [*speeds, f"{row['words_per_second']:,}", f"{row['megabytes']:,.0f}", f"{each:,.0f}", ratio]
        table.add_row(row["way"], *cells)
    console = Console()
    console.print(table)
    padding, disk = rows[0]["padding"], rows[-1]["disk_megabytes_per_million"]
    console.print(f"padding in batches of 64: {100 * padding:.1f} %; on disk {disk:,.0f} MB a million documents")


if __name__ == "__main__":
    main()
