"""Texts and targets in any container, and bad ones refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.exceptions import NotFittedError

from pyro_rationale.data import DataOptions
from pyro_rationale.data.corpora._table import FEWEST_ROWS
from pyro_rationale.sklearn import RationaleClassifier, RationaleRegressor
from tests.support.tiny_estimators import LABELS, ONE, RATINGS, TEXTS, tiny

# Ten steps reach nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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
        ([*TEXTS[:-1], "half \ud800"], ONE, r"the text at position 59 holds half a character \(a lone surrogate"),
        (TEXTS, ONE[:-1], "inconsistent numbers of samples"),
        (TEXTS, None, "requires y to be passed"),
        (TEXTS, np.where(np.arange(60) == 3, np.nan, ONE), "Input y contains NaN"),
        (TEXTS, np.where(np.arange(60) == 3, np.inf, ONE), "infinity"),
        ([*TEXTS[:-1], " "], ONE, "^text 60: no word in it; write a text there, or leave it out$"),
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
    for dates in (np.arange(60).astype("datetime64[D]"), np.arange(60).astype("timedelta64[s]")):
        with pytest.raises(ValueError, match=r"y holds dates or times .*, and ratings are numbers"):
            tiny().fit(TEXTS, dates)


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
    with pytest.raises(ValueError, match="the label at position 1 holds half a character"):
        model.fit(TEXTS, ["good", "b\ud800d"] * 30)
    with pytest.raises(ValueError, match="1d array"):
        model.fit(TEXTS, np.zeros((60, 2)))
    with pytest.raises(ValueError, match=r"contains NaN \(at position 1"):
        model.fit(TEXTS, ["good", float("nan"), "bad"] * 20)
    with pytest.raises(ValueError, match="y holds 'a' and 1; write all labels as texts"):
        model.fit(TEXTS, ["a", 1, "b"] * 20)
    with pytest.raises(ValueError, match="y holds 'a' and True; write all labels as texts"):
        model.fit(TEXTS, np.array(["a", True] * 30, dtype=object))
    with pytest.raises(ValueError, match="target_range is for ratings"):
        tiny(RationaleClassifier, target_range=(0, 1)).fit(TEXTS, LABELS)


def test_labels_that_look_alike_are_told() -> None:
    with pytest.warns(UserWarning, match="y: .*good, good look alike"):
        tiny(RationaleClassifier, steps=2, anneal=1).fit(TEXTS, ["good", " good", "bad"] * 20)


def test_one_answer_is_no_list_of_its_characters(fitted: dict[str, Any]) -> None:
    """`explain(texts, answers="10")` asked for 1 and 0."""
    for answer in (0.5, "0.5"):
        (explanation,) = fitted["one"].explain(TEXTS[:1], samples=5, answers=answer)
        assert len(explanation.answers) == 1


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
    with pytest.raises(ValueError, match="the text at position 1 holds half a character"):
        fitted["one"].predict([TEXTS[0], "\udfff"])
    for ask in (fitted["one"].predict_interval, fitted["one"].explain, fitted["one"].predict):
        with pytest.raises(ValueError, match=r"^text 2: no word in it"):
            ask([TEXTS[0], ""])
    with pytest.raises(ValueError, match=r"^text 2: no word in it"):
        fitted["one"].predict([TEXTS[0], ""], rule="mode")


def test_texts_that_say_that_there_is_none_are_told(fitted: dict[str, Any]) -> None:
    """A missing text is "nan" behind `astype(str)` of pandas."""
    for texts, told in (
        ([TEXTS[0], "nan", "None"], "2 of 3 texts are None, nan, first at position 1; leave them out if nothing was"),
        ([TEXTS[0], "nan"], "1 of 2 texts is nan, at position 1; leave it out if nothing was written there"),
        (["nan"], "1 of 1 text is nan, at position 0; leave it out if nothing was written there"),
    ):
        with pytest.warns(UserWarning, match=re.escape(told)):
            assert len(fitted["one"].predict(texts)) == len(texts)


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


def test_two_texts_are_fitted_and_the_page_on_tables_says_so() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "own-csv.md").read_text(encoding="utf-8")
    assert "A table needs ten texts, scikit-learn's estimators two" in " ".join(page.split())
    assert FEWEST_ROWS == 10
    with pytest.warns(UserWarning, match="of 2 texts is none: they are judged by what they were fitted to"):
        tiny(steps=2, anneal=1).fit(["good food", "bad food"], [1.0, 0.0])
