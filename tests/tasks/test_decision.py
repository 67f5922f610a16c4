"""The rule that names classes: on tables small enough to be searched, and on classes whose best threshold is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pyro_rationale.config import Config
from pyro_rationale.errors import ConfigError
from pyro_rationale.tasks import Decision, Numbers, TargetSpec, task_of
from pyro_rationale.tasks._calibration import Calibration
from pyro_rationale.tasks._decision import FEWEST, fit_decision, macro_f1, named_classes, rule_lines

BINARY = TargetSpec("binary", ("kind",), classes=("ham", "spam"))
THREE = TargetSpec("multiclass", ("tone",), classes=("low", "mid", "high"))


def rule(*offsets: tuple[float, ...]) -> Decision:
    count = len(offsets)
    return Decision(offsets, (100,) * count, (0.75,) * count, (0.5,) * count)


def mails(count: int, share: float = 0.05, distance: float = 2.33, seed: int = 0) -> tuple[Numbers, Numbers]:
    """Probabilities `(N, 1, 2)` of a fit in which both classes count alike, and true classes `(N, 1)`."""
    random = np.random.default_rng(seed)
    spam = random.random(count) < share
    logit = distance * (random.normal(size=count) + distance * spam) - distance**2 / 2
    chance = 1.0 / (1.0 + np.exp(-logit))
    return np.stack([1.0 - chance, chance], axis=-1)[:, None], spam[:, None].astype(float)


def figure(true: Any, named: Any, classes: int) -> float:
    """Macro-F1 in the plainest code there is."""
    scores = []
    for label in range(classes):
        t, n = np.asarray(true) == label, np.asarray(named) == label
        hits, either = int((t & n).sum()), int(t.sum()) + int(n.sum())
        if either:
            scores.append(2 * hits / either)
    return sum(scores) / len(scores)


def test_of_two_classes_it_is_a_threshold() -> None:
    chances = np.linspace(0.0, 1.0, 1001)
    both = np.stack([1 - chances, chances], -1)[:, None]
    for offset in (-3.0, -0.25, 0.0, 1.75):
        decision = rule((0.0, offset))
        least = 1.0 / (1.0 + math.exp(offset))
        assert decision.thresholds.tolist() == [least]
        named = named_classes(both, decision)[:, 0]
        assert named.tolist() == (chances >= least).astype(int).tolist()
        with np.errstate(divide="ignore"):
            scores = np.log(both[:, 0]) + np.array([0.0, offset])
        sure = np.abs(scores[:, 0] - scores[:, 1]) > 1e-9
        assert (named == scores.argmax(1))[sure].all()
        assert task_of(BINARY, decision).decisions(chances[:, None])[:, 0].tolist() == named.tolist()
    assert named_classes(both, None).tolist() == named_classes(both, rule((0.0, 0.0))).tolist()


def test_of_more_classes_numbers_are_added_to_log_probabilities() -> None:
    random = np.random.default_rng(0)
    chances = random.dirichlet(np.ones(3), 200)
    offsets = (0.0, -1.0, 2.0)
    task = task_of(THREE, rule(offsets))
    assert task.decisions(chances)[:, 0].tolist() == (np.log(chances) + offsets).argmax(1).tolist()
    assert task_of(THREE).decisions(chances)[:, 0].tolist() == chances.argmax(1).tolist()
    assert task.decisions(np.array([[1.0, 0.0, 0.0]])).tolist() == [[0]]


@pytest.mark.parametrize("classes", [2, 4])
def test_the_figure_is_macro_f1(classes: int) -> None:
    random = np.random.default_rng(classes)
    for _ in range(20):
        true, named = random.integers(0, classes, (2, 7))
        marks = [labels[:, None] == np.arange(classes) for labels in (named, true)]
        sums = [table.sum(0) for table in (marks[0] & marks[1], *marks)]
        assert float(macro_f1(*sums)) == pytest.approx(figure(true, named, classes))


def test_a_threshold_by_hand() -> None:
    """Half of those at 0.8 and all at 0.95 are spam, one in ten at 0.6: of the three places, above 0.6 is the best."""
    groups = ((0.1, 300, 0), (0.6, 100, 10), (0.8, 40, 20), (0.95, 20, 20))
    chances = np.repeat([chance for chance, _, _ in groups], [count for _, count, _ in groups])
    spam = np.concatenate([np.arange(count) < own for _, count, own in groups]).astype(float)
    places = {least: figure(spam, chances >= least, 2) for least in (0.5, 0.7, 0.9)}
    assert max(places, key=lambda least: places[least]) == 0.7
    decision = fit_decision(np.stack([1 - chances, chances], -1)[:, None], spam[:, None])
    assert 0.6 < decision.thresholds[0] <= 0.8
    assert decision.texts == (460,)
    assert decision.probable_f1[0] == pytest.approx(places[0.5])
    assert decision.macro_f1[0] == pytest.approx(places[0.7])  # every fold finds it


def test_new_texts_gain_nearly_as_much_as_they_could() -> None:
    """AUC is 0.95 and one text in twenty is spam: 0.68 at 1/2, and 0.80 at the best threshold."""
    new, truth = mails(20_000, seed=1)
    decision = fit_decision(*mails(1000))
    named = named_classes(new, decision)[:, 0]
    plain, own = (figure(truth[:, 0], labels, 2) for labels in (named_classes(new, None)[:, 0], named))
    best = max(figure(truth[:, 0], new[:, 0, 1] >= least, 2) for least in np.linspace(0.8, 0.98, 19))
    assert plain == pytest.approx(0.68, abs=0.015)
    assert own > best - 0.02 > plain + 0.08
    assert decision.macro_f1[0] == pytest.approx(own, abs=0.06)  # of a thousand texts, not of those it was chosen by


def test_rare_classes_of_several_are_named_less_often() -> None:
    random = np.random.default_rng(3)
    shares, near = np.array([0.8, 0.1, 0.1]), np.eye(3) * 2.0

    def texts(count: int) -> tuple[Numbers, Numbers]:
        true = random.choice(3, count, p=shares)
        scores = 2.0 * (random.normal(size=(count, 3)) + near[true])
        chances = np.exp(scores - scores.max(1, keepdims=True))
        return (chances / chances.sum(1, keepdims=True))[:, None], true[:, None].astype(float)

    decision, (new, truth) = fit_decision(*texts(600)), texts(5000)
    first, *rare = decision.offsets[0]
    assert all(offset < first for offset in rare)
    own, plain = (figure(truth[:, 0], named_classes(new, one)[:, 0], 3) for one in (decision, None))
    assert own > plain + 0.03


@pytest.mark.parametrize(
    ("count", "share"), [(FEWEST - 1, 1.0), (0, 0.0)], ids=["fewer than ten of a class", "one class only"]
)
def test_few_texts_keep_the_most_probable_class(count: int, share: float) -> None:
    probabilities, targets = mails(2000)
    spam = np.flatnonzero(targets[:, 0])
    kept = np.concatenate([np.flatnonzero(targets[:, 0] == 0), spam[:count]])
    decision = fit_decision(probabilities[kept], targets[kept])
    assert decision.offsets == ((0.0, 0.0),)
    assert decision.macro_f1 == decision.probable_f1
    assert decision.texts == (len(kept),)


def test_what_may_be_chance_changes_nothing() -> None:
    """Where both classes have as many texts, hardly a sample of a hundred moves the threshold, and none does so far."""
    moved = [fit_decision(*mails(100, share=0.5, distance=2.0, seed=seed)).thresholds[0] for seed in range(20)]
    assert sum(least != 0.5 for least in moved) <= 4
    assert fit_decision(*mails(1000, share=0.5, distance=2.0)).offsets == ((0.0, 0.0),)
    random = np.random.default_rng(0)
    noise = random.dirichlet(np.ones(2), 200)[:, None]
    assert fit_decision(noise, random.integers(0, 2, (200, 1)).astype(float)).offsets == ((0.0, 0.0),)


def test_each_target_has_a_rule_by_its_own_texts() -> None:
    probabilities, targets = mails(1000)
    even, labels = mails(1000, share=0.5, distance=2.0, seed=5)
    unknown = targets.copy()
    unknown[::2] = np.nan
    both = fit_decision(np.hstack([probabilities, even]), np.hstack([unknown, labels]))
    assert both.texts == (500, 1000)
    assert both.offsets[0] == fit_decision(probabilities[1::2], targets[1::2]).offsets[0]
    assert both.offsets[1] == (0.0, 0.0)
    spec = TargetSpec("binary", ("kind", "tone"), classes=("no", "yes"))
    [one, other] = rule_lines(both.record(spec.names, spec.classes))
    assert one.startswith("kind is called yes from a probability of 0.")
    assert other.startswith("tone is called by the most probable class: on 1,000 development texts")
    named = task_of(spec, both).decisions(np.full((1, 2), 0.6))
    assert named.tolist() == [[0, 1]]


def test_in_words() -> None:
    def line(spec: TargetSpec, decision: Decision) -> str:
        [only] = rule_lines(decision.record(spec.names, spec.classes))
        return only.partition(" (")[0]

    assert line(BINARY, rule((0.0, -2.0))) == "a text is called spam from a probability of 0.881 on, else ham"
    assert line(BINARY, rule((0.0, 2.0))) == "a text is called ham from a probability of 0.881 on, else spam"
    several = line(THREE, rule((0.0, -1.0, 0.5)))
    assert several == "a text is called the greatest probability, times 0.368 for mid, 1.65 for high"
    [whole] = rule_lines(rule((0.0, -2.0)).record(BINARY.names, BINARY.classes))
    assert whole.endswith("(macro F1 0.750 on 100 development texts, against 0.500 of the most probable)")


def test_all_that_a_task_says_follows_it() -> None:
    task = task_of(BINARY, rule((0.0, -2.0)))  # from 0.88 on
    point = task.point((0.7,))["kind"]
    assert point["label"] == "ham"
    assert point["probabilities"] == pytest.approx({"ham": 0.3, "spam": 0.7})
    assert task.point((0.9,))["kind"]["label"] == "spam"
    assert task.short((0.7,)) == ["kind: ham 30.0 %"]
    [line] = task.lines((0.7,), (0.9,), None, 0.9, ((1,),))
    assert line == "kind: ham 30.0 %  (90 % set spam; from these words alone spam 90.0 %)"
    assert task.effect_units((0.7,)) == ["log odds of ham"]
    low, high = task.effects(np.array([[0.7], [0.2]]), np.array([[0.7], [0.7]]))[:, 0]
    assert low < 0.0 < high
    assert task.drop(np.array([[0.7]]), np.array([[0.2]])) == pytest.approx(-0.5)
    values, targets = np.array([[0.7], [0.9], [0.1]]), np.array([[0.0], [1.0], [1.0]])
    assert task.errors(values, targets)["accuracy"][:, 0].tolist() == [True, True, False]
    plain = task_of(BINARY).errors(values, targets)
    assert plain["accuracy"][:, 0].tolist() == [False, True, False]
    assert task.errors(values, targets)["log_loss"].tolist() == plain["log_loss"].tolist()
    assert task_of(BINARY).decision is None  # which is another object


def test_it_is_stored_with_the_calibration() -> None:
    decision = fit_decision(*mails(1000))
    made = Calibration(((0.5,),), temperature=2.0, decision=decision)
    assert Calibration.from_dict(made.to_dict(), 1) == made
    older = Calibration(((0.5,),)).to_dict()
    assert "decision" not in older
    assert Calibration.from_dict(older, 1).decision is None


@pytest.mark.parametrize(
    "changed",
    [
        {"offsets": []}, {"offsets": [[0.0]]}, {"offsets": [[0.0, math.nan]]}, {"offsets": [[0.0, "x"]]},
        {"offsets": None}, {"texts": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_rule_is_refused(changed: dict[str, Any]) -> None:
    values = Calibration(((0.5,),), decision=rule((0.0, -1.0))).to_dict()
    values["decision"] |= changed
    with pytest.raises((ValueError, TypeError)):
        Calibration.from_dict(values, 1)


def test_when_it_is_asked_for() -> None:
    assert not Config().train.decides_by_f1
    assert Config().changed(class_weight="balanced").train.decides_by_f1
    assert not Config().changed(class_weight="balanced", decide="probable").train.decides_by_f1
    assert Config().changed(decide="macro-f1").train.decides_by_f1
    ratings = task_of(TargetSpec("regression", ("taste",), ((0.0, 5.0),)))
    with pytest.raises(ConfigError, match="--decide macro-f1: taste has no classes to decide between; leave it out"):
        ratings.check_decide("macro-f1")
    ratings.check_decide("auto")
    task_of(BINARY).check_decide("macro-f1")
    assert ratings.fit_decision(np.ones((2, 1)), np.ones((2, 1))) is None
