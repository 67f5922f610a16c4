"""The face for scikit-learn: its own checks, the same trainer underneath, bad input, and that it learns."""

from __future__ import annotations

import importlib
import inspect
import pickle
import random
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_rationale.optional import install_command

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError, SkipTestWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from pyro_rationale.config import ModelOptions, TrainOptions
from pyro_rationale.data import TOKENIZERS, DataOptions
from pyro_rationale.data.corpora.synthetic import load_synthetic
from pyro_rationale.data.document import make_document
from pyro_rationale.evaluation.results import train
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.decoding import decode_all
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.sklearn import OMITTED, OWN, RENAMED, RationaleClassifier, RationaleRegressor
from pyro_rationale.tasks import TargetSpec
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.history import EpochRecord
from pyro_rationale.training.run import TrainingRun
from tests.support.number_texts import NumberClassifier, NumberRegressor

TINY: dict[str, Any] = {
    **{"hidden": 6, "embedding": 6, "steps": 10, "anneal": 4, "batch_size": 16, "max_words": 50},
    **{"threads": 1, "device": "cpu", "preset": "planted"},
}
DOCUMENTS = load_synthetic(DataOptions(documents=60, aspect="all")).train
TEXTS = [document.text for document in DOCUMENTS]
RATINGS = np.array([document.targets for document in DOCUMENTS])
ONE = RATINGS[:, 0]
LABELS = np.where(np.median(ONE) < ONE, "good", "bad")
UNSEEN = ["A lovely head <b>& a dull</b> taste!", "", "zzz \u202e qqq"]

# Ten steps reach nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def tiny(kind: type[Any] = RationaleRegressor, **options: Any) -> Any:
    """An estimator whose fit takes a fraction of a second."""
    return kind(**{**TINY, **options})


@pytest.fixture(scope="module", autouse=True)
def fitted() -> dict[str, Any]:
    """One of each, to be read only."""
    some = RATINGS[:, :2].copy()
    some[::3, 1] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {
            "one": tiny().fit(TEXTS, ONE),
            "two": tiny().fit(TEXTS, some),
            "binary": tiny(RationaleClassifier).fit(TEXTS, LABELS),
            "three": tiny(RationaleClassifier, guide="chain").fit(TEXTS, np.digitize(ONE, [0.4, 0.6]) - 1),
        }


# scikit-learn's own checks: on texts it has one; on numbers written as texts, all.


def each_check() -> pytest.MarkDecorator:
    """All checks of a regressor and of a classifier; those of the classifier that both have are slow."""
    options: dict[str, Any] = {"hidden": 2, "embedding": 2, "steps": 2, "anneal": 1, "min_count": 1}
    fails = {
        "check_sample_weight_equivalence_on_dense_data": "with the row twice batches are others: the objective is the "
        "row's twice (tests/inference/test_weights.py), the steps are not"
    }
    mark = parametrize_with_checks(
        [kind(**options, threads=1, device="cpu") for kind in (NumberRegressor, NumberClassifier)],
        expected_failed_checks=lambda _: fails,
    ).mark
    name_of, known, cases = mark.kwargs["ids"], set(), []
    for case in mark.args[1]:
        marks, (estimator, check) = getattr(case, "marks", ()), getattr(case, "values", case)
        common = name_of(check) in known
        cases.append(pytest.param(estimator, check, marks=[*marks, *[pytest.mark.slow] * common]))
        known.add(name_of(check))
    return pytest.mark.parametrize(("estimator", "check"), cases, ids=name_of)


