"""Rows of a table of predictions: columns, spans with contributions, ERASER records."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest

from pyro_rationale.data.document import make_document
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.options import BatchOptions
from pyro_rationale.prediction.predictor import Prediction, predict
from pyro_rationale.prediction.rows import Layout, as_csv, as_json_lines, eraser_record, whitespace_tokens
from tests.prediction.test_aspect_faces import two_targets
from tests.prediction.test_predictor import fake


def read(fitted: FittedModel, text: str, **options: Any) -> Prediction:
    return next(iter(predict(fitted, [make_document("a", text)], BatchOptions(**options))))


@pytest.fixture
def aspects() -> FittedModel:
    return two_targets()


def test_targets_with_own_masks_have_columns_of_their_own(aspects: FittedModel) -> None:
    layout = Layout(aspects.task, own=True, contributions=True)
    reading = read(aspects, "the bad maybe the good", contributions="removal", decode="mode")
    row = layout.row("a", reading)
    assert list(row) == list(layout.kinds)
    assert {name for name in row if name.startswith("food.")} == {
        "food.prediction", "food.low", "food.high", "food.information", "food.rationale", "food.spans",
        "food.kept",
    }  # fmt: skip
    assert row["<staff>.rationale"] == "bad maybe"
    assert row["food.rationale"] == "maybe … good"
    span = row["food.spans"][1]
    assert span["text"] == "good"
    assert (span["start"], span["end"]) == (18, 22)
    assert span["contribution"] == pytest.approx(reading.aspects[1].contributions.spans[1].effects[0])  # type: ignore[union-attr]
    assert row["food.low"] <= row["food.prediction"] <= row["food.high"]
    assert row["food.kept"] == 0.4
    assert row["unknown"] == 0.0


def test_a_text_without_a_word_has_its_id_alone(aspects: FittedModel) -> None:
    layout = Layout(aspects.task, own=True)
    row = layout.row(7, make_document("7", " "))
    assert row.pop("id") == 7
    assert set(row.values()) == {None}
    assert as_csv([{"id": 7, **row}], list(layout.kinds)) == "7" + "," * len(row) + "\n"


def test_csv_and_json_lines_say_the_same() -> None:
    fitted = fake()
    layout = Layout(fitted.task)
    rows = [layout.row(number, read(fitted, text)) for number, text in enumerate(["good, the \"bad\"", "the"])]
    names = list(layout.kinds)
    table = [dict(zip(names, cells, strict=True)) for cells in csv.reader(io.StringIO(as_csv(rows, names)))]
    for cells, line in zip(table, as_json_lines(rows).splitlines(), strict=True):
        row = json.loads(line)
        assert json.loads(cells["spans"]) == row["spans"]
        assert float(cells["low"]) == row["low"]
        assert cells["rationale"] == row["rationale"]


def test_eraser_tokens_stand_between_spaces() -> None:
    fitted = fake("multiclass")
    reading = read(fitted, "the  (good) bad, maybe")
    probabilities, hard = whitespace_tokens(reading)
    assert len(probabilities) == len("the  (good) bad, maybe".split()) == len(hard)
    words = dict(zip(reading.document.tokens, reading.inclusion, strict=True))
    assert probabilities[1] == max(words["("], words["good"], words[")"])
    record = eraser_record("a", reading, fitted.task)
    assert set(record) == {"annotation_id", "rationales", "classification", "classification_scores"}
    assert sum(record["classification_scores"].values()) == pytest.approx(1, abs=1e-4)
    spans = record["rationales"][0]["hard_rationale_predictions"]
    assert [i for span in spans for i in range(span["start_token"], span["end_token"])] == [
        i for i, kept in enumerate(hard) if kept
    ]
    assert eraser_record("b", make_document("b", ""), fitted.task)["rationales"] == []



def test_a_carriage_return_ends_no_line_of_a_table() -> None:
    lines = as_csv([{"id": "a\rb", "kept": 0.5}, {"id": "c", "kept": None}], ["id", "kept"])
    assert lines == '"a\rb",0.5\nc,\n'
    assert list(csv.reader(io.StringIO(lines, newline=""))) == [["a\rb", "0.5"], ["c", ""]]


def test_a_table_of_predictions_on_a_short_scale() -> None:
    run = fake("regression")
    long = Layout(run.task).row(1, run.predict(["good the"], contributions="removal")[0])
    run.spec = replace(run.spec, ranges=((0.0, 4e-7),) * len(run.spec.names))
    reading = run.predict(["good the"], contributions="removal")[0]
    row = Layout(run.task).row(1, reading)
    for name, value in (("prediction", reading.predicted[0]), ("low", reading.interval[0][0])):
        assert row[name] == pytest.approx(value, rel=1e-4)
    assert row["spans"][0]["contribution"] > 0
    assert round(long["prediction"], 6) == long["prediction"]
