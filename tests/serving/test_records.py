"""Answers of the endpoint, of a model whose predictions are known by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pyro_rationale.data.document import Document, make_document
from pyro_rationale.prediction.labels import doubt_of_words
from pyro_rationale.prediction.options import ExplainOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.serving.records import describe_model, least_effects, record_of, without_words
from pyro_rationale.storage import to_json
from pyro_rationale.tasks import Calibration, TargetSpec
from tests.prediction.test_aspect_faces import fitted as two_aspects  # noqa: F401
from tests.prediction.test_calibration import calibrated
from tests.prediction.test_predictor import VOCABULARY, fake, sigmoid

OPTIONS = ExplainOptions("mode", samples=50)


def answer(fitted: Any, text: str, struck: tuple[int, ...] = ()) -> dict[str, Any]:
    whole = make_document("text 1", text)
    given = without_words(whole, struck)
    readings = list(predict(fitted, [given], OPTIONS)) if given.tokens else [None]
    return record_of(whole, struck, readings[0], fitted.task, 0.9, fitted.vocabulary)


def test_struck_words_are_not_read_and_keep_their_places() -> None:
    whole = answer(fake(), "The good, bad bad maybe!")
    found = answer(fake(), "The good, bad bad maybe!", (2,))
    (before,), (target,) = whole["targets"], found["targets"]
    words = [found["text"][word["start"] : word["end"]] for word in found["words"]]
    assert words == ["The", "good", ",", "bad", "bad", "maybe", "!"]
    assert [word["struck"] for word in found["words"]] == [n == 2 for n in range(7)]
    assert target["inclusion"][2] == 0.0
    assert target["kept"] == [False, True, False, True, True, True, False]
    (span,) = target["spans"]
    assert span["words"] == [1, 3, 4, 5]  # one run for the model, which was not given the comma
    assert span["text"] == "good bad bad maybe"
    assert span["effect"] == pytest.approx(4 * -0.2, abs=1e-4)
    assert target["from_rationale"] == pytest.approx(1 + 4 * 0.3, abs=1e-4)
    assert before["spans"][0]["words"] == [1, 2, 3, 4, 5] or len(before["spans"]) == 2
    assert to_json(found)


def test_the_prediction_without_a_word_is_that_of_the_text_without_it() -> None:
    (struck,), (shorter,) = (answer(fake(), *given)["targets"] for given in (("good bad", (1,)), ("good",)))
    assert struck["value"] == shorter["value"]
    assert struck["interval"] == shorter["interval"]
    assert struck["alternatives"][0]["probability"] == shorter["alternatives"][0]["probability"]
    assert [one["kept"][1] for one in struck["alternatives"]] == [False] * len(struck["alternatives"])


def test_classes_have_probabilities() -> None:
    (target,) = answer(fake("multiclass"), "good good the")["targets"]
    assert (target["value"], target["label"], target["from_rationale"]) == (None, "high", "high")
    assert sum(target["probabilities"].values()) == pytest.approx(1.0)
    assert target["unit"] == "log odds of high"
    assert all(one["prediction"] in ("low", "mid", "high") for one in target["alternatives"])
    assert target["from_rationale_probability"] == pytest.approx(math.exp(1.1) / (1 + math.exp(1.1) + math.exp(-1.1)))
    assert all(1 / 3 < one["prediction_probability"] <= 1 for one in target["alternatives"])


def test_numbers_have_no_probability() -> None:
    (target,) = answer(fake(), "good good the")["targets"]
    assert target["from_rationale_probability"] is None
    assert {one["prediction_probability"] for one in target["alternatives"]} == {None}


def test_effects_that_are_hardly_any_are_a_part_of_the_scale_or_a_point_of_a_probability() -> None:
    (target,) = answer(fake(), "good")["targets"]
    assert target["least_effect"] == least_effects(fake().spec)[0] == pytest.approx(0.02 * 4)  # of 1 to 5 stars
    two = TargetSpec("regression", ("look", "smell"), ranges=((0.0, 1.0), (0.0, 100.0)))
    assert least_effects(two) == pytest.approx([0.02, 2.0])
    (least,) = least_effects(fake("binary").spec)
    for log_odds in (-3.0, 0.0, 2.0):  # an effect of that size is nowhere more than a point
        assert sigmoid(log_odds + least / 2) - sigmoid(log_odds - least / 2) <= 0.01
    assert sigmoid(least / 2) - sigmoid(-least / 2) == pytest.approx(0.01, rel=1e-3)


def test_each_target_has_words_of_its_own(two_aspects: Any) -> None:  # noqa: F811
    found = answer(two_aspects, "the bad maybe the good", (3,))
    first, second = found["targets"]
    assert (first["letter"], second["letter"]) == ("A", "B")
    assert first["kept"] == [False, True, True, False, False]
    assert second["kept"] == [False, False, True, False, True]
    assert second["spans"][0]["text"] == "maybe good"
    assert first["spans"][0]["effect"] == pytest.approx(-0.8, abs=1e-4)
    assert second["value"] > first["value"]
    assert [target["letter"] for target in describe_model(two_aspects)["targets"]] == ["A", "B"]


def test_what_reading_adds_is_told_of_each_target(two_aspects: Any) -> None:  # noqa: F811
    """In nats; runs of older versions do not know."""
    run = calibrated()
    (target,), (older,) = (answer(fitted, "good")["targets"] for fitted in (run, fake()))
    (reading,) = predict(run, run.documents(["good"]), OPTIONS)
    assert reading.information is not None
    assert target["information"] == pytest.approx(reading.information[0], abs=1e-6)
    assert older["information"] is None
    two_aspects.calibration = Calibration(((), ()), unread=((3.0, 1.0), (2.0, 0.5)))
    first, second = answer(two_aspects, "the the")["targets"]
    (reading,) = predict(two_aspects, two_aspects.documents(["the the"]), OPTIONS)
    assert reading.information is not None
    assert [first["information"], second["information"]] == pytest.approx(reading.information, abs=1e-6)


def test_a_text_of_which_no_word_is_left_has_no_prediction() -> None:
    found = answer(fake(), "good", (0,))
    assert found["targets"] == []
    assert found["words"] == [{"start": 0, "end": 4, "struck": True, "known": True}]


def test_words_are_counted_in_characters_and_an_end_that_is_not_read_is_said() -> None:
    document = make_document("text 1", "\N{BEER MUG} good bad and so on", max_words=2)
    found = record_of(document, (), next(predict(fake(), [document], OPTIONS)), fake().task, 0.9, VOCABULARY)
    assert isinstance(document, Document)
    assert [found["text"][word["start"] : word["end"]] for word in found["words"]][-1] == "good"
    assert found["unread"] == len(" bad and so on")


def test_words_that_the_model_does_not_know_are_named() -> None:
    found = answer(fake(), "the goood bad xylophone", (3,))
    assert [word["known"] for word in found["words"]] == [True, False, True, False]
    assert found["known"] == 2


def test_the_doubt_of_a_text_is_that_of_the_words_that_are_read() -> None:
    text = "the good bad xylophone zither"
    assert [answer(fake(), text, struck)["doubt"] for struck in ((4,), (3, 4), (0, 1, 2, 3, 4))] == ["", "", ""]
    assert answer(fake(), text)["doubt"] == doubt_of_words(3, text.split()) != ""
