"""Steps that are launched before the one before has reported, as on a GPU: the same steps, and the same way out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro_rationale.data import Batch
from pyro_rationale.errors import TrainingError
from pyro_rationale.training.checkpoint import Metadata
from pyro_rationale.training.history import StepRecord
from pyro_rationale.training.trainer import Trainer
from tests.support.small_fit import trainers


class Alone:
    """A trainer with a random state of its own: whatever else is trained, its steps come out the same."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        torch.manual_seed(3)
        self.random = torch.get_rng_state()

    def _alone(self, action: Callable[[], Any]) -> Any:
        torch.set_rng_state(self.random)
        try:
            return action()
        finally:
            self.random = torch.get_rng_state()

    def epoch(self) -> list[StepRecord]:
        return self._alone(lambda: list(self.trainer.run_epoch()))

    def take(self, records: Iterator[StepRecord], count: int) -> list[StepRecord]:
        return self._alone(lambda: list(itertools.islice(records, count)))

    def steps(self, batches: list[Batch]) -> list[StepRecord]:
        return self._alone(lambda: list(self.trainer.steps(batches)))

    def state(self) -> tuple[dict[str, Tensor], Metadata]:
        return self._alone(self.trainer.state)


Make = Callable[..., Alone]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Trainers on sixteen reviews, with the optimiser of a GPU."""
    trainer = trainers(tmp_path, batch_size=4)

    def alone(ahead: bool, **options: Any) -> Alone:
        made = trainer(**options)
        made.pipelined = ahead
        rate = made.fitted.config.train.learning_rate
        made.optimizer = torch.optim.Adam(made.named.values(), lr=rate, fused=True)
        return Alone(made)

    return alone


def check_same(one: Alone, other: Alone) -> None:
    """Two states are equal, bit for bit."""
    (tensors, facts), (others, told) = one.state(), other.state()
    assert facts == told
    assert tensors.keys() == others.keys()
    assert [name for name in tensors if not torch.equal(tensors[name], others[name])] == []


@pytest.mark.parametrize(
    ("guide", "options"),
    [
        ("relaxed", {"warmup": 2}),
        ("chain", {}),
        ("chain", {"estimator": "nvil"}),
        ("recurrent", {"estimator": "tracegraph", "samples": 1}),
    ],
)
def test_the_same_steps(make: Make, guide: str, options: dict[str, Any]) -> None:
    plain, ahead = make(False, guide=guide, **options), make(True, guide=guide, **options)
    for _ in range(2):
        records = plain.epoch(), ahead.epoch()
        assert len(records[0]) == 4
        assert records[0] == records[1]
        assert plain.trainer.finish_epoch() == ahead.trainer.finish_epoch()
    check_same(plain, ahead)


def test_records_come_late_and_a_state_waits_for_them(make: Make) -> None:
    plain, ahead = make(False), make(True)
    epoch = ahead.trainer.run_epoch()
    records = ahead.take(epoch, 1)
    assert (ahead.trainer.step, ahead.trainer._next_step) == (1, 2)
    expected = plain.take(plain.trainer.run_epoch(), 2)
    check_same(plain, ahead)  # asking for the state has settled the second step
    assert (ahead.trainer.step, ahead.trainer._next_step) == (2, 2)
    records += ahead.take(epoch, 9)
    assert records == expected + plain.epoch()
    check_same(plain, ahead)


def test_an_abandoned_epoch_goes_on(make: Make) -> None:
    plain, ahead = make(False), make(True)
    first, *rest = plain.epoch()
    assert ahead.take(ahead.trainer.run_epoch(), 1) == [first]
    assert ahead.epoch() == rest
    check_same(plain, ahead)


@pytest.mark.parametrize("estimator", ["muprop", "nvil"])
def test_a_loss_that_is_not_finite_is_found_a_step_later(make: Make, estimator: str) -> None:
    """The optimiser leaves its weights and moments alone, and everything else goes back to before that step."""
    plain, ahead = (make(flag, guide="chain", estimator=estimator) for flag in (False, True))
    batches = list(ahead.trainer.batches.epoch(0))
    plain.steps(batches[:2])
    assert batches[2].targets is not None
    right = batches[2].targets.clone()
    batches[2].targets[0] = 1e30
    with pytest.raises(TrainingError, match=r"^epoch 1, batch 3 .*: the loss is inf"):
        ahead.steps(batches)
    check_same(plain, ahead)
    batches[2].targets[:] = right
    assert ahead.steps(batches[2:])[-2:] == plain.steps(batches[2:])
    check_same(plain, ahead)


def test_an_interrupt_loses_the_step_under_way_alone(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, ahead = make(False), make(True)
    batches = list(ahead.trainer.batches.epoch(0))
    plain.steps(batches[:2])
    calls = itertools.count()
    estimate = ahead.trainer.objective.estimate

    def stop(*arguments: Any) -> Any:
        found = estimate(*arguments)
        if next(calls) == 2:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(ahead.trainer.objective, "estimate", stop)
    with pytest.raises(KeyboardInterrupt):
        ahead.steps(batches)
    assert ahead.trainer.consistent
    check_same(plain, ahead)
