"""Time of a training step, as a ratio to the bare networks on the same batches, measured in the same run.

    python benchmarks/step_time.py [--steps 30] [--rate 0.13] [--threads 1]

The floor is what nobody can avoid: BiLSTM and encoder, forward and backward, on the whole texts, with no Pyro, no mask
and no penalty. A step reads compacted texts, so its K encoder passes are cheap. Steps of all kinds take turns, batch by
batch, so that a machine whose speed drifts drifts for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from pyro_rationale.build import build_guide, build_model, build_objective, target_summary
from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data import load_corpus
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.models import RationaleModel
from pyro_rationale.training import full_text_loss, local_parameters

KINDS = (
    ("relaxed", "relaxed"),
    ("relaxed", "straight-through"),
    ("independent", "rloo"),
    ("independent", "disarm"),
    ("independent", "nvil"),
    ("independent", "muprop"),
    ("independent", "tracegraph"),
    ("chain", "rloo"),
    ("chain", "muprop"),
    ("chain", "straight-through"),
    ("chain", "tracegraph"),
    ("recurrent", "rloo"),
    ("recurrent", "muprop"),
)


def timed(action: Callable[[], object]) -> float:
    """Seconds that `action` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def bare_step(model: RationaleModel, generator: torch.nn.Module, batch: Batch) -> None:
    """Both networks on whole texts, forward and backward."""
    features: Tensor = generator(batch.tokens, batch.lengths)
    (full_text_loss(model, batch) + features.square().mean()).backward()


@click.command()
@click.option("--steps", default=30, show_default=True, help="counted steps of each kind, after three that are not")
@click.option("--rate", default=0.13, show_default=True, help="share of words that the untrained guides keep")
@click.option("--threads", default=1, show_default=True)
def main(steps: int, rate: float, threads: int) -> None:
    """Print the table."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    data = DataOptions(documents=1000)
    corpus = load_corpus(data)
    vocabulary = Vocabulary.build(corpus.train)
    batches = list(BucketedBatches(corpus.train, vocabulary, corpus.spec, 64).epoch(0))
    centre, spread = target_summary(corpus.train, corpus.spec)
    actions: dict[str, Callable[[Batch], None]] = {}
    for name, estimator in KINDS:
        options = replace(TrainOptions(), estimator=estimator)
        config = Config(data, replace(ModelOptions(), guide=name), options)
        model = build_model(config, corpus.spec, len(vocabulary), None, centre, spread)
        guide = build_guide(config, len(vocabulary), None, 0.5)
        guide.start_rate(rate)
        objective = build_objective(config)

        def step(batch: Batch, parts: Any = (objective, model, guide)) -> None:
            with local_parameters():
                parts[0].estimate(*parts[1:], batch).surrogate.backward()

        actions[f"{name}, {estimator}, K = {config.samples}"] = step
        actions.setdefault(
            "floor", lambda batch, model=model, body=guide.generator: bare_step(model, body, batch)  # type: ignore[misc]
        )
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(steps + 3):
        batch = batches[number % len(batches)]
        for name, action in actions.items():
            taken = timed(lambda action=action, batch=batch: action(batch))  # type: ignore[misc]
            if number >= 3:
                seconds[name].append(taken)
    table = Table(title=f"time of a step over the floor ({steps} steps, {threads} thread(s), {rate:.0%} of words kept)")
    for column in ("guide, estimator", "median", "lowest", "highest"):
        table.add_column(column, justify="left" if column.startswith("guide") else "right")
    for name, values in seconds.items():
        ratios = [value / floor for value, floor in zip(values, seconds["floor"], strict=True)]
        table.add_row(name, *(f"{f(ratios):.2f}" for f in (median, min, max)))
    Console().print(table)


if __name__ == "__main__":
    main()
