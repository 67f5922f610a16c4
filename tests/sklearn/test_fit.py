"""The estimators' parameters are the flags of a fit, their trainer is that of the commands, and they learn."""

from __future__ import annotations

import inspect
import pickle
import random
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from pyro_rationale.config import ModelOptions, TrainOptions
from pyro_rationale.data import TOKENIZERS, DataOptions
from pyro_rationale.evaluation.results import train
from pyro_rationale.sklearn import RationaleClassifier, RationaleRegressor
from pyro_rationale.sklearn.parameters import OMITTED, OWN, RENAMED
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.history import EpochRecord
from pyro_rationale.training.run import TrainingRun
from tests.support.tiny_estimators import LABELS, ONE, TEXTS, TINY, UNSEEN, tiny

# Ten steps reach nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("kind", [RationaleRegressor, RationaleClassifier])
def test_parameters_are_the_flags(kind: type[Any]) -> None:
    parameters = inspect.signature(kind).parameters
    flags = {item.name: item for options in (ModelOptions, TrainOptions) for item in fields(options)}
    expected = set(flags) - set(RENAMED) - set(OMITTED) | set(OWN)
    assert set(parameters) == expected
    assert {name: parameters[name].default for name in expected - set(OWN)} == {
        name: flags[name].default for name in expected - set(OWN)
    }
    assert parameters["random_state"].default == flags["seed"].default
    assert parameters["max_words"].default == DataOptions().max_words
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters.values())


def test_parameters_reach_the_fit() -> None:
    """Every parameter's value arrives in the configuration, whatever it is called there."""
    model = tiny(rate=0.2, span=3.0, tau=np.float64(0.5), samples=np.int64(1), random_state=5, dropout=0)
    config = model.fit(TEXTS, ONE).fitted_.config
    assert (config.model.rate, config.model.span, config.model.tau, config.model.dropout) == (0.2, 3.0, 0.5, 0.0)
    assert type(config.model.tau) is type(config.model.dropout) is float
    assert (config.train.samples, config.train.seed, config.data.max_words) == (1, 5, TINY["max_words"])
    assert type(config.train.samples) is int


def test_callbacks_are_told_of_the_fit_and_of_its_result() -> None:
    class Listener(Callback):
        def __init__(self) -> None:
            self.calls: list[str] = []

        def on_epoch_end(self, run: TrainingRun, record: EpochRecord) -> None:
            self.calls.append(f"epoch {record.epoch}")
            run.should_stop = record.epoch == 2

        def on_evaluated(self, run: TrainingRun, metrics: Mapping[str, Any]) -> None:
            self.calls.append(f"mse of {metrics['dev']['documents']}")
            assert metrics["dev"]["mse"] > 0

    listener = Listener()
    model = tiny(callbacks=[listener]).fit(TEXTS, ONE)
    assert (model.n_iter_, listener.calls) == (2, ["epoch 1", "epoch 2", "mse of 6"])
    with pytest.raises(ValueError, match="callbacks: expected a list of them, got Listener"):
        tiny(callbacks=listener).fit(TEXTS, ONE)


def test_class_weights_as_scikit_learn_has_them() -> None:
    by_label = {"good": 3, "bad": np.float64(0.5)}
    for given, flag in ((None, "none"), ({}, "none"), ("balanced", "balanced"), (by_label, "good=3,bad=0.5")):
        assert tiny(RationaleClassifier, class_weight=given)._config().train.class_weight == flag
    with pytest.raises(ValueError, match="class_weight: expected none, balanced"):
        tiny(RationaleClassifier, class_weight={"good": 0})._config()


def test_labels_given_to_the_regressor_are_for_the_classifier() -> None:
    with pytest.raises(ValueError, match=r"y holds '(good|bad)', .*; RationaleClassifier predicts labels"):
        tiny().fit(TEXTS, LABELS)


def test_a_text_of_weight_0_is_left_out_and_equal_weights_are_none() -> None:
    weights = np.full(60, 2.0)
    weights[[3, 17]] = 0.0
    one = tiny(RationaleClassifier).fit(TEXTS, LABELS, sample_weight=weights)
    kept = np.flatnonzero(weights)
    other = tiny(RationaleClassifier).fit([TEXTS[i] for i in kept], LABELS[kept])
    assert np.array_equal(one.predict_proba(UNSEEN, "mode"), other.predict_proba(UNSEEN, "mode"))
    weights[:30] = 5.0
    other = tiny(RationaleClassifier).fit(TEXTS, LABELS, sample_weight=weights)
    assert not np.array_equal(one.predict_proba(UNSEEN, "mode"), other.predict_proba(UNSEEN, "mode"))
    with pytest.raises(ValueError, match="1 texts have a weight above 0"):
        tiny().fit(TEXTS, ONE, sample_weight=[1.0] + [0.0] * 59)
    # The names that `explain` gives, too.
    with pytest.raises(ValueError, match=r"^text 2 has the weight 1e-60, and text 1 1, "):
        tiny().fit(TEXTS, ONE, sample_weight=[1.0, 1e-60] + [1.0] * 58)


