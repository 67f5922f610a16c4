"""The trainer: what a step changes, what an epoch adds up, and the state on which its future depends."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pyro
import pytest
import torch

from pyro_rationale.data import Batch
from pyro_rationale.errors import ConfigError, TrainingError
from pyro_rationale.inference.estimators import muprop
from pyro_rationale.models import NormalLikelihood
from pyro_rationale.training.auxiliary_losses import full_text_loss
from pyro_rationale.training.checkpoint import random_states, set_random_states
from pyro_rationale.training.history import StepRecord
from pyro_rationale.training.trainer import Trainer
from tests.support.small_fit import trainers

MakeTrainer = Callable[..., Trainer]


@pytest.fixture
def make(tmp_path: Path) -> MakeTrainer:
    """Trainers on sixteen reviews."""
    return trainers(tmp_path, batch_size=8)


# What a step does.


def test_reading_steps_train_the_encoder_alone(make: MakeTrainer) -> None:
    trainer = make(warmup=2, learning_rate=0.01)
    start, prior = trainer.weights(), trainer.fitted.model.steering
    batch = next(iter(trainer.batches))
    records = [trainer.train_step(batch) for _ in range(2)]
    assert [(record.rate, record.entropy, record.documents) for record in records] == [(1.0, 0.0, 8)] * 2
    after = trainer.weights()
    assert all(torch.equal(after[name], start[name]) for name in start if name.startswith("guide."))
    assert not torch.equal(after["model.encoder.output.weight"], start["model.encoder.output.weight"])
    assert trainer.fitted.model.steering == prior
    trainer.train_step(batch)
    assert not torch.equal(trainer.weights()["guide.head.weight"], start["guide.head.weight"])


def test_reading_learns(make: MakeTrainer) -> None:
    trainer = make(warmup=1000, learning_rate=0.02)
    batch = next(iter(trainer.batches))
    losses = [trainer.train_step(batch).loss for _ in range(60)]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(("every", "calls"), [(1, [1, 2, 3, 4]), (3, [1, 1, 1, 2])])
def test_slopes_in_every_nth_step(
    make: MakeTrainer, monkeypatch: pytest.MonkeyPatch, every: int, calls: list[int]
) -> None:
    trainer, slope = make(guide="chain", slope_every=every), Mock(side_effect=muprop.slope)
    monkeypatch.setattr(muprop, "slope", slope)
    batch, found = next(iter(trainer.batches)), []
    for _ in range(4):
        trainer.train_step(batch)
        found.append(slope.call_count)
    assert found == calls


def test_slopes_are_for_estimators_that_have_some(make: MakeTrainer) -> None:
    with pytest.raises(ConfigError, match="--estimator relaxed computes no slopes; use muprop or sum-and-sample"):
        make(guide="relaxed", slope_every=2)


def test_a_mask_learns_what_the_prior_asks(make: MakeTrainer) -> None:
    """With a weak likelihood the guide comes down to the prior's rate."""
    trainer = make(anneal=1, nats=0.01, rate=0.2, learning_rate=0.05, tau=1.0, steps=1000)
    batch = next(iter(trainer.batches))
    rates = [trainer.train_step(batch).rate for _ in range(80)]
    assert rates[0] > 0.6
    assert 0.05 < rates[-1] < 0.3


@pytest.mark.parametrize("unit", ["word", "sentence"])
def test_flat_masks_are_told_by_the_entropy_of_a_choice(make: MakeTrainer, unit: str) -> None:
    """An even coin for each word, or for each sentence, which has fewer nats in all."""
    trainer = make(guide="independent", unit=unit)
    head = trainer.fitted.guide.head
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
    _, (_, kept, entropy, _, words) = trainer._objective_loss(next(trainer.batches.epoch(0)))
    assert float(kept / words) == pytest.approx(0.5)
    assert float(entropy / words) == pytest.approx(math.log(2), rel=1e-5)


