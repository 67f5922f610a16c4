"""A fit that was cut short, whenever and however, goes on to the same result: every bit of it, on the CPU."""

from __future__ import annotations

import inspect
import itertools
import json
import math
import os
import random
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from pyro.poutine.runtime import _PYRO_STACK

from pyro_rationale import storage
from pyro_rationale.cli.common import run_command
from pyro_rationale.cli.fit import fit
from pyro_rationale.errors import FAILED, ConfigError, RunError, TrainingError
from pyro_rationale.inference.objectives.elbo import Estimate, MaskELBO
from pyro_rationale.training.annealing import cosine_decay
from pyro_rationale.training.history import StepTotals
from pyro_rationale.training.model_selection import ModelSelection
from pyro_rationale.training.rate_control import RateControl
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.run_folder import check_same_config
from pyro_rationale.training.trainer import Trainer
from tests.support.grids import some
from tests.support.small_fit import Break, content, differences, fit_small, result, small, table, whole


def interrupted(folder: Path, progress: Break, resume: bool = False, **options: Any) -> None:
    with pytest.raises(progress.problem):
        fit_small(folder, progress, resume, **options)
    assert not (folder / "metrics.json").exists()


# What must be the same is what this suite is about, so: the comparison can tell.


def test_a_fit_is_fixed_by_its_seed(tmp_path: Path) -> None:
    torch.rand(7)  # nothing that was drawn before matters
    fit_small(tmp_path / "again")
    assert differences(tmp_path / "again", whole()) == []
    fit_small(tmp_path / "other", seed=1)
    told = differences(tmp_path / "other", whole())
    assert "metrics.json" in told
    assert "epochs.jsonl" in told
    assert "guide.head.weight" in told


# Interrupts, in this process.


@some(
    "guide,steps",
    [*(("relaxed", n) for n in (0, 3, 4, 9)), ("chain", 8), ("independent", 2), ("recurrent", 8)],
    [*(("relaxed", n) for n in (1, 2, 5, 6, 7, 8)), ("chain", 2), ("independent", 8), ("recurrent", 2)],
)
def test_an_interrupt_between_any_two_steps(tmp_path: Path, guide: str, steps: int) -> None:
    """Nine steps in three epochs; the second and third epoch end in a recovery from a collapse."""
    interrupted(tmp_path, Break(steps=steps), guide=guide)
    fit, _ = fit_small(tmp_path, resume=True, guide=guide)
    assert differences(tmp_path, whole(guide=guide)) == []
    assert fit.selection.recoveries == 2


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_an_interrupt_between_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    """A run with dropout, a warm-up, averaged weights, and epochs that are better than others."""
    monkeypatch.setattr("pyro_rationale.training.model_selection.collapse", lambda *figures: "")
    options: dict[str, Any] = {"rate": 0.95, "span": 30.0, "dropout": 0.2, "warmup": 2, "anneal": 1, "encoder": "rcnn"}
    options |= {"ema": 0.9}
    interrupted(tmp_path, Break(epochs=epochs), **options)
    fit, metrics = fit_small(tmp_path, resume=True, **options)
    assert differences(tmp_path, whole(**options)) == []
    assert metrics.best_epoch > 0
    assert fit.selection.recoveries == 0


def test_many_interrupts_of_one_run(tmp_path: Path) -> None:
    interrupted(tmp_path, Break(steps=1), guide="chain", estimator="tracegraph")
    for progress in (Break(steps=3), Break(epochs=1), Break(steps=0), Break(steps=2)):
        with pytest.raises(KeyboardInterrupt):
            fit_small(tmp_path, progress, resume=True, guide="chain", estimator="tracegraph")
    fit_small(tmp_path, resume=True, guide="chain", estimator="tracegraph")
    assert differences(tmp_path, whole(guide="chain", estimator="tracegraph")) == []


def test_penalties_instead_of_a_rate(tmp_path: Path) -> None:
    options: dict[str, Any] = {"lambda1": 1e-3, "lambda2": 2e-3, "guide": "independent"}
    interrupted(tmp_path, Break(steps=5), **options)
    fit_small(tmp_path, resume=True, **options)
    assert differences(tmp_path, whole(**options)) == []


