"""The watch over a fit: collapses are seen and left, the best epoch is the one of least cost, patience ends."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import ChainPrior
from pyro_rationale.training.history import EpochRecord, StepTotals
from pyro_rationale.training.model_selection import RECOVERIES, ModelSelection, slower
from pyro_rationale.training.prepare import prepare_run
from pyro_rationale.training.rate_control import STEADY, Schedule
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.trainer import Trainer
from pyro_rationale.training.validation import DevScore, score_modes
from tests.support.small_fit import fit_small, small

RATE, SPAN = 0.1, 2.5
PRIOR = ChainPrior.from_rate_span(RATE, SPAN)
GOOD = DevScore(error=0.05, rate=0.1, empty=0.0, words=4.0, changes=2.0)
EMPTY = DevScore(error=0.3, rate=0.0, empty=1.0, words=0.0, changes=0.0)


def record(**figures: Any) -> EpochRecord:
    """An epoch with nothing wrong."""
    values = {"epoch": 1, "step": 3, "loss": 0.5, "rate": 0.1, "target": 0.1, "field": 1.0, "flatness": 0.2}
    return EpochRecord(**{**values, "dev_empty": 0.0, **figures})


# A watch over a real trainer, with scripted epochs.


@pytest.fixture
def fit(tmp_path: Path) -> TrainingRun:
    """A fit whose target has been reached after one step; nothing has been trained."""
    return prepare_run(small(rate=RATE, span=SPAN, anneal=0, patience=3), tmp_path / "run")


def train(fit: TrainingRun, steps: int = 1) -> None:
    """So many steps, in one epoch."""
    trainer = fit.trainer
    batches = list(trainer.batches.epoch(0))
    for number in range(steps):
        trainer.train_step(batches[number % len(batches)])


def close(fit: TrainingRun, score: DevScore, **figures: Any) -> EpochRecord:
    """End the epoch with these figures."""
    closed = fit.trainer.finish_epoch()
    return fit.selection.on_epoch_end(record(epoch=closed.epoch, step=closed.step, **figures), score)


def moments(trainer: Trainer) -> list[Tensor]:
    return [value for state in trainer.optimizer.state.values() for value in state.values()]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_collapse_goes_back_to_the_last_good_weights(fit: TrainingRun) -> None:
    train(fit, 2)
    good, momentum = fit.trainer.weights(), [value.clone() for value in moments(fit.trainer)]
    assert close(fit, GOOD).event == "best"
    train(fit, 2)
    assert not same(fit.trainer.weights(), good)
    closed = close(fit, EMPTY, rate=0.001)
    assert closed.event == "collapse (empty masks): back to epoch 1, half the learning rate, half the pace"
    assert closed.dev_empty == 1.0
    assert same(fit.trainer.weights(), good)
    assert all(map(torch.equal, moments(fit.trainer), momentum))
    assert (fit.trainer.epoch, fit.trainer.step) == (2, 4)  # time goes on


def test_what_comes_after_a_recovery_is_counted_by_itself(fit: TrainingRun) -> None:
    """The collapsed epoch's figures must not weigh on the next one's, or it looks collapsed too."""
    train(fit, 2)
    close(fit, GOOD)
    train(fit, 3)
    close(fit, EMPTY, rate=0.001)
    assert fit.trainer.totals == StepTotals()


def test_a_second_recovery_finds_the_good_state_untouched_and_is_gentler(fit: TrainingRun) -> None:
    train(fit, 2)
    good, momentum = fit.trainer.weights(), [value.clone() for value in moments(fit.trainer)]
    close(fit, GOOD)
    anneal = max(1.0, fit.trainer.control.schedule.anneal)
    for number in (1, 2, 3):
        train(fit, 3)  # Adam writes into its moments in place
        assert not all(map(torch.equal, moments(fit.trainer), momentum))
        assert "back to epoch 1" in close(fit, EMPTY, rate=0.001).event
        assert same(fit.trainer.weights(), good)
        assert all(map(torch.equal, moments(fit.trainer), momentum))
        assert fit.trainer.lr_scale == 0.5**number
        assert fit.trainer.control.schedule.anneal == 2**number * anneal


def test_the_learning_rate_is_really_halved(fit: TrainingRun) -> None:
    train(fit)
    close(fit, GOOD)
    close(fit, EMPTY)
    fit.trainer.step = 10**6  # fully cooled, in either schedule
    train(fit)
    eased = fit.trainer.optimizer.param_groups[0]["lr"]
    assert eased == pytest.approx(0.5 * 0.05 * fit.fitted.config.train.learning_rate)


def test_random_numbers_are_others_after_a_recovery_and_the_same_each_time(tmp_path: Path) -> None:
    drawn = []
    for name in ("one", "two"):
        fit = prepare_run(small(rate=RATE, anneal=0), tmp_path / name)
        close(fit, GOOD)
        torch.manual_seed(0)
        before = torch.rand(3)
        for _ in range(2):
            close(fit, EMPTY)
            drawn.append(torch.rand(3))
        assert not torch.equal(drawn[-1], before)
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])
    assert torch.equal(drawn[1], drawn[3])


def test_no_more_recoveries_than_allowed(fit: TrainingRun) -> None:
    train(fit)
    close(fit, GOOD)
    events = []
    for _ in range(RECOVERIES + 2):
        train(fit)
        events.append(close(fit, EMPTY).event)
    assert ["back to epoch 1" in event for event in events] == [True] * RECOVERIES + [False] * 2
    assert "left as it is" in events[-1]
    assert fit.selection.recoveries == RECOVERIES
    assert fit.trainer.lr_scale == 0.5**RECOVERIES


def test_a_collapse_before_anything_good(fit: TrainingRun) -> None:
    train(fit)
    weights = fit.trainer.weights()
    assert "no good state yet" in close(fit, EMPTY).event
    assert same(fit.trainer.weights(), weights)
    assert fit.trainer.lr_scale == 0.5


@pytest.mark.parametrize(("then", "now"), [(0, 40), (30, 45), (60, 80), (400, 500)])
def test_a_slower_schedule_takes_up_where_the_good_one_stood(then: int, now: int) -> None:
    schedule = Schedule(warmup=10, anneal=100, rate=0.1)
    eased = slower(schedule, then, now, anneal=100)
    assert eased.progress(now) == pytest.approx(min(0.7, schedule.progress(then)))
    assert eased.progress(now + 20) - eased.progress(now) == pytest.approx(0.1)
    assert eased.target(now) >= schedule.target(then) * (1 - 1e-9)
    assert not eased.finished(now)
    assert eased.finished(now + 201)


# The best epoch.


def test_the_best_epoch_is_the_one_of_least_cost(fit: TrainingRun) -> None:
    """In nats: the gain times the error, and what the prior asked for charges for words and changes."""
    costs, weights = [], []
    for error, words in ((0.05, 9.0), (0.04, 9.0), (0.04, 2.0), (0.045, 2.0)):
        train(fit)
        closed = close(fit, DevScore(error, 0.1, 0.0, words, 2.0))
        gain = fit.fitted.model.gain
        assert closed.dev_cost == pytest.approx(gain * error + PRIOR.alpha * words + PRIOR.gamma * 2.0)
        costs.append(closed.dev_cost)
        weights.append(fit.trainer.weights())
    assert costs.index(min(costs)) == 2
    assert (fit.selection.best_epoch, fit.selection.best_cost) == (3, costs[2])
    assert same(fit.selection.best, weights[2])
    assert not same(fit.selection.best, weights[3])


def test_a_cheap_epoch_that_keeps_too_many_words_is_no_result(fit: TrainingRun) -> None:
    assert close(fit, DevScore(0.0, 0.2, 0.0, 8.0, 2.0)).event == ""
    assert close(fit, GOOD).event == "best"
    assert close(fit, DevScore(0.0, 0.2, 0.0, 8.0, 2.0)).event == ""
    assert fit.selection.best_epoch == 2


def test_an_epoch_on_the_way_that_keeps_few_enough_words_is_a_candidate(tmp_path: Path) -> None:
    """A better one than any at the end was thrown away once; patience waits for the end of annealing all the same."""
    fit = prepare_run(small(rate=RATE, anneal=4, patience=1), tmp_path / "run")
    wasteful, cheap, dear = ((0.0, 0.3), (0.01, 0.1), (0.02, 0.1))
    events, stops = [], []
    for error, rate in (wasteful, cheap, dear, dear, dear, dear):
        train(fit)
        closed = close(fit, DevScore(error, rate, 0.0, 4.0, 2.0))
        events.append(closed.event)
        stops.append(fit.selection.should_stop(closed))
    assert events == ["", "best", "", "", "", ""]
    assert fit.selection.annealed_epoch == 4
    assert stops == [False] * 4 + [True] * 2


def test_a_guide_that_has_not_decided_yet_is_neither_collapsed_nor_at_its_rate(tmp_path: Path) -> None:
    """Its mode masks are empty, or one word, because no word is likely; it keeps many in expectation."""
    fit = prepare_run(small(rate=RATE, anneal=9, start_rate=0.35, warmup_texts="masked"), tmp_path / "run")
    one_word = DevScore(0.05, 0.02, 0.0, 1.0, 2.0)
    for score, figures in ((EMPTY, {"rate": 1.0}), (one_word, {"rate": 1.0}), (one_word, {"rate": 0.3})):
        train(fit)
        assert close(fit, score, **figures).event == ""
    train(fit)
    assert close(fit, one_word, rate=0.15).event == "best"
    train(fit)
    assert "empty masks" in close(fit, EMPTY, rate=0.05).event


def test_a_rate_to_be_met_comes_before_the_cost(tmp_path: Path) -> None:
    fit = prepare_run(small(rate=RATE, anneal=0, rate_as="target"), tmp_path / "run")
    rates = {0.05: "best", 0.06: "best", 0.09: "best", 0.04: "", 0.1: "best", 0.12: ""}
    errors = iter((0.03, 0.02, 0.04, 0.01, 0.03, 0.01))
    for rate, event in rates.items():
        assert close(fit, DevScore(next(errors), rate, 0.0, 4.0, 2.0)).event == event, rate
    assert fit.selection.best_epoch == 5
    facts = fit.selection.state()[1]
    assert (facts["met"], facts["annealed"]) == (True, 1)


def test_a_collapsed_epoch_is_never_the_best(fit: TrainingRun) -> None:
    close(fit, GOOD)
    assert "collapse" in close(fit, DevScore(0.0, 0.0, 1.0, 0.0, 0.0)).event
    assert fit.selection.best_epoch == 1


def test_given_penalties_choose_whatever_rate_costs_least(tmp_path: Path) -> None:
    fit = prepare_run(small(lambda1=1e-3, lambda2=1e-3, anneal=0), tmp_path / "run")
    closed = close(fit, DevScore(0.01, 0.4, 0.0, 16.0, 2.0))
    assert closed.event == "best"
    gain = fit.fitted.model.gain
    assert closed.dev_cost == pytest.approx(gain * (0.01 + 1e-3 * 16.0 + 1e-3 * 2.0))


def test_patience_counts_epochs_without_a_better_one(fit: TrainingRun) -> None:
    worse = DevScore(0.06, 0.1, 0.0, 4.0, 2.0)
    ended = [fit.selection.should_stop(close(fit, score)) for score in (worse, GOOD, worse, worse)]
    assert ended == [False] * 4
    last = close(fit, worse)
    assert fit.selection.should_stop(last)  # the third since the best
    fit.history.append(last)
    assert fit.ending == "epoch 2 of 1 is kept: least cost on development texts; all 9 steps are done"
    fit.trainer.epoch = 2
    assert fit.ending.endswith("; training ended after --patience 3 epochs without a better one")


def test_no_patience_before_there_is_a_result(fit: TrainingRun) -> None:
    heavy = DevScore(0.0, 0.5, 0.0, 20.0, 2.0)
    assert not any(fit.selection.should_stop(close(fit, heavy)) for _ in range(10))


def test_patience_waits_for_the_target_to_come_down_again_after_a_recovery(fit: TrainingRun) -> None:
    worse = DevScore(0.06, 0.1, 0.0, 4.0, 2.0)
    train(fit, 2)
    close(fit, GOOD)
    assert "half the pace" in close(fit, EMPTY, rate=0.001).event
    assert not any(fit.selection.should_stop(close(fit, worse)) for _ in range(5))  # no step: still on the way
    train(fit, 3)
    ended = [fit.selection.should_stop(close(fit, worse)) for _ in range(4)]
    assert ended == [False, False, False, True]


def test_a_watch_from_before_rates_could_be_met_stops_when_it_would_have(fit: TrainingRun) -> None:
    """Or a run that patience had ended would train on when it is opened again."""
    ended = [fit.selection.should_stop(close(fit, GOOD)) for _ in range(4)]
    assert ended == [False, False, False, True]
    tensors, facts = fit.selection.state()
    del facts["met"], facts["annealed"]
    other = ModelSelection(fit.trainer, fit.prior, RATE, fit.fitted.model.gain, 3)
    other.restore(tensors, facts)
    assert (other.best_met, other.annealed_epoch) == (True, 1)
    assert other.should_stop(record(epoch=4))
    assert not other.should_stop(record(epoch=3))


def test_a_watch_is_restored_from_its_state(fit: TrainingRun) -> None:
    train(fit)
    close(fit, GOOD)
    train(fit)
    close(fit, EMPTY)
    tensors, facts = fit.selection.state()
    other = ModelSelection(fit.trainer, fit.prior, RATE, fit.fitted.model.gain, 3)
    other.restore(tensors, facts)
    again, told = other.state()
    assert same(again, tensors)
    assert told == facts
    assert (other.best_epoch, other.recoveries, other.best_cost) == (1, 1, fit.selection.best_cost)


# Scores on mode masks.


class Scripted:
    """A guide whose modes are given."""

    def __init__(self, modes: Tensor) -> None:
        self.mode = modes

    def posterior(self, batch: Batch) -> Scripted:
        assert batch.index is not None
        return Scripted(self.mode[batch.index, : batch.tokens.shape[1]] * batch.mask)

    def unit_values(self, value: Tensor) -> Tensor:
        return value

    def eval(self) -> None:
        pass


def test_dev_figures_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = prepare_run(small(max_words=256), tmp_path / "run")
    documents = fit.corpus.dev
    longest = max(len(document.tokens) for document in documents)
    assert longest > min(len(document.tokens) for document in documents)
    modes = torch.bernoulli(torch.full((len(documents), longest), 0.3))
    modes[0] = 0.0
    monkeypatch.setattr(fit.fitted, "guide", Scripted(modes))
    score = score_modes(fit.fitted, fit.dev, batch_size=5)
    error = kept = changes = words = empty = 0.0
    for document, mask in zip(documents, modes.tolist(), strict=True):
        mask = mask[: len(document.tokens)]
        codes = torch.tensor([fit.fitted.vocabulary.encode(document.tokens)])
        with torch.no_grad():
            value = fit.fitted.model.encoder(codes, torch.tensor([mask]), torch.tensor([len(mask)]))
        error += (float(value) - document.targets[0]) ** 2
        kept += sum(mask)
        words += len(mask)
        empty += not any(mask)
        changes += sum(a != b for a, b in pairwise(mask))
    n = len(documents)
    assert fit.corpus.spec.ranges == ((0.0, 1.0),)
    assert score.error == pytest.approx(error / n, rel=1e-5)
    assert score.rate == pytest.approx(kept / words)
    assert (score.words, score.changes, score.empty) == pytest.approx((kept / n, changes / n, empty / n))
    assert not math.isclose(score.error, 0.0)


def test_given_penalties_ask_for_no_share_of_words(tmp_path: Path) -> None:
    """Neither where they are at full strength by the end, nor where training ends before."""
    for anneal in (0, 90):
        fit, metrics = fit_small(tmp_path / str(anneal), lambda1=1e-3, lambda2=1e-3, anneal=anneal)
        assert not any("share of words" in failure or "asked for" in failure for failure in metrics.failures)
        assert "asked for" not in fit.ending
        assert fit.selection.best_epoch == 0 or anneal == 0


def test_after_a_restart_nothing_is_left_of_the_first_fit(tmp_path: Path) -> None:
    options = {"rate": 0.1, "span": 2.5, "anneal": 0, "warmup": 2, "patience": 3, "encoder_rate_factor": "auto"}
    fit: TrainingRun = prepare_run(small(**options), tmp_path / "run")
    trainer, batch = fit.trainer, next(iter(fit.trainer.batches.epoch(0)))
    trainer.train_step(batch)
    rates = [group["lr"] for group in trainer.optimizer.param_groups]
    trainer.kept = 0.12
    trainer.control.restore(trainer.control.state() | STEADY)  # as a resumed fit began
    closed = trainer.finish_epoch()
    fit.selection.on_epoch_end(record(epoch=closed.epoch, step=closed.step), GOOD, memorized=True)
    assert trainer.kept == 1.0
    assert trainer.control.state().items() >= STEADY.items()
    trainer.train_step(batch)
    assert [group["lr"] for group in trainer.optimizer.param_groups] == rates
