"""Time of a fit to a stated quality on the planted corpus, over the bare networks' time for as many steps.

    python benchmarks/time_to_f1.py [--device cuda] [--json time.json] [flags of the fit]

The quality: on the development texts, precision .90 of the words kept and .75 of the opinion words found, by the
guide's modes. It is looked at after every epoch, and counts at the target rate. That look is not timed, everything else
is: the steps, the scores on development texts by which the best epoch is chosen, the checkpoints. The floor are steps
of the bare networks of `benchmarks/step.py` on the same batches, two after every tenth step of ours. With one thread on
a CPU it is processor time.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from rich.console import Console
from step import Sizes, bare_action
from timing import machine, settle, write

from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data.options import DataOptions
from pyro_rationale.fitted import pick_device
from pyro_rationale.options import options_from
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.history import EpochRecord, StepRecord
from pyro_rationale.training.prepare import prepare_run
from pyro_rationale.training.run import TrainingRun

PRECISION, OPINION = 0.90, 0.75


class Reached(Exception):
    """The fit is good enough."""


@torch.no_grad()
def quality(fit: TrainingRun) -> tuple[float, float]:
    """Precision of the kept words against gold, and the share of opinion words kept, on the development texts."""
    fit.fitted.eval()
    kept = right = found = opinions = 0.0
    for batch in fit.dev.ordered(256):
        here = batch.to(fit.fitted.device)
        assert here.gold is not None
        assert here.opinion is not None
        z = fit.fitted.guide.posterior(here).mode
        kept += float(z.sum())
        right += float((z * here.gold).sum())
        found += float((z * here.opinion).sum())
        opinions += float(here.opinion.sum())
    return right / max(kept, 1.0), found / max(opinions, 1.0)


@dataclass
class Stopwatch(Callback):
    """Counts the fit's own time, and stops it when it is good enough."""

    fit: TrainingRun
    clock: Any
    bare: Any
    started: float = 0.0
    aside: float = 0.0
    floor: list[float] = field(default_factory=list)
    lines: list[dict[str, float]] = field(default_factory=list)

    def spent(self) -> float:
        """Seconds of the fit so far."""
        return float(self.clock()) - self.started - self.aside

    def on_step_end(self, run: TrainingRun, record: StepRecord) -> None:
        """Every tenth step the floor has its turn."""
        if self.fit.trainer.step % 10:
            return
        device = self.fit.fitted.device
        settle(device)
        before = self.clock()
        self.bare(2)
        settle(device)
        taken = self.clock() - before
        self.floor.append(taken / 2)
        self.aside += taken

    def on_epoch_end(self, run: TrainingRun, record: EpochRecord) -> None:
        """Look at the quality."""
        seconds = self.spent()
        before = self.clock()
        precision, opinion = quality(self.fit)
        self.aside += self.clock() - before
        steps = self.fit.trainer.step
        floor = steps * median(self.floor)
        line = {"epoch": record.epoch, "step": steps, "seconds": seconds, "floor": floor, "ratio": seconds / floor}
        self.lines.append(line | {"precision": precision, "opinion": opinion, "kept": record.dev_rate})
        click.echo("  ".join(f"{name} {value:.4g}" for name, value in self.lines[-1].items()))
        arrived = self.fit.trainer.control.schedule.finished(steps)
        if arrived and precision >= PRECISION and opinion >= OPINION:
            raise Reached


@click.command()
@options_from(DataOptions, ModelOptions, TrainOptions)
@click.option("--json", "out", type=click.Path(path_type=Path), help="write the figures here, too")
def main(data: DataOptions, model: ModelOptions, train: TrainOptions, out: Path | None) -> None:
    """Fit until the quality is reached; print the epochs and the time."""
    config = Config(data, model, train)
    device = pick_device(config.train.device)
    torch.set_num_threads(config.train.threads or 1)
    torch.set_flush_denormal(True)
    one = device.type == "cpu" and config.train.threads == 1
    with tempfile.TemporaryDirectory() as folder:
        fit = prepare_run(config, Path(folder) / "run")
        batches = [batch for batch, _ in zip(fit.trainer.batches, range(8), strict=False)]
        words = max(batch.tokens.shape[1] for batch in batches)
        sizes = Sizes(config.train.batch_size, words, config.model.hidden, len(fit.fitted.vocabulary), 0.13, device)
        watch = Stopwatch(fit, time.process_time if one else time.perf_counter, bare_action(sizes, batches, "float32"))
        watch.started = watch.clock()
        reached = True
        try:
            fit.callbacks = [*fit.callbacks, watch]
            fit.run()
            reached = False
        except Reached:
            pass
    last = watch.lines[-1]
    facts: dict[str, Any] = {"benchmark": "time_to_f1", **machine(device), "seed": config.seed, "guide": config.guide}
    write(out, {**facts, "reached": reached, "rows": watch.lines})
    said = "reached" if reached else "NOT reached"
    Console().print(
        f"precision {PRECISION} and opinion recall {OPINION} {said} after {last['step']:.0f} steps and "
        f"{last['seconds']:.1f} s: {last['ratio']:.2f} x the bare networks' {last['floor']:.1f} s"
    )


if __name__ == "__main__":
    main()