class Calls:
    """Counts the calls of this package's functions, and raises at one of them: a Ctrl-C in the middle of anything."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def __enter__(self) -> Calls:
        sys.setprofile(self._called)
        return self

    def __exit__(self, *problem: object) -> None:
        sys.setprofile(None)

    def _called(self, frame: Any, event: str, argument: object) -> None:
        if frame.f_code.co_flags & inspect.CO_GENERATOR:  # may be a call that closes it, whose errors Python drops
            return
        if event == "call" and "/pyro_rationale/" in frame.f_code.co_filename.replace(os.sep, "/"):
            self.count += 1
            if self.count == self.at:
                raise KeyboardInterrupt


@pytest.fixture
def no_open_handlers() -> Iterator[None]:
    """An interrupt within Pyro may leave a handler open; the process would be gone, but this one stays."""
    yield
    _PYRO_STACK.clear()


def prepared_calls(folder: Path, guide: str) -> tuple[int, int]:
    """How many calls a fit makes before training, and until its end."""
    seen: list[int] = []

    class Mark(Break):
        def on_fit_start(self, run: TrainingRun) -> None:
            seen.append(calls.count)

    with Calls(-1) as calls:
        fit_small(folder, Mark(), guide=guide)
    return seen[0], calls.count


@pytest.mark.usefixtures("no_open_handlers")
@some("guide,times", [("relaxed", 2), ("chain", 2)], [("relaxed", 8), ("chain", 8)])
def test_an_interrupt_at_any_call(tmp_path: Path, guide: str, times: int) -> None:
    """In the middle of a step, of the watch's judgement, of writing a checkpoint, of the final table."""
    expected = whole(guide=guide)  # first of all: what is computed once per process is no call later on
    first, last = prepared_calls(tmp_path / "count", guide)
    assert last - first > 1000
    pick = random.Random(5)
    for at in (pick.randint(first + 1, last) for _ in range(times)):
        folder = tmp_path / str(at)
        with Calls(at), pytest.raises(KeyboardInterrupt):
            fit_small(folder, guide=guide)
        _PYRO_STACK.clear()
        fit_small(folder, resume=True, guide=guide)
        assert differences(folder, expected) == [], f"call {at} of {first} to {last}"


def cut_after(patch: pytest.MonkeyPatch, owner: type, name: str, at: int) -> None:
    """Interrupt right behind the `at`-th call of a method."""
    original, calls = getattr(owner, name), itertools.count(1)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        value = original(self, *args, **kwargs)
        if next(calls) == at:
            raise KeyboardInterrupt
        return value

    patch.setattr(owner, name, method)


@some(
    "owner,name,at",
    [(torch.optim.Adam, "step", 5), (Trainer, "finish_epoch", 2), (ModelSelection, "_recover", 1)],
    [(RateControl, "update", 6), (StepTotals, "add", 5), (ModelSelection, "on_epoch_end", 2)],
)
def test_half_a_step_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, at: int
) -> None:
    """Cut between parts that only make sense together; the checkpoint before it stands, and leads to the same end."""
    with monkeypatch.context() as patch:
        cut_after(patch, owner, name, at)
        with pytest.raises(KeyboardInterrupt):
            fit_small(tmp_path)
    facts = storage.read_tensors(tmp_path / "checkpoint.safetensors")[1]
    assert (facts["trainer"]["epoch"], facts["trainer"]["position"], len(facts["history"])) == (1, 0, 1)
    fit_small(tmp_path, resume=True)
    assert differences(tmp_path, whole()) == []


# A loss that is not finite.


@pytest.mark.parametrize("spoilt", ["loss", "gradient"])
def test_a_loss_that_is_not_finite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    original, calls = MaskELBO.estimate, itertools.count(1)

    def estimate(self: MaskELBO, *args: Any, **kwargs: Any) -> Estimate:
        found = original(self, *args, **kwargs)
        if next(calls) != 5:
            return found
        if spoilt == "loss":
            return replace(found, surrogate=found.surrogate * math.nan, kl=found.kl * math.nan)
        return replace(found, surrogate=found.surrogate * math.inf)

    with monkeypatch.context() as patch:
        patch.setattr(MaskELBO, "estimate", estimate)
        with pytest.raises(TrainingError, match=r"^epoch 2, batch 2 \(documents \d+, \d+, .*\): the loss is "):
            fit_small(tmp_path)
    tensors, facts = storage.read_tensors(tmp_path / "checkpoint.safetensors")
    assert facts["trainer"]["step"] == 4
    assert all(bool(torch.isfinite(value).all()) for value in tensors.values())
    fit_small(tmp_path, resume=True)
    assert differences(tmp_path, whole()) == []


