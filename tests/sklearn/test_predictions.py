"""Predictions, intervals, probabilities and scores of the estimators."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.metrics import r2_score

from pyro_rationale.data.document import make_document
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.prediction.shown_masks import decode_all
from pyro_rationale.sklearn import RationaleClassifier
from pyro_rationale.tasks import Decision, TargetSpec
from tests.support.tiny_estimators import ONE, RATINGS, TEXTS, UNSEEN, tiny

# Ten steps reach nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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


@pytest.mark.parametrize("name", ["binary", "three"])
def test_a_rule_names_the_classes(fitted: dict[str, Any], name: str) -> None:
    """Probabilities stay; labels, explanations and scores follow the rule of the run."""
    plain, model = fitted[name], copy.deepcopy(fitted[name])
    known, first = plain.fitted_.calibration, plain.classes_[0]
    offsets = (100.0, *(0.0 for _ in plain.classes_[1:]))
    rule = Decision((offsets,), (6,), (0.5,), (0.5,))
    model.fitted_.calibration = replace(known, decision=rule)
    assert np.array_equal(model.predict_proba(TEXTS), plain.predict_proba(TEXTS))
    assert (model.predict(TEXTS) == first).all()
    assert (model.predict(TEXTS[:5], rule="mode") == first).all()
    assert [one.prediction for one in model.explain(TEXTS[:3], samples=5)] == [first] * 3
    assert (pickle.loads(pickle.dumps(model)).predict(TEXTS[:5]) == first).all()
    assert plain.fitted_.decision is None


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


def test_a_saved_estimator_says_what_the_commands_say() -> None:
    """Estimator and run draw equal masks for a text, whatever `random_state` the fit had."""
    model = tiny(random_state=7).fit(TEXTS, ONE)
    alone = [prediction.predicted[0] for prediction in model.fitted_.predict(TEXTS[:5])]
    assert model.predict(TEXTS[:5]) == pytest.approx(alone, abs=1e-6)
