"""`--ema`: what is scored and kept is a running average of the weights, and training does not notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pyro_rationale.data.batch import Batch
from pyro_rationale.errors import ConfigError
from pyro_rationale.experiments.baselines._networks import build_networks
from pyro_rationale.models import RationaleModel
from pyro_rationale.storage import read_tensors
from pyro_rationale.training.auxiliary_losses import full_text_loss
from pyro_rationale.training.ema import RunningAverage
from pyro_rationale.training.history import StepRecord
from pyro_rationale.training.loop import train_networks
from pyro_rationale.training.prepare import prepare_run
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.trainer import Trainer
from pyro_rationale.training.validation import score_modes
from tests.support.small_fit import Break, fit_small, sixteen, small

AT_ONCE: dict[str, Any] = {"anneal": 0, "rate": 0.95, "span": 30.0}  # the target rate is reached with the first step


def moved(average: RunningAverage, weight: torch.Tensor, values: list[float]) -> float:
    for value in values:
        weight.fill_(value)
        average.update()
    return float(average.values["weight"])


def test_a_mean_at_first_and_then_a_moving_one() -> None:
    weight = torch.zeros(())
    average = RunningAverage({"weight": weight}, 0.75)
    assert moved(average, weight, [1.0]) == 1.0
    assert moved(average, weight, [3.0, 8.0]) == pytest.approx(4.0)
    assert moved(average, weight, [12.0]) == pytest.approx(6.0)  # 3/4 and 1/4: the fourth of four, and from now on
    assert moved(average, weight, [10.0]) == pytest.approx(7.0)
    average.swap()
    assert float(weight) == pytest.approx(7.0)
    assert float(average.values["weight"]) == 10.0
    average.swap()
    other = RunningAverage({"weight": weight}, 0.75)
    other.restore(average.state(), average.steps)
    assert moved(other, weight, [3.0]) == moved(average, weight, [3.0]) == pytest.approx(6.0)
    average.reset()
    assert moved(average, weight, [2.0]) == 2.0


def test_none_is_none() -> None:
    weight = torch.ones(())
    average = RunningAverage({"weight": weight}, 0.0)
    average.update()
    average.swap()
    assert not average.values
    assert not average.state()
    assert float(weight) == 1.0


def raw(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trainer.named.items()}


def test_it_begins_where_the_target_rate_is_reached(tmp_path: Path) -> None:
    trainer = prepare_run(small(guide="chain", ema=0.9, anneal=2, batch_size=8), tmp_path, corpus=sixteen()).trainer
    seen = []
    for _ in range(2):
        for _ in trainer.run_epoch():
            seen.append(raw(trainer))
        trainer.finish_epoch()
    assert trainer.average.steps == 2
    mean = {name: 0.5 * (seen[2][name] + seen[3][name]) for name in seen[3]}
    torch.testing.assert_close(trainer.average.values, mean)
    weights = trainer.weights()
    assert weights.keys() > mean.keys()
    torch.testing.assert_close({name: weights[name] for name in mean}, mean)
    with trainer.averaged():
        torch.testing.assert_close(raw(trainer), mean)
    assert all(torch.equal(raw(trainer)[name], seen[3][name]) for name in mean)


def test_training_does_not_notice(tmp_path: Path) -> None:
    with_it, _ = fit_small(tmp_path / "with", guide="chain", ema=0.9, **AT_ONCE)
    without, _ = fit_small(tmp_path / "without", guide="chain", **AT_ONCE)
    assert [one.loss for one in with_it.history] == [one.loss for one in without.history]
    assert [one.dev_error for one in with_it.history] != [one.dev_error for one in without.history]


def test_what_is_kept_is_what_was_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyro_rationale.training.model_selection.collapse", lambda *figures: "")
    fit, metrics = fit_small(tmp_path, guide="chain", ema=0.9, **AT_ONCE)
    best = fit.history[metrics.best_epoch - 1]
    assert best.event == "best"
    assert score_modes(fit.fitted, fit.dev).error == pytest.approx(best.dev_error, rel=1e-5)
    stored = read_tensors(tmp_path / "model.safetensors")[0]
    assert any(torch.equal(value, fit.fitted.guide.state_dict()["head.weight"]) for value in stored.values())


class Cut(Break):
    """A Ctrl-C while the averaged weights are scored."""

    def on_step_end(self, run: TrainingRun, record: StepRecord) -> None:
        self.before = raw(run.trainer)


def test_an_interrupted_look_leaves_the_moving_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_short(*anything: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyro_rationale.training.memorization.MemorizationCheck.memorized", cut_short)
    cut = Cut()
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path, cut, guide="chain", ema=0.9, **AT_ONCE)
    saved = read_tensors(tmp_path / "checkpoint.safetensors")[0]
    assert all(torch.equal(saved[f"now.weights.{name}"], value) for name, value in cut.before.items())
    assert not all(torch.equal(saved[f"now.average.{name}"], value) for name, value in cut.before.items())


def test_baselines_average_as_well() -> None:
    """Without a look at other texts, what is left is the mean of the steps after --anneal; here, of the last two."""
    ends = []
    for steps, ema in ((3, 0.0), (4, 0.0), (4, 0.9)):
        fitted, _ = build_networks(small(steps=steps, anneal=2, ema=ema, batch_size=16), sixteen())
        model = fitted.model

        def loss(batch: Batch, step: int, model: RationaleModel = model) -> torch.Tensor:
            return full_text_loss(model, batch) / len(batch)

        train_networks(fitted, sixteen().train, loss)
        ends.append(model.encoder.output.weight.detach())
    torch.testing.assert_close(ends[2], 0.5 * (ends[0] + ends[1]), rtol=0.0, atol=2e-3)
    assert not torch.equal(ends[2], ends[1])


def test_a_decay_that_makes_no_sense_is_refused() -> None:
    for decay in (-0.1, 1.0):
        with pytest.raises(ConfigError, match="--ema: expected a decay of at least 0 and less than 1"):
            small(ema=decay)
