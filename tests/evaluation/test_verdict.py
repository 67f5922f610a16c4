"""When a fit has failed: worse than a constant by more than chance, or never at the share of words asked for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.evaluation.evaluate import compute
from pyro_rationale.evaluation.metrics import MetricInputs
from pyro_rationale.evaluation.verdict import (
    Course,
    better_baseline,
    constant_evaluation,
    failures,
    little_explained,
    no_better_than_constant,
    risen_error,
    shared_words,
    worse_than_constant,
)
from pyro_rationale.training.history import EpochRecord
from tests.support.marked import document
from tests.support.tiny import SPECS

RATING = TargetSpec("regression", ("food",), ((0.0, 10.0),))


def with_targets(targets: Any) -> list[Any]:
    return [document("1", targets=tuple(np.atleast_1d(row).tolist())) for row in targets]


def told(spec: TargetSpec, train: Any, true: Any, values: Any) -> str:
    """The verdict on predictions of documents with these targets."""
    documents = with_targets(true)
    own = compute(MetricInputs(documents, spec, values=np.asarray(values, dtype=float)))
    return worse_than_constant(own.statistics, constant_evaluation(with_targets(train), documents, spec).statistics)


def test_what_a_constant_predicts_as_well_has_learnt_nothing() -> None:
    constant = {"constant": {"mse": 2.043, "accuracy": 0.5, "macro_f1": 0.33}}
    assert no_better_than_constant({"mse": 2.194}, constant) == "better (2.043 against 2.194)"
    assert no_better_than_constant({"mse": 2.194, "averaged_mse": 1.9}, constant) == ""
    assert no_better_than_constant({"accuracy": 0.5, "macro_f1": 0.4}, constant) == "as well (50.0 % against 50.0 %)"
    assert no_better_than_constant({"accuracy": 0.5, "macro_f1": 0.4}, constant, balanced=True) == ""
    assert no_better_than_constant({"mse": 2.05}, constant) == "as well (2.043 against 2.05)"
    assert no_better_than_constant({"accuracy": 0.2}, constant) == "better (50.0 % against 20.0 %)"
    assert no_better_than_constant({"mse": 2.194}, {}) == ""


@pytest.mark.parametrize(
    ("test", "constant", "told"),
    [
        ({"mse": 1.6, "averaged_mse": 1.5}, {"mse": 2.0}, "25 % of the squared error of a constant"),
        ({"mse": 1.2}, {"mse": 2.0}, ""),
        ({"mse": 2.1}, {"mse": 2.0}, ""),  # a constant predicts as well, which is said elsewhere
        ({"accuracy": 0.6}, {"accuracy": 0.5}, "20 % of the errors of a constant"),
        ({"accuracy": 0.9}, {"accuracy": 0.5}, ""),
        ({"accuracy": 1.0}, {"accuracy": 1.0}, ""),
        ({"map": 0.2, "corpus_map": 0.1}, {}, ""),
    ],
)
def test_a_model_that_explains_little_says_so(test: Any, constant: Any, told: str) -> None:
    assert little_explained(test, {"constant": constant} if constant else {}) == told


def test_targets_that_share_most_of_their_words_are_told() -> None:
    assert [shared_words(test)[:5] for test in ({}, {"shared": 0.32}, {"shared": 0.832})] == ["", "", "83 % "]


def test_the_constant_of_each_task() -> None:
    """Means and shares of the training targets, whatever the test targets are."""
    nan = math.nan
    two = constant_evaluation(with_targets([[0.2, 1.0], [0.4, nan]]), with_targets([[0.3, 0.0]]), SPECS["regression"])
    assert two.metrics["mse"] == pytest.approx(((0.3 - 0.3) ** 2 + 1.0) / 2)
    labels = constant_evaluation(with_targets([[1, 0], [1, 1], [0, nan]]), with_targets([[0, 1]]), SPECS["binary"])
    assert labels.metrics["log_loss"] == pytest.approx(-(math.log(1 / 3) + math.log(1 / 2)) / 2)
    classes = constant_evaluation(with_targets([[0], [2], [2]]), with_targets([[2], [0]]), SPECS["multiclass"])
    assert classes.metrics["accuracy"] == 0.5
    assert classes.metrics["log_loss"] == pytest.approx(-(math.log(2 / 3) + math.log(1 / 3)) / 2)


def test_ratings_worse_by_more_than_chance() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 10, 200)
    noise = rng.normal(size=(200, 1))
    assert told(RATING, true, true, true[:, None] + noise) == ""
    assert told(RATING, true, true, np.full((200, 1), true.mean()) + 0.01 * noise) == ""  # chance
    worse = told(RATING, true, true, 10 - true[:, None])
    assert worse == f"mean squared error {np.mean((10 - 2 * true) ** 2):.4g} against {true.var():.4g}"
    assert told(RATING, true, true[:9], 10 - true[:9, None]) == ""  # a few documents tell nothing
    assert told(RATING, true, [math.nan] * 3, np.zeros((3, 1))) == ""


def test_classes_worse_in_both_figures() -> None:
    """An overconfident model that is mostly right has not failed, nor one that is as often right as the constant."""
    spec = TargetSpec("binary", ("good",), classes=("no", "yes"))
    true = np.arange(300) % 3 > 0  # two thirds yes
    right = np.where(np.arange(300) % 5 > 0, true, ~true)[:, None]  # four of five right
    assert told(spec, true, true, right) == ""  # log loss of certain predictions that are wrong: worse
    assert told(spec, true, true, np.full((300, 1), 0.99)) == ""  # accuracy: the constant's
    worse = "accuracy 0.0 % against 66.7 %, log loss (nats) 16.12 against 0.6365"
    assert told(spec, true, true, ~true[:, None]) == worse


def test_the_sentences() -> None:
    assert failures(3, 0.13, 0.12, "") == ()
    assert failures(3, 0.13, 0.5, "") == ()  # another split is another matter
    [never] = failures(0, 0.13, 0.5, "")
    assert never.startswith("training never came down to the requested share of words (asked for 13.0 %, kept 50.0 %);")
    assert failures(0, 0.13, math.nan, "")[0].startswith("training never came down to the requested share of words; ")
    [worse] = failures(1, 0.13, 0.1, "accuracy 1.0 % against 50.0 %")
    assert worse.startswith("predictions are worse than a constant's (accuracy 1.0 % against 50.0 %); ")
    assert len(failures(0, 0.13, 0.5, "accuracy")) == 2


def test_far_less_than_the_requested_share_is_a_failure() -> None:
    """A share to be met may be missed by a half, one that is a bound undercut by a factor of ten."""
    assert failures(3, 0.15, 0.076, "", Course(meet=True)) == failures(3, 0.15, 0.016, "") == ()
    for kept, meet in ((0.07, True), (0.014, False)):
        [little] = failures(3, 0.15, kept, "", Course(meet))
        told = f"rationales keep {100 * kept:.2f} % of the words, far less than the 15.0 % asked for; "
        assert little.startswith(told)
    assert failures(3, math.nan, 0.0, "") == failures(3, 0.15, math.nan, "") == ()  # penalties, or no test texts


def test_a_share_of_few_texts_may_miss_by_its_sampling_error() -> None:
    """18.6 % of 29 texts, give or take 0.9 points, may be 18 %, a fifth over 15 %; of many texts it may not."""
    ended = Course(meet=True, ended=True)
    assert failures(0, 0.15, 0.186, "", ended, 0.009) == ()
    assert failures(0, 0.15, 0.179, "", ended) == ()
    for kept, error in ((0.186, 0.001), (0.199, 0.009), (0.186, math.nan), (0.3, 0.2), (math.nan, math.nan)):
        [never] = failures(0, 0.15, kept, "", ended, error)
        assert never.startswith("training never came down to the requested share of words")
    assert failures(0, 0.15, 0.15, "", Course(meet=True), 0.009)  # on its way, or collapsed: whatever modes keep
    assert "far less" in failures(0, 0.15, 0.01, "", ended, 0.004)[0]
    assert failures(3, 0.15, 0.07, "", Course(meet=True), 0.004) == ()
    assert failures(3, 0.15, 0.07, "", Course(meet=True), 0.002)
    assert failures(3, 0.15, 0.014, "", Course(), 0.014)  # nearly all masks are empty


LITTLE = {"never": (0, 0.5, ""), "empty": (3, 0.01, ""), "worse": (3, 0.15, "accuracy 1.0 % against 50.0 %")}


@pytest.mark.parametrize("way", LITTLE)
@pytest.mark.parametrize("rise", ["", "4.065 in epoch 14 to 4.589 in epoch 24"])
def test_steps_are_named_to_those_who_gave_some(way: str, rise: str) -> None:
    best, kept, worse = LITTLE[way]

    def advice(**course: Any) -> str:
        [failure] = failures(best, 0.15, kept, worse, Course(usual=500, rise=rise, **course))
        return failure

    assert "--steps" not in advice()
    assert "--steps" not in advice(preset="fast")
    few = "These were few steps: fit again with --steps 500 or more, or leave --steps out"
    assert advice(steps=40).endswith(few) == (way != "worse" or not rise)
    assert few not in advice(steps=900)
    assert ("more --steps" in advice(steps=900)) == (way != "worse")


def test_a_fit_that_overfits_is_told_what_helps() -> None:
    rise = "4.065 in epoch 14 to 4.589 in epoch 24"
    for course, ways in (
        (Course(usual=500, rise=rise), "more texts or a higher --rate"),
        (Course(usual=500, rise=rise, preset="fast"), "more texts, a higher --rate or --preset balanced"),
        (Course(steps=40, usual=500, rise=rise), "more texts, fewer --steps or a higher --rate"),
    ):
        [worse] = failures(3, 0.15, 0.15, "accuracy 1.0 % against 50.0 %", course)
        known = f"Dev error rose from {rise}: the fit overfits its training texts. Give it {ways}"
        assert worse.endswith(f"do not use this model. {known}")


@pytest.mark.parametrize(
    ("errors", "annealed", "told"),
    [
        ([0.2, 1.0, 1.2, 1.1], 2, "1 in epoch 2 to 1.1 in epoch 4"),
        ([0.2, 1.0, 1.2, 1.04], 2, ""),  # no more than chance
        ([0.2, 1.0, 1.0], 2, ""),  # it rose as words were dropped
        ([0.2, 1.0, 1.0], None, ""),
        ([math.nan, math.nan], 1, ""),
    ],
)
def test_a_rise_of_dev_error_at_the_same_share_of_words(errors: Any, annealed: Any, told: str) -> None:
    history = [EpochRecord(i, i, 1.0, 0.1, 0.1, 0.0, 0.5, error) for i, error in enumerate(errors, 1)]
    assert risen_error(history, annealed) == told


@pytest.mark.parametrize(
    ("test", "rows", "told"),
    [
        ({"mse": 1.6}, {"constant": {"mse": 2.1}, "tfidf": {"mse": 1.0}, "full-text": {"mse": 1.2}},
         ("tfidf", "squared error 1 against 1.6")),
        ({"mse": 1.6, "averaged_mse": 1.01}, {"tfidf": {"mse": 1.0}}, None),  # what it predicts is the average
        ({"mse": 0.9}, {"tfidf": {"mse": 1.0}}, None),
        ({"accuracy": 0.8}, {"constant": {"accuracy": 0.5}, "tfidf": {"accuracy": 0.9}},
         ("tfidf", "accuracy 90.0 % against 80.0 %")),
        ({"accuracy": 0.89}, {"tfidf": {"accuracy": 0.9}}, None),
        ({"mse": 1.6}, {}, None),
        ({}, {"constant": {"mse": 2.1}}, None),
        ({"map": 0.2, "corpus_map": 0.1}, {"bm25": {"map": 0.1, "corpus_map": 0.2}},
         ("bm25", "MAP among all texts 0.200 against 0.100")),
        ({"map": 0.2}, {"bm25": {"map": 0.3}}, None),  # of lists that hold what BM25 finds nearest
    ],
)  # fmt: skip
def test_a_baseline_that_predicts_clearly_better_is_named(test: Any, rows: Any, told: Any) -> None:
    assert better_baseline(test, rows) == told
