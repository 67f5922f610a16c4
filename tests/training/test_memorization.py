"""A fit that has memorised its training texts is recognised and restarted."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pyro_rationale.data import load_corpus
from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.data.document import make_document
from pyro_rationale.evaluation.results import train
from pyro_rationale.training.memorization import MEMORIZED_SHARE, MemorizationCheck, constant_error
from pyro_rationale.training.model_selection import RESTARTS, ModelSelection
from pyro_rationale.training.prepare import prepare_run
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.validation import DevScore
from tests.support.small_fit import Break, differences, fit_small, small

NAN = math.nan
RATINGS = TargetSpec("regression", ("a", "b"), ((0.0, 2.0), (0.0, 1.0)))
LABELS = TargetSpec("binary", ("a", "b"), (), ("no", "yes"))
CLASSES = TargetSpec("multiclass", ("kind",), (), ("x", "y", "z"))


def documents(*rows: tuple[float, ...]) -> list[Document]:
    return [make_document(str(i), "word " * (1 + i), row, 9) for i, row in enumerate(rows)]


def coin(share: float) -> float:
    return -share * math.log(share) - (1 - share) * math.log(1 - share)


def test_the_best_constant_for_ratings() -> None:
    """On the [0, 1] scale, summed over targets; what is not rated costs nothing."""
    found = constant_error(documents((0.0, 0.5), (2.0, NAN), (1.0, 1.0), (1.0, NAN)), RATINGS)
    assert found == pytest.approx((2 * 0.25 + 2 * 0.0625) / 4)


def test_the_best_constant_for_labels() -> None:
    found = constant_error(documents((1.0, 1.0), (0.0, NAN), (0.0, 1.0), (0.0, 1.0)), LABELS)
    assert found == pytest.approx(coin(0.25))


def test_the_best_constant_for_classes() -> None:
    found = constant_error(documents((0.0,), (2.0,), (2.0,), (0.0,)), CLASSES)
    assert found == pytest.approx(math.log(2.0))


@pytest.mark.parametrize(
    ("dev", "known", "verdict"),
    [
        *((0.5, 0.1, False), (1.1, MEMORIZED_SHARE + 0.01, False), (1.1, MEMORIZED_SHARE - 0.01, True)),
        *((NAN, 0.1, False), (1.0, 0.1, False)),
    ],
)
def test_what_counts_as_known_by_heart(
    monkeypatch: pytest.MonkeyPatch, fit: TrainingRun, dev: float, known: float, verdict: bool
) -> None:
    asked = MemorizationCheck(fit.dev, constant=1.0, rate=0.1)
    monkeypatch.setattr("pyro_rationale.training.memorization.score_modes", lambda *_, **__: score(known))
    assert asked.predicts_training_only(fit.fitted, score(dev)) is verdict
    assert [asked.memorized(fit.fitted, score(dev)) for _ in range(3)] == [False, verdict, verdict]


@pytest.mark.parametrize(("dev_rate", "train_rate"), [(0.02, 0.02), (0.1, 0.3), (0.1, 0.04)])
def test_masks_without_words_or_of_other_sizes_prove_nothing(
    monkeypatch: pytest.MonkeyPatch, fit: TrainingRun, dev_rate: float, train_rate: float
) -> None:
    asked = MemorizationCheck(fit.dev, constant=1.0, rate=0.1)
    monkeypatch.setattr("pyro_rationale.training.memorization.score_modes", lambda *_, **__: score(0.1, train_rate))
    assert not asked.predicts_training_only(fit.fitted, score(1.5, dev_rate))


def test_one_epoch_is_no_trend(monkeypatch: pytest.MonkeyPatch, fit: TrainingRun) -> None:
    asked = MemorizationCheck(fit.dev, constant=1.0, rate=0.1)
    monkeypatch.setattr("pyro_rationale.training.memorization.score_modes", lambda *_, **__: score(0.1))
    assert [asked.memorized(fit.fitted, score(dev)) for dev in (1.5, 0.5, 1.5, 1.5)] == [False, False, False, True]


def test_the_sample_of_a_sorted_file_is_drawn_from_all_of_it(tmp_path: Path) -> None:
    config = small(documents=300)
    corpus = load_corpus(config.data)
    ordered = replace(corpus, train=sorted(corpus.train, key=lambda document: document.targets))
    run = prepare_run(config, tmp_path / "sorted", corpus=ordered)
    sample = torch.cat([batch.targets[:, 0] for batch in run.memorization.train_sample.ordered()])  # type: ignore[index]
    known = torch.tensor([document.targets[0] for document in ordered.train])
    assert len(sample) < 0.5 * len(known)
    assert abs(float(sample.mean() - known.mean())) < 0.5 * float(known.std())
    assert float(known[: len(sample)].mean()) < float(sample.mean()) - 0.5 * float(known.std())


def score(error: float, rate: float = 0.1) -> DevScore:
    return DevScore(error, rate, 0.0, 4.0, 2.0)


@pytest.fixture
def fit(tmp_path: Path) -> TrainingRun:
    return prepare_run(small(steps=12), tmp_path / "run")


def epoch(fit: TrainingRun, memorized: bool = False) -> str:
    list(fit.trainer.run_epoch())
    return fit.selection.on_epoch_end(fit.trainer.finish_epoch(), score(0.05), memorized).event


def weights(fit: TrainingRun) -> Tensor:
    return torch.cat([value.flatten().double() for value in fit.trainer.weights().values()])


def test_it_starts_over_with_other_weights_and_all_steps(fit: TrainingRun) -> None:
    untrained = weights(fit)
    assert epoch(fit) == ""
    assert fit.epochs == 4
    assert epoch(fit, memorized=True) == "memorised the training set: restarted from a new initialisation"
    trainer = fit.trainer
    assert not trainer.optimizer.state
    assert (trainer.epoch, trainer.step, trainer.start_step) == (2, 6, 6)
    assert fit.epochs == 6
    assert trainer.control.schedule.warmup == 6
    assert not trainer.control.schedule.finished(9)
    assert trainer.control.target(6) == pytest.approx(0.75)
    assert fit.selection.good is None
    assert not fit.selection.best
    assert fit.selection.best_epoch == 0  # what no later epoch reaches has not been reached
    difference = (weights(fit) - untrained).abs()
    assert difference.max() > 0.1  # of a random start, not of a few steps
    assert weights(fit).norm() == pytest.approx(float(untrained.norm()), rel=0.2)


def test_others_each_time_and_no_more_than_allowed(fit: TrainingRun) -> None:
    seen = []
    for _ in range(RESTARTS):
        assert "restarted" in epoch(fit, memorized=True)
        seen.append(weights(fit))
    assert not torch.equal(seen[0], seen[1])
    assert "restarted" not in epoch(fit, memorized=True)
    assert fit.selection.restarts == RESTARTS


def test_a_quick_fit_starts_again_once(tmp_path: Path) -> None:
    quick = prepare_run(small(steps=12, preset="fast"), tmp_path / "fast")
    assert "restarted" in epoch(quick, memorized=True)
    assert "restarted" not in epoch(quick, memorized=True)
    assert quick.selection.restarts == 1


def test_a_watch_that_cannot_make_weights_leaves_them(fit: TrainingRun) -> None:
    fit.selection = ModelSelection(fit.trainer, fit.prior, 0.13, 1.0, 3)
    assert "restarted" not in epoch(fit, memorized=True)


class Once:
    """Says yes after the second epoch, whatever is read."""

    streak = 0

    def __init__(self) -> None:
        self.asked = 0

    def memorized(self, *_: object) -> bool:
        self.asked += 1
        return self.asked == 2


def skewed(fit: TrainingRun) -> None:
    fit.memorization = Once()  # type: ignore[assignment]


def test_a_fit_goes_on_to_the_end_of_its_second_start(tmp_path: Path) -> None:
    fit, metrics = train(small(), tmp_path / "run", start=skewed)
    assert [bool("restarted" in record.event) for record in fit.history] == [False, True, False, False, False]
    assert (metrics.restarts, metrics.recoveries) == (1, fit.selection.recoveries)
    assert fit.trainer.step == 15


def test_and_is_the_same_if_it_was_interrupted_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemorizationCheck, "memorized", lambda self, fitted, dev, group: dev_epochs() == 2)
    count = {"epochs": 0}

    def dev_epochs() -> int:
        count["epochs"] += 1
        return count["epochs"]

    fit_small(tmp_path / "whole")
    count["epochs"] = 0
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path / "cut", progress=Break(steps=8))
    fit_small(tmp_path / "cut", resume=True)
    assert differences(tmp_path / "whole", tmp_path / "cut") == []