@pytest.mark.filterwarnings("ignore")
@each_check()
def test_checks_of_scikit_learn(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.parametrize("kind", [RationaleRegressor, RationaleClassifier])
def test_its_checks_say_that_they_cannot_make_texts(kind: type[Any]) -> None:
    with pytest.warns(SkipTestWarning, match="Can't test estimator"):
        check_estimator(kind())


# Parameters.


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


# The same trainer.


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
    monkeypatch.setattr("pyro_rationale.sklearn.worse_than_constant", lambda *_: "error 2 against 1")
    with pytest.warns(ConvergenceWarning, match=r"worse than a constant's \(error 2 against 1\)"):
        tiny().fit(TEXTS, ONE)


# Predictions.


@pytest.mark.parametrize(("name", "shape"), [("one", ()), ("two", (2,))])
def test_numbers_and_their_intervals(fitted: dict[str, Any], name: str, shape: tuple[int, ...]) -> None:
    model = fitted[name]
    texts = TEXTS[:5] + UNSEEN
    predicted = model.predict(texts)
    assert predicted.shape == (8, *shape)
    narrow, wide = (model.predict_interval(texts, level=level, samples=20) for level in (0.5, 0.9))
    assert narrow.shape == wide.shape == (8, *shape, 2)
    assert (wide[..., 0] <= narrow[..., 0]).all()
    assert (narrow[..., 0] < narrow[..., 1]).all()
    assert (narrow[..., 1] <= wide[..., 1]).all()
    assert (wide >= RATINGS[:, :2].min()).all()
    assert (wide <= RATINGS[:, :2].max()).all()
    assert np.array_equal(model.predict_interval(texts[3:4], 0.9, 20)[0], wide[3])


def test_a_column_of_ratings_stays_a_column(fitted: dict[str, Any]) -> None:
    model = tiny().fit(TEXTS, ONE[:, None])
    assert np.array_equal(model.predict(TEXTS)[:, 0], fitted["one"].predict(TEXTS))
    assert model.predict_interval(TEXTS[:2]).shape == (2, 1, 2)
    assert model.explain(TEXTS[:1])[0].prediction == pytest.approx((float(model.predict(TEXTS[:1])[0, 0]),))


def test_units_are_the_users(fitted: dict[str, Any]) -> None:
    """A fit in other units: ratings in per cent, and above zero."""
    model = tiny().fit(TEXTS, 100 * ONE + 7)
    assert model.predict(TEXTS) == pytest.approx(100 * fitted["one"].predict(TEXTS) + 7, rel=1e-4)


def test_ratings_of_few_levels() -> None:
    """Stars are levels unless `task` says otherwise; predictions are expected stars, and a rounded one is none more."""
    stars = 1.0 + np.digitize(RATINGS[:, :2], [0.3, 0.5, 0.7])
    stars[:, 1] = np.minimum(stars[:, 1], 3)
    model = pickle.loads(pickle.dumps(clone(tiny()).fit(TEXTS, stars)))
    assert model.fitted_.spec == TargetSpec("ordinal", model.fitted_.spec.names, ((1, 4), (1, 3)), levels=(4, 3))
    predicted, chances = model.predict(TEXTS[:4]), model.predict_levels(TEXTS[:4], samples=20)
    assert predicted.shape == (4, 2)
    assert ((predicted > 1) & (predicted < [4, 3])).all()
    assert chances.shape == (4, 2, 4)
    assert np.allclose(chances.sum(-1), 1)
    assert (chances[:, 1, 3] == 0).all()
    explained = model.explain(TEXTS[:1], samples=20)[0]
    assert all(end == int(end) for ends in explained.interval for end in ends)
    plain = tiny(task="regression").fit(TEXTS, stars[:, 0])
    assert plain.fitted_.spec.kind == "regression"
    with pytest.raises(ValueError, match="fitted with Normal noise"):
        plain.predict_levels(TEXTS[:1])


def test_intervals_end_where_the_scale_does() -> None:
    scale = tiny(target_range=(-50.0, 50.0)).fit(TEXTS, ONE)
    assert scale.fitted_.spec.ranges == ((-50.0, 50.0),)


def test_predictions_stay_on_the_scale_as_explanations_do(fitted: dict[str, Any]) -> None:
    model = pickle.loads(pickle.dumps(fitted["two"]))
    with torch.no_grad():
        model.fitted_.model.encoder.output.bias += torch.tensor([2.0, -2.0])
    documents = [make_document("a", text, (), 256) for text in TEXTS[:9]]
    raw = decode_all(model.fitted_, documents, DecodeOptions())[1]
    (low, high), (lowest, highest) = model.fitted_.spec.ranges
    assert (raw[:, 0] > high).all()
    assert (raw[:, 1] < lowest).all()
    ends = np.tile([high, lowest], (9, 1))
    assert np.array_equal(model.predict(TEXTS[:9]), ends)
    assert np.array_equal([explanation.prediction for explanation in model.explain(TEXTS[:9], samples=5)], ends)
    intervals = model.predict_interval(TEXTS[:9], samples=5)
    assert ((low <= intervals[:, 0]) & (intervals[:, 0] <= high)).all()
    assert ((lowest <= intervals[:, 1]) & (intervals[:, 1] <= highest)).all()


def test_score_is_r_squared_over_what_is_rated(fitted: dict[str, Any]) -> None:
    one, two = fitted["one"], fitted["two"]
    assert one.score(TEXTS, ONE) == pytest.approx(r2_score(ONE, one.predict(TEXTS)))
    weights = np.arange(60) % 4 + 1.0
    weighted = r2_score(ONE, one.predict(TEXTS), sample_weight=weights)
    assert one.score(TEXTS, ONE, sample_weight=weights) == pytest.approx(weighted)
    y, rated = RATINGS[:, :2].copy(), np.arange(60) % 3 > 0
    y[~rated, 1] = np.nan
    predicted = two.predict(TEXTS)
    by_hand = (r2_score(y[:, 0], predicted[:, 0]) + r2_score(y[rated, 1], predicted[rated, 1])) / 2
    assert two.score(TEXTS, y) == pytest.approx(by_hand)
    with pytest.raises(ValueError, match="shape"):
        two.score(TEXTS, ONE)


@pytest.mark.parametrize("name", ["binary", "three"])
def test_probabilities_of_classes(fitted: dict[str, Any], name: str) -> None:
    model = fitted[name]
    probabilities = model.predict_proba(TEXTS + UNSEEN)
    assert probabilities.shape == (63, len(model.classes_))
    assert probabilities.sum(1) == pytest.approx(1)
    assert (probabilities > 0).all()
    assert np.array_equal(model.predict(TEXTS + UNSEEN), model.classes_[probabilities.argmax(1)])
    assert not hasattr(model, "predict_interval")


@pytest.mark.parametrize("name", ["one", "two", "three"])
def test_predictions_from_the_rationale_alone(fitted: dict[str, Any], name: str) -> None:
    model = fitted[name]
    alone = [e.from_rationale for e in model.explain(TEXTS[:5], samples=5)]
    predicted = model.predict(TEXTS[:5], rule="mode")
    assert predicted.tolist() == alone if name == "three" else predicted == pytest.approx(np.array(alone))
    with pytest.raises(ValueError, match=r"^predict: 'median' is not one of|^predict: expected"):
        model.predict(TEXTS[:5], rule="median")


def test_conformal_intervals_and_sets(fitted: dict[str, Any]) -> None:
    """Six validation texts are enough for 80 %, and too few for 90 %."""
    one, three = fitted["one"], fitted["three"]
    intervals = one.predict_interval(TEXTS[:4], level=0.8, method="conformal")
    assert (intervals[:, 0] <= intervals[:, 1]).all()
    sets = three.predict_set(TEXTS[:4], level=0.8)
    assert sets.shape == (4, 3)
    assert (sets <= three.predict_set(TEXTS[:4], level=0.85)).all()
    assert three.predict_set(TEXTS[:4], method="mixture").any(1).all()
    for model in (one.predict_interval, three.predict_set):
        with pytest.raises(ValueError, match=r"interval conformal: level 0\.9 needs 9 development texts, and 6 have y"):
            model(TEXTS[:4], method="conformal")


@pytest.mark.parametrize(
    "labels",
    [
        np.array([-3, 8]),
        np.array([False, True]),
        np.array([0.5, 2.0]).astype(int),
        np.array(["été", "hiver", "<b>"], dtype=object),
    ],
)
def test_labels_of_any_kind(labels: Any) -> None:
    y = labels[np.arange(60) % len(labels)]
    model = tiny(RationaleClassifier).fit(TEXTS, y)
    assert np.array_equal(model.classes_, np.unique(labels))
    assert set(model.predict(TEXTS).tolist()) <= set(labels.tolist())
    assert 0 <= model.score(TEXTS, y) <= 1
    explained = model.explain(TEXTS[:1], samples=3)[0]
    assert explained.prediction in labels.tolist()
    assert list(explained.probabilities) == np.unique(labels).tolist()


# Explanations.


@pytest.mark.parametrize("name", ["one", "two", "binary", "three"])
def test_explanations(fitted: dict[str, Any], name: str) -> None:
    model = fitted[name]
    texts = TEXTS[:3] + UNSEEN
    explanations = model.explain(texts, samples=100, alternatives=3)
    predicted = model.predict(texts)
    assert [e.text for e in explanations] == texts
    for text, e, value in zip(texts, explanations, predicted.tolist(), strict=True):
        assert len(e.tokens) == len(e.offsets) == len(e.inclusion) == len(e.mask) <= TINY["max_words"]
        assert [text[a:b].lower() for a, b in e.offsets] == list(e.tokens)
        assert all(0 <= p <= 1 for p in e.inclusion)
        inside = tuple(any(a <= start and end <= b for a, b in e.spans) for start, end in e.offsets)
        assert inside == e.mask
        if name in ("binary", "three"):
            assert e.prediction == value
            assert sum(e.probabilities.values()) == pytest.approx(1)
            assert max(e.probabilities, key=e.probabilities.get) == value
            assert e.interval is None
        else:
            assert e.prediction == pytest.approx(tuple(value) if name == "two" else value)
            assert np.shape(e.interval) == ((2, 2) if name == "two" else (2,))
            assert e.probabilities is None
        for own in e.targets.values() if name == "two" else (e,):  # each of two targets has a mask of its own
            assert [other.mask for other in own.alternatives[:1]] == [own.mask] * bool(e.tokens)
            assert len({other.mask for other in own.alternatives}) == len(own.alternatives) <= 3
        assert all(other.prediction == e.from_rationale for other in e.alternatives[:1])
        assert str(e.tokens) not in repr(e)
        assert "\n" not in repr(e)
        assert str(e).startswith("predicted ")


class Parts(HTMLParser):
    """Tags in their order, and the text between underlines and in all."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.underlined = ""
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert {name for name, _ in attrs} <= {"style", "title", "dir"}
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if "u" in self.open:
            self.underlined += data


@pytest.mark.parametrize("text", [*UNSEEN, TEXTS[0], "word " * 400 + "<script>alert(1)</script>"])
def test_html_is_the_text_and_nothing_of_it_is_obeyed(fitted: dict[str, Any], text: str) -> None:
    e = fitted["one"].explain([text], samples=10)[0]
    page = Parts()
    page.feed(e._repr_html_())
    assert not page.open
    assert page.seen <= {"div", "span", "u", "details", "summary", "ul", "li"}
    assert page.underlined == "".join(text[a:b] for a, b in e.spans).replace("\u202e", "\ufffd")
    assert text[:50].replace("\u202e", "\ufffd") in page.text
    assert "\u202e" not in page.text
    assert len(page.text) < 1500 + len(text)


@pytest.mark.parametrize("words", [0, 50])
def test_html_is_escaped_where_nothing_is_shaded(fitted: dict[str, Any], words: int) -> None:
    """In words, between them (where `<br>` stands: it is no word), and in what was not read."""
    text = "word " * words + "<b>& so</b><br><script>alert(1)</script>" + " word" * 3
    e = fitted["one"].explain([text], samples=2)[0]
    for p in (0.0, 1.0):
        bare = replace(e, inclusion=(p,) * len(e.tokens), mask=(False,) * len(e.tokens), spans=(), alternatives=())
        page = Parts()
        page.feed(bare._repr_html_())
        assert page.seen == {"div", "span"} if p or words else page.seen == {"div"}
        assert text in page.text
        assert "&lt;script" in bare._repr_html_() or p
        assert "<<" not in bare._repr_html_()


def test_names_of_targets_and_labels_are_escaped() -> None:
    frame = pytest.importorskip("pandas").DataFrame(RATINGS[:, :2], columns=["<i>look", "taste"])
    html = tiny().fit(TEXTS, frame).explain(TEXTS[:2], samples=5)._repr_html_()
    assert html.count("&lt;i&gt;look: ") >= 2
    assert "<i>" not in html


# Input.


def test_texts_may_come_in_any_list() -> None:
    pandas = pytest.importorskip("pandas")
    shortest: dict[str, Any] = {"steps": 2, "anneal": 1}
    expected = tiny(**shortest).fit(TEXTS, ONE).predict(TEXTS)
    ways = [
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pandas.Series(TEXTS, index=range(100, 160)),
        (text for text in TEXTS),
    ]
    for way in ways:
        y = pandas.Series(ONE, name="taste", index=range(7, 67)) if isinstance(way, pandas.Series) else ONE.tolist()
        model = tiny(**shortest).fit(way, y)
        assert np.array_equal(model.predict(np.array(TEXTS)), expected)
        assert all(type(e.text) is str for e in model.explain(np.array(TEXTS[:2]), samples=2))


@pytest.mark.parametrize(
    ("texts", "y", "message"),
    [
        ("one text", ONE, "expected a list of texts, got str"),
        ({"a": 1}, ONE, "expected a list of texts, got dict"),
        (7, ONE, "expected a list of texts, got int"),
        (np.array(TEXTS)[:, None], ONE, r"a table of shape \(60, 1\); pass its column"),
        ([], [], r"Found 0 text\(s\)"),
        (TEXTS[:1], ONE[:1], r"n_samples=1.* a minimum of 2"),
        ([*TEXTS[:-1], None], ONE, "found NaN at position 59"),
        ([float("nan"), *TEXTS[1:]], ONE, "found NaN at position 0"),
        ([b"bytes", *TEXTS[1:]], ONE, "found bytes at position 0"),
        ([["in", "words"], *TEXTS[1:]], ONE, "found list at position 0"),
        (TEXTS, ONE[:-1], "inconsistent numbers of samples"),
        (TEXTS, None, "requires y to be passed"),
        (TEXTS, np.where(np.arange(60) == 3, np.nan, ONE), "Input y contains NaN"),
        (TEXTS, np.where(np.arange(60) == 3, np.inf, ONE), "infinity"),
        ([""] * 60, ONE, "empty vocabulary"),
    ],
)
@pytest.mark.parametrize("kind", [RationaleRegressor, RationaleClassifier])
def test_bad_input_is_refused(kind: type[Any], texts: Any, y: Any, message: str) -> None:
    if kind is RationaleClassifier and y is not None and len(y):
        y = np.where(np.isfinite(y), np.round(y), y)
    with pytest.raises(ValueError, match=message):
        tiny(kind).fit(texts, y)


def test_bad_ratings_are_refused() -> None:
    hollow = RATINGS[:, :2].copy()
    hollow[4] = np.nan
    with pytest.raises(ValueError, match="contains NaN only at position 4"):
        tiny().fit(TEXTS, hollow)
    hollow = RATINGS[:, :2].copy()
    hollow[:, 1] = np.nan
    with pytest.raises(ValueError, match="target 'y2' has no value but NaN"):
        tiny().fit(TEXTS, hollow)
    with pytest.raises(ValueError, match=r"every value of target 'y' is 0\.5; there is nothing to predict"):
        tiny().fit(TEXTS, np.full(60, 0.5))
    with pytest.raises(ValueError, match="y holds 'good', and ratings are numbers; RationaleClassifier"):
        tiny().fit(TEXTS, LABELS)


def test_bad_labels_are_refused() -> None:
    model = tiny(RationaleClassifier)
    with pytest.raises(ValueError, match=r"only one class: .*good"):
        model.fit(TEXTS, ["good"] * 60)
    with pytest.raises(ValueError, match="continuous"):
        model.fit(TEXTS, ONE)
    with pytest.raises(ValueError, match=r"contains NaN \(at position 2"):
        model.fit(TEXTS, np.array(["a", "b", None] * 20, dtype=object))
    with pytest.raises(ValueError, match=r"contains NaN \(at position 1"):
        model.fit(TEXTS, pytest.importorskip("pandas").Series([True, None] * 30, dtype="boolean"))
    with pytest.raises(ValueError, match="1d array"):
        model.fit(TEXTS, np.zeros((60, 2)))
    with pytest.raises(ValueError, match="target_range is for ratings"):
        tiny(RationaleClassifier, target_range=(0, 1)).fit(TEXTS, LABELS)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_interval", "explain"])
def test_not_fitted(method: str) -> None:
    for kind in (RationaleRegressor, RationaleClassifier):
        if hasattr(kind, method):
            with pytest.raises(NotFittedError):
                getattr(kind(), method)(TEXTS)
    with pytest.raises(NotFittedError):
        RationaleRegressor().save("nowhere")


@pytest.mark.parametrize(("options", "message"), [({"level": 1.0}, "^level: "), ({"samples": 0}, "^samples: ")])
def test_bad_questions_are_refused(fitted: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted["one"].predict_interval(TEXTS[:1], **options)
    with pytest.raises(ValueError, match="found float"):
        fitted["one"].predict([3.5])


def test_few_texts_are_judged_by_themselves() -> None:
    with pytest.warns(UserWarning, match="judged by what they were fitted to"):
        model = tiny(min_count=1).fit(TEXTS[:3], ONE[:3])
    assert model.predict(TEXTS[:3]).shape == (3,)


def test_every_class_is_trained_on() -> None:
    labels = np.array(["rare"] + ["usual", "other"] * 30)[:60]
    model = tiny(RationaleClassifier, validation_fraction=0.4)
    numbers = np.unique(labels, return_inverse=True)[1].tolist()
    documents = model._documents(TEXTS, [(float(i),) for i in numbers], DataOptions(max_words=50))
    spec = model.fit(TEXTS, labels).fitted_.spec
    corpus = model._split(documents, spec, numbers, model._config())
    assert {d.targets for d in corpus.train} == {(0.0,), (1.0,), (2.0,)}
    assert 22 <= len(corpus.dev) <= 25


# Its company.


def test_pickle_holds_the_model_and_no_folder(fitted: dict[str, Any], tmp_path: Path) -> None:
    for model in fitted.values():
        content = pickle.dumps(model)
        twin = pickle.loads(content)
        assert np.array_equal(twin._values(TEXTS, "average"), model._values(TEXTS, "average"))
        assert twin.get_params() == model.get_params()
        assert twin.explain(TEXTS[:2], samples=5) == model.explain(TEXTS[:2], samples=5)
        assert str(tmp_path.parent.parent).encode() not in content
        assert len(content) < 100_000


def test_a_pickle_of_another_version_says_so(fitted: dict[str, Any]) -> None:
    state = fitted["one"].fitted_.__getstate__()
    with pytest.raises(Exception, match="pickle of format 0, this version reads"):
        FittedModel.__new__(FittedModel).__setstate__({**state, "format": 0})


def test_a_saved_model_is_a_run(fitted: dict[str, Any], tmp_path: Path) -> None:
    fitted["one"].save(tmp_path / "run")
    loaded = FittedModel.load(tmp_path / "run", "cpu")
    assert loaded.config == fitted["one"].fitted_.config
    for name, weight in loaded._tensors().items():
        assert torch.equal(weight, fitted["one"].fitted_._tensors()[name])
    with pytest.raises(ValueError, match="already holds files"):
        fitted["one"].save(tmp_path / "run")


def test_pipeline_search_and_cross_validation() -> None:
    texts = np.array(TEXTS, dtype=object)
    lower = FunctionTransformer(lambda some: [text.lower() for text in some])
    pipeline = make_pipeline(lower, tiny(RationaleClassifier, steps=2, anneal=1))
    scores = cross_val_score(pipeline, texts, LABELS, cv=2, error_score="raise")
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()
    search = GridSearchCV(
        pipeline, {"rationaleclassifier__hidden": [4, 5]}, scoring="neg_log_loss", cv=2, error_score="raise"
    ).fit(TEXTS, LABELS)
    assert search.best_params_["rationaleclassifier__hidden"] in (4, 5)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_[-1].fitted_.config.model.hidden == search.best_params_["rationaleclassifier__hidden"]
    assert np.isfinite(cross_val_score(tiny(steps=2, anneal=1), TEXTS, ONE, cv=2, error_score="raise")).all()


def test_without_scikit_learn_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("pyro_rationale.sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError) as caught:
        importlib.import_module("pyro_rationale.sklearn")
    assert str(caught.value) == f"pyro_rationale.sklearn needs scikit-learn: {install_command('sklearn')}"


# Learning.

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