def test_going_on_with_a_lower_learning_rate(tmp_path: Path) -> None:
    interrupted(tmp_path, Break(steps=5))
    fit, _ = fit_small(tmp_path, resume=True, learning_rate=1e-9)
    stored = json.loads((tmp_path / "config.json").read_text())["config"]["train"]
    assert stored["learning_rate"] == 1e-9
    rates = {group["lr"] for group in fit.trainer.optimizer.param_groups}
    decay = cosine_decay(fit.trainer._progress)
    assert rates <= {1e-9 * 0.25 * decay, 1e-9 * 0.5 * decay}
    assert differences(tmp_path, whole()) != []


# Resuming what cannot be resumed, or need not.


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    shutil.copytree(whole(), tmp_path / "run")
    (tmp_path / "run" / "checkpoint.safetensors").unlink()
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    told = CliRunner().invoke(fit, ["--out", str(tmp_path / "run"), "--resume"])
    assert told.exit_code == 0  # click in a test drops what a command returns
    assert "FAILED: training never came down to the requested share of words (asked for 13.0 %, kept" in told.output
    assert "run is finished already" in told.output
    assert "mean squared error" in told.output
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    with pytest.raises(SystemExit) as end:
        run_command(fit, ["--out", str(tmp_path / "run"), "--resume"])
    assert end.value.code == FAILED


def test_a_finished_run_can_be_trained_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole(), folder)
    interrupted(folder, Break(steps=2), resume=True, steps=15)  # which leaves no metrics of fewer steps
    told = CliRunner().invoke(fit, ["--out", str(folder), "--resume", "--quiet"])
    assert "finished already" not in told.output
    steps = storage.read_tensors(folder / "checkpoint.safetensors")[1]["trainer"]["step"]
    assert (steps, len((folder / "epochs.jsonl").read_text().splitlines())) == (15, 5)
    assert json.loads((folder / "config.json").read_text())["config"]["train"]["steps"] == 15
    assert result(folder)["epochs"] == 5
    with pytest.raises(ConfigError, match=r"--steps: the run in .* has 15, got 9"):
        fit_small(folder, resume=True)


def test_more_steps_that_add_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--steps: 12 add none to the run in .*: --patience has ended it"):
        check_same_config(small(steps=12), whole(), trained=True)
    fit_small(tmp_path, steps=2)
    before = content(tmp_path)
    with pytest.raises(ConfigError, match=r"^--steps: the run in .* has epochs of 2 steps, which more steps would"):
        fit_small(tmp_path, resume=True)
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0.2}, "--rate: the run in .* has 0.13, got 0.2"),
        ({"seed": 3}, "--seed: the run in .* has 0, got 3"),
        ({"guide": "chain"}, "--guide: the run in .* has relaxed, got chain"),
        ({"documents": 400}, "--documents: the run in .* has 48, got 400"),
    ],
)
def test_another_fit_cannot_take_over(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    interrupted(tmp_path, Break(steps=2), rate=0.13)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match=message):
        fit_small(tmp_path, resume=True, **{"rate": 0.13, **options})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_corpus_that_has_changed(tmp_path: Path) -> None:
    rows = [f"the room was {word} and so on {word},{i % 5}" for i, word in enumerate("abcdefghijklmnopqrst")]
    path = table(tmp_path / "a.csv", "text,y", rows)
    options: dict[str, Any] = {"data": str(path), "target_column": ("y",), "min_count": 1}
    interrupted(tmp_path / "run", Break(steps=1), **options)
    table(path, "text,y", [row.replace(" a ", " another ") for row in rows])
    with pytest.raises(RunError, match=r"a\.csv has changed since"):
        fit_small(tmp_path / "run", resume=True, **options)
    table(path, "text,y", [*rows, "the room was x,17"])
    with pytest.raises(RunError, match=r"a\.csv has changed since"):
        fit_small(tmp_path / "run", resume=True, **options)
    table(path, "text,y", rows)
    fit_small(tmp_path / "run", resume=True, **options)


def test_the_time_spent_adds_up(tmp_path: Path) -> None:
    interrupted(tmp_path, Break(steps=8))
    spent = storage.read_tensors(tmp_path / "checkpoint.safetensors")[1]["seconds"]
    assert spent > 0
    fit, metrics = fit_small(tmp_path, resume=True)
    assert fit.seconds > spent
    assert metrics.seconds == round(fit.seconds, 1)