def test_full_text_loss_by_hand(make: MakeTrainer) -> None:
    trainer = make()
    model, batch = trainer.fitted.model, next(iter(trainer.batches))
    assert batch.targets is not None
    total = 0.0
    for tokens, length, target in zip(batch.tokens, batch.lengths.tolist(), batch.targets, strict=True):
        with torch.no_grad():
            value = model.encoder(tokens[None, :length], torch.ones(1, length), torch.tensor([length]))
        assert isinstance(model.likelihood, NormalLikelihood)
        sigma = float(model.likelihood.sigma)
        density = -0.5 * ((float(value) - float(target)) / sigma) ** 2 - math.log(sigma * math.sqrt(2 * math.pi))
        total -= float(model.kappa) * density
    assert float(full_text_loss(model, batch).detach()) == pytest.approx(total, rel=1e-4)
    with pytest.raises(ValueError, match="targets"):
        full_text_loss(model, replace(batch, targets=None))


def test_the_gradient_is_clipped(make: MakeTrainer) -> None:
    trainer = make(clip=1e-3)
    trainer.train_step(next(iter(trainer.batches)))
    norms = torch.stack([value.grad.norm() for value in trainer.named.values() if value.grad is not None])
    assert float(norms.norm()) == pytest.approx(1e-3, rel=1e-3)


def test_the_learning_rate_cools_once_the_target_is_reached(make: MakeTrainer) -> None:
    trainer = make(warmup=10, anneal=40, steps=150, learning_rate=1e-3)
    batch = next(iter(trainer.batches))
    rates = []
    for step in (0, 30, 50, 75, 100, 125, 150, 10_000):
        trainer.step = step
        trainer.train_step(batch)
        rates.append(trainer.optimizer.param_groups[0]["lr"] / 1e-3)
    assert rates[:3] == pytest.approx([1.0] * 3)
    assert rates[4] == pytest.approx(0.525)
    assert rates[-2:] == pytest.approx([0.05] * 2)
    assert rates == sorted(rates, reverse=True)


def test_the_global_parameter_store_stays_empty(make: MakeTrainer) -> None:
    for estimator in ("rloo", "tracegraph"):
        for _ in make(guide="chain", estimator=estimator).run_epoch():
            assert len(pyro.get_param_store()) == 0


def test_two_fits_at_once_do_not_meet(make: MakeTrainer) -> None:
    alone = make(guide="chain", seed=1)
    list(alone.run_epoch())
    one, other = make(guide="chain", seed=1), make(guide="chain", seed=2)
    states: dict[str, dict[str, torch.Tensor]] = {}
    torch.manual_seed(1)  # each continues its own random numbers
    start = make(guide="chain", seed=1)
    assert all(map(torch.equal, start.weights().values(), one.weights().values()))
    device = start.fitted.device
    random = random_states(device)
    for mine, theirs in zip(one.batches.epoch(0), other.batches.epoch(0), strict=True):
        set_random_states(states.get("one", random), device)
        one.train_step(mine)
        states["one"] = random_states(device)
        other.train_step(theirs)
    assert all(map(torch.equal, one.weights().values(), alone.weights().values()))


# Epochs.