def test_a_function_cuts_texts_into_words() -> None:
    TOKENIZERS["halves"] = lambda text: [text[: len(text) // 2], text[len(text) // 2 :]]
    try:
        model = tiny(tokenizer="halves", min_count=1).fit(TEXTS, ONE)
        assert model.explain(["ab cd"])[0].tokens == ("ab", " cd")
    finally:
        del TOKENIZERS["halves"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "^hidden: expected a number above 0, got 0$"),
        ({"hidden": 6.5}, "^hidden: expected a whole number, got 6.5$"),
        ({"hidden": True}, "^hidden: expected a whole number, got True$"),
        ({"rate": "much"}, "^rate: expected a number, got 'much'$"),
        ({"guide": "oracle"}, "^guide: expected one of independent, .*got 'oracle'$"),
        ({"encoder": "gru"}, "^encoder: expected one of lstm"),
        ({"learning_rate": -1.0}, "^learning_rate: expected a number above 0"),
        ({"freeze_vectors": True}, "^freeze_vectors needs vectors$"),
        ({"lambda1": 1e-3}, "^lambda1 and lambda2 set the prior together"),
        ({"vectors": "nowhere.txt"}, "nowhere.txt"),
        ({"max_words": 0}, "^max_words: expected at least 1, got 0$"),
        ({"tokenizer": "wrods"}, "^tokenizer: expected one of unicode, words, icu, got 'wrods'; did you mean words"),
        ({"tokenizer": "no_such_module:cut"}, "^tokenizer no_such_module:cut: cannot be imported"),
        ({"validation_fraction": 1.0}, "^validation_fraction: expected a share between 0 and 1"),
        ({"random_state": "x"}, "seed"),
        ({"random_state": -1}, "^seed: expected a whole number"),
        ({"target_range": (5, 1)}, "^target_range: expected a lowest rating below the highest, got 5 and 1$"),
        ({"target_range": (0.4, 0.6)}, "^target_range: y holds ratings outside of 0.4 to 0.6"),
        ({"target_range": 3}, "^target_range: expected two numbers, got 3$"),
        ({"task": "ordinal"}, "^y: 'y' has .* different ratings, not on at most 50 evenly spaced .*; task regression$"),
        ({"task": "binary"}, "^task: binary is for classes; leave it out of a regressor$"),
        ({"task": "rank"}, "^task: expected one of auto, regression, .*got 'rank'"),
        ({"min_count": 10**6}, "^empty vocabulary: no word occurs min_count=1000000 times"),
    ],
)
def test_bad_parameters_are_refused_by_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        tiny(**options).fit(TEXTS, ONE)
    assert "--" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_fit_is_that_of_the_commands(fitted: dict[str, Any], tmp_path: Path) -> None:
    model = fitted["one"]
    own = model.fitted_
    rows = [(float(y),) for y in ONE]
    corpus = model._split(model._documents(TEXTS, rows, own.config.data), own.spec, None, own.config)
    assert len(corpus.dev) == 6
    assert not {d.text for d in corpus.dev} & {d.text for d in corpus.train}
    fit, metrics = train(own.config, tmp_path / "run", corpus=corpus)
    assert metrics.test == {}
    for name, weight in fit.fitted._tensors().items():
        assert torch.equal(weight, own._tensors()[name]), name
    assert [record.dev_cost for record in fit.history] == [record.dev_cost for record in model.history_]


@pytest.mark.parametrize("name", ["one", "binary"])
def test_random_state_fixes_the_result(fitted: dict[str, Any], name: str) -> None:
    y = ONE if name == "one" else LABELS
    values = fitted[name]._values(TEXTS, "average")
    assert np.array_equal(clone(fitted[name]).fit(TEXTS, y)._values(TEXTS, "average"), values)
    other = clone(fitted[name]).set_params(random_state=np.random.RandomState(3)).fit(TEXTS, y)
    assert not np.allclose(other._values(TEXTS, "average"), values)


def test_the_caller_s_torch_is_left_alone() -> None:
    torch.manual_seed(8)
    expected = torch.rand(3)
    torch.manual_seed(8)
    torch.set_num_threads(2)
    try:
        model = tiny(threads=1).fit(TEXTS, ONE)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)  # two threads that wait for busy cores take minutes over nothing
    model.predict(TEXTS[:2])
    model.predict_interval(TEXTS[:2])
    pickle.loads(pickle.dumps(model))
    assert torch.equal(torch.rand(3), expected)
    assert float(torch.tensor(1e-40) * 1.0) > 0


def test_it_says_when_training_was_too_short() -> None:
    with pytest.warns(ConvergenceWarning, match="no epoch came down to the share of words asked for"):
        tiny().fit(TEXTS, ONE)


def test_it_says_when_predictions_are_worse_than_a_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyro_rationale.sklearn.base.worse_than_constant", lambda *_: "error 2 against 1")
    with pytest.warns(ConvergenceWarning, match=r"worse than a constant's \(error 2 against 1\)"):
        tiny().fit(TEXTS, ONE)


GOOD, BAD = ("superb", "lovely", "grand"), ("awful", "dreary", "vile")
FILLERS = "the a we had it was on that day near river and then some people came by with old bread for us".split()


def planted(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of fillers with one word that says everything."""
    chance = random.Random(seed)
    texts, labels = [], []
    for _ in range(count):
        words = chance.choices(FILLERS, k=chance.randint(8, 20))
        good = chance.random() < 0.5
        words[chance.randrange(len(words))] = chance.choice(GOOD if good else BAD)
        texts.append(" ".join(words))
        labels.append("up" if good else "down")
    return texts, labels


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_it_finds_the_rationale() -> None:
    options: dict[str, Any] = {"hidden": 16, "embedding": 16, "batch_size": 32, "rate": 0.1, "learning_rate": 0.01}
    options |= {"preset": "planted", "steps": 150, "anneal": 60, "threads": 1, "device": "cpu"}
    model = RationaleClassifier(**options).fit(*planted(300))
    texts, labels = planted(100, seed=1)
    assert model.score(texts, labels) > 0.95
    kept = [[e.text[a:b] for a, b in e.spans] for e in model.explain(texts, samples=10)]
    telling = [[word for word in text.split() if word in GOOD + BAD] for text in texts]
    assert np.mean([one == other for one, other in zip(kept, telling, strict=True)]) > 0.9
