"""The program of several processes in tests/system/test_distributed.py, and of one process for comparison.

    python tests/support/several.py FOLDER joint      # gradients, fits; rank by rank into FOLDER
    python tests/support/several.py FOLDER broken     # the second process finds a fault in its data

Masks are drawn with random numbers that belong to documents, not to places in a batch: then several processes draw
what one draws.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import click
import pytest
import torch
from torch import Tensor

from pyro_rationale.cli.common import run_command
from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.errors import DataError
from pyro_rationale.evaluation.results import finish_run
from pyro_rationale.inference.objectives.decomposition import Terms
from pyro_rationale.models import RationaleModel
from pyro_rationale.training import validation
from pyro_rationale.training.distributed import SINGLE_PROCESS, Group
from pyro_rationale.training.fit import fit_run
from pyro_rationale.training.history import EpochRecord
from pyro_rationale.training.launch import process_group
from pyro_rationale.training.prepare import prepare_run
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.trainer import Trainer
from tests.support.small_fit import Break, small

CASES: dict[str, dict[str, Any]] = {
    "relaxed": {"guide": "relaxed", "warmup": 1},
    "muprop": {"guide": "independent", "estimator": "muprop", "condition_on_target": True},
    "nvil": {"guide": "independent", "estimator": "nvil"},
    "tracegraph": {"guide": "independent", "estimator": "tracegraph"},
    "sum-and-sample": {"guide": "chain", "estimator": "sum-and-sample"},
    "ahead": {"guide": "chain", "estimator": "muprop"},
    "recurrent": {"guide": "recurrent", "estimator": "rloo"},
}
SIZES: dict[str, Any] = {"documents": 45, "batch_size": 15, "clip": 1e6, "patience": 9}  # shares of 8 and 7 documents
LONGEST = 64
_rand = torch.rand


class ByDocument:
    """In place of `torch.rand` during the steps of a trainer, and their evaluation."""

    def __init__(self) -> None:
        self.batch: Batch | None = None
        self.calls = 0

    def __call__(self, *size: Any, **options: Any) -> Tensor:
        if self.batch is None or self.batch.index is None:
            return _rand(*size, **options)
        shape = torch.Size(size if isinstance(size[0], int) else size[0])
        documents, words = self.batch.tokens.shape
        self.calls += 1
        first = shape[0] == words and len(shape) == 2  # words come first, samples and documents together
        lead = shape[1] // documents if first else shape[:-2].numel()
        wide = words if first else shape[-1]
        assert shape in ((words, lead * documents), (*shape[:-2], documents, wide))
        columns = [
            _rand(lead, LONGEST, dtype=torch.float64, generator=torch.Generator().manual_seed(1000 * i + self.calls))
            for i in self.batch.index.tolist()
        ]
        drawn = torch.stack(columns, 1)[..., :wide]
        return (drawn.movedim(-1, 0) if first else drawn).reshape(shape).to(options.get("dtype"))

    @contextmanager
    def active(self) -> Iterator[None]:
        original = Trainer._enqueue_step

        def launch(trainer: Trainer, batch: Batch) -> None:
            self.batch, self.calls = batch, 0
            try:
                original(trainer, batch)
            finally:
                self.batch = None

        def terms(model: RationaleModel, q: MaskDistribution, batch: Batch, samples: int) -> Terms:
            self.batch, self.calls = batch, 0
            try:
                return evaluated(model, q, batch, samples)
            finally:
                self.batch = None

        evaluated = validation.batch_terms
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "rand", self)
            patch.setattr(Trainer, "_enqueue_step", launch)
            patch.setattr(validation, "batch_terms", terms)
            yield


class Last(Break):
    """Keeps the weights with which training ended, in every process."""

    def on_epoch_end(self, run: TrainingRun, record: EpochRecord) -> None:
        self.weights = run.trainer.weights()


def gradients(case: str, folder: Path, group: Group) -> dict[str, Any]:
    """The first two steps in double precision: gradients, records, and where they lead."""
    torch.set_default_dtype(torch.float64)
    try:
        fit = prepare_run(small(**SIZES, **CASES[case]), folder, group=group)
        trainer = fit.trainer
        if case == "ahead":  # steps are launched before the one before has reported, as on a GPU
            trainer.pipelined, trainer.optimizer = True, torch.optim.Adam(trainer.named.values(), lr=3e-3, fused=True)
        found: dict[str, Any] = {}
        batches = [replace(batch, targets=cast(Tensor, batch.targets).double()) for batch in _two(trainer, group)]
        for number, record in enumerate(trainer.steps(batches)):
            found[f"record {number}"] = _numbers(record)
            if trainer.pipelined:
                continue
            for name, parameter in trainer.named.items():
                found[f"gradient {number} of {name}"] = None if parameter.grad is None else parameter.grad.clone()
        score = validation.validate(fit.fitted, fit.dev, fit.prior, 3, group)
        return found | trainer.weights() | {"evaluation": _numbers(score)}
    finally:
        torch.set_default_dtype(torch.float32)


def _numbers(record: Any) -> list[float]:
    """Figures of a record, those of each target among them."""
    values = vars(record).values()
    return [float(number) for value in values for number in (value if isinstance(value, tuple) else (value,))]


def _two(trainer: Trainer, group: Group) -> list[Batch]:
    return list(islice(trainer.batches.epoch(0, group.share), 2))


def _train(config: Config, folder: Path, group: Group, progress: Any = None, resume: bool = False) -> TrainingRun:
    """A fit of all processes, evaluated by the main one."""
    fit = fit_run(config, folder, resume, callbacks=[progress] if progress else [], group=group)
    if group.main:
        finish_run(fit)
    return fit


def joint(folder: Path, group: Group) -> dict[str, Any]:
    """Gradients of all cases, and a fit; in folders of this process's own, which only the main one may use."""
    with ByDocument().active():
        found: dict[str, Any] = {case: gradients(case, folder / case, group) for case in CASES}
        last = Last()
        fit = _train(small(**SIZES), folder / "fit", group, last)
    return found | {"history": [vars(record) for record in fit.history], "weights": last.weights}


def resumed(folder: Path, group: Group) -> None:
    """Two fits with masks of the processes' own, one of them interrupted."""
    _train(small(), folder / "whole", group)
    for progress in (Break(steps=5), Break(epochs=2)):
        try:
            _train(small(), folder / "resumed", group, progress, resume=progress.epochs > 0)
        except KeyboardInterrupt:
            continue
    _train(small(), folder / "resumed", group, resume=True)


def threads() -> list[str]:
    """Names of this process's threads, Python's or not."""
    return [task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("what", type=click.Choice(["joint", "broken"]))
def several(folder: Path, what: str) -> None:
    """One of the processes."""
    torch.set_num_threads(1)
    with process_group("cpu") as group:
        assert group is not SINGLE_PROCESS
        close, group.close = group.close, lambda: None  # type: ignore[method-assign]
        try:
            if what == "broken":
                fault: Any = DataError("reviews.csv, row 3: no text")
                callbacks = [] if group.main else [Break(steps=2, problem=fault)]
                fit_run(small(), folder / "run", callbacks=callbacks, group=group)
            own = folder / str(group.rank)
            torch.save(joint(own, group), folder / f"{group.rank}.pt")
            resumed(folder / f"resumed-{group.rank}", group)
        finally:
            close()
            (folder / f"{group.rank}.threads").write_text("\n".join(threads()))


if __name__ == "__main__":
    run_command(several, sys.argv[1:])