def test_an_epoch_reads_every_document_once(make: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(batch_size=5)
    seen: list[int] = []
    original = trainer.train_step

    def train_step(batch: Batch) -> StepRecord:
        assert batch.index is not None
        seen.extend(batch.index.tolist())
        return original(batch)

    monkeypatch.setattr(trainer, "train_step", train_step)
    records = list(trainer.run_epoch())
    assert sorted(seen) == list(range(16))
    record = trainer.finish_epoch()
    assert (record.epoch, record.step, trainer.epoch, trainer.position) == (1, 4, 1, 0)
    weights = [r.documents for r in records]
    assert sum(weights) == 16
    for name in ("loss", "rate"):
        mean = sum(getattr(r, name) * w for r, w in zip(records, weights, strict=True)) / 16
        assert getattr(record, name) == pytest.approx(mean)
    coin = -record.rate * math.log(record.rate) - (1 - record.rate) * math.log(1 - record.rate)
    entropy = sum(r.entropy * w for r, w in zip(records, weights, strict=True)) / 16
    assert record.flatness == pytest.approx(entropy / coin)
    assert record.field == trainer.fitted.model.steering.alpha
    first = list(seen)
    seen.clear()
    list(trainer.run_epoch())
    assert sorted(seen) == sorted(first)
    assert seen != first


def test_an_epoch_can_be_taken_up_in_the_middle(make: MakeTrainer) -> None:
    trainer = make(batch_size=4)
    part = list(itertools.islice(trainer.run_epoch(), 3))
    rest = list(trainer.run_epoch())
    assert (len(part), len(rest), trainer.step) == (3, 1, 4)


# State.


@pytest.mark.parametrize(
    ("guide", "estimator"), [("relaxed", "auto"), ("chain", "tracegraph"), ("recurrent", "auto"), ("chain", "nvil")]
)
def test_a_restored_trainer_goes_on_the_same_way(make: MakeTrainer, guide: str, estimator: str) -> None:
    options = {"guide": guide, "estimator": estimator, "batch_size": 4, "dropout": 0.1, "anneal": 3}
    trainer = make(**options)
    list(itertools.islice(trainer.run_epoch(), 2))
    tensors, facts = trainer.state()
    facts = json.loads(json.dumps(facts))
    expected = list(trainer.run_epoch())
    other = make(**options)
    list(other.run_epoch())
    torch.manual_seed(5)
    other.restore(tensors, facts)
    assert list(other.run_epoch()) == expected
    left, right = other.state(), trainer.state()
    assert left[1] == right[1]
    assert left[0].keys() == right[0].keys()
    assert [name for name in left[0] if not torch.equal(left[0][name], right[0][name])] == []


def test_a_state_is_a_copy(make: MakeTrainer) -> None:
    trainer = make()
    list(trainer.run_epoch())
    tensors, facts = trainer.state()
    kept = {name: value.clone() for name, value in tensors.items()}, json.dumps(facts)
    list(itertools.islice(trainer.run_epoch(), 1))
    trainer.train_step(next(iter(trainer.batches)))
    assert all(torch.equal(tensors[name], kept[0][name]) for name in tensors)
    assert json.dumps(facts) == kept[1]
    trainer.restore(tensors, facts)
    trainer.train_step(next(iter(trainer.batches)))
    assert all(torch.equal(tensors[name], kept[0][name]) for name in tensors)
    assert json.dumps(facts) == kept[1]


@pytest.mark.parametrize(("guide", "estimator"), [("relaxed", "auto"), ("chain", "auto"), ("chain", "nvil")])
def test_a_loss_that_is_not_finite_changes_nothing(make: MakeTrainer, guide: str, estimator: str) -> None:
    """A baseline's running statistics among the rest."""
    trainer = make(guide=guide, estimator=estimator, batch_size=4)
    list(itertools.islice(trainer.run_epoch(), 1))
    tensors, facts = trainer.state()
    batch = next(itertools.islice(trainer.batches.epoch(0), 1, None))
    assert batch.targets is not None
    targets = batch.targets.clone()
    batch.targets[0] = 1e30
    assert batch.index is not None
    numbers = ", ".join(str(i) for i in batch.index.tolist())
    with pytest.raises(TrainingError, match=rf"^epoch 1, batch 2 \(documents {numbers}\): the loss is inf"):
        trainer.train_step(batch)
    after, told = trainer.state()
    assert told == facts
    assert [name for name in tensors if not torch.equal(after[name], tensors[name])] == []
    batch.targets[:] = targets
    trainer.train_step(batch)


# The weight of the entropy.


@pytest.mark.parametrize(
    ("step", "weight"), [(0, 0.25), (10, 0.25), (20, 0.25), (24, 0.15), (30, 0.0), (39, 0.0), (1000, 0.0)]
)
def test_entropy_is_held_until_words_are_gone_and_then_falls_to_tau(
    make: MakeTrainer, step: int, weight: float
) -> None:
    """Twenty steps of descent, twenty after it: the weight falls over the first ten of those."""
    trainer = make(tau=0.0, entropy=0.25, warmup=5, anneal=15, steps=40)
    trainer.step = step
    trainer.train_step(next(iter(trainer.batches)))
    assert trainer.objective.tau == pytest.approx(weight)


@pytest.mark.parametrize(("tau", "entropy"), [(0.25, 0.25), (1.0, 0.25), (0.1, 0.0)])
def test_entropy_never_rises_above_what_is_asked_for(make: MakeTrainer, tau: float, entropy: float) -> None:
    trainer = make(tau=tau, entropy=entropy, anneal=2, steps=8)
    batch = next(iter(trainer.batches))
    for _ in range(6):
        trainer.train_step(batch)
        assert trainer.objective.tau == tau
