"""Whatever names a class does so by the run's rule; the fake run's probabilities are known by hand.

From the most probable masks, P(yes) is 0.69 of "good", 0.55 of "bad" and 0.62 of "the".
"""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyro_rationale.cli.explain import as_dict, as_text, described
from pyro_rationale.config import Config
from pyro_rationale.data.document import Document, make_document
from pyro_rationale.evaluation.evaluate import (
    evaluate,
    evaluate_average,
    evaluate_documents,
    evaluate_predictions,
)
from pyro_rationale.evaluation.metrics.faithfulness import judge_statistics
from pyro_rationale.evaluation.model_card import model_card
from pyro_rationale.evaluation.results import RunMetrics
from pyro_rationale.evaluation.stress._measures import skill
from pyro_rationale.prediction.options import ExplainOptions, PredictOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.prediction.rows import Layout, eraser_record
from pyro_rationale.reporting.html import build_report
from pyro_rationale.reporting.html.payload import prediction_lines
from pyro_rationale.reporting.html.render import render
from pyro_rationale.reporting.phrases import phrase_groups
from pyro_rationale.run_files import CALIBRATION, read_calibration, write_calibration
from pyro_rationale.serving.records import record_of
from pyro_rationale.tasks import Calibration, Decision
from tests.prediction.test_calibration import TEXTS, calibrated
from tests.prediction.test_predictor import document, fake

RULE = Decision(((0.0, -0.6),), (100,), (0.8,), (0.4,))  # yes from 0.65 on
DOCUMENTS = [document("good", 1.0), document("bad", 0.0), document("the", 0.0)]


def ruled() -> Any:
    run = fake("binary")
    run.calibration = Calibration(((),), decision=RULE)
    return run


def readings(run: Any, **options: Any) -> list[Any]:
    texts = [make_document(text.text, text.text, text.targets) for text in DOCUMENTS]
    return list(predict(run, texts, PredictOptions(predict="mode", **options)))


@pytest.mark.parametrize("rule", [False, True])
def test_labels_and_probabilities(rule: bool) -> None:
    run = ruled() if rule else fake("binary")
    expected = ["yes", "no", "no"] if rule else ["yes"] * 3
    layout = Layout(run.task)
    made = readings(run, contributions="removal")
    rows = [layout.row("a", one) for one in made]
    assert [row["prediction"] for row in rows] == expected
    assert [row["probability.yes"] for row in rows] == pytest.approx([0.69, 0.55, 0.62], abs=0.006)
    assert [eraser_record("a", one, run.task)["classification"] for one in made] == expected
    explained = run.explain([text.text for text in DOCUMENTS], predict="mode")
    assert [one.prediction for one in explained] == expected
    assert [one.from_rationale for one in explained] == expected
    assert [one.effects_on for one in explained] == [(f"log odds of {label}",) for label in expected]
    assert [one.probabilities["yes"] for one in explained] == [one.values[0] for one in made]
    served = [record_of(one.document, (), one, run.task, 0.9, run.vocabulary)["targets"][0] for one in made]
    assert [target["label"] for target in served] == expected
    assert [target["unit"] for target in served] == [f"log odds of {label}" for label in expected]
    bad = made[1].contributions.spans[0].removed[0]  # without it P(yes) is higher
    assert (bad < 0.0) is rule


def test_figures() -> None:
    """With a yes and two noes the rule is right about all; without it one F1 is 1/2 and the other 0."""
    named, probable = (evaluate_documents(run, DOCUMENTS, samples=20) for run in (ruled(), fake("binary")))
    for front in ("", "averaged_"):
        assert named[f"{front}accuracy"] == named[f"{front}macro_f1"] == named[f"{front}balanced_accuracy"] == 1.0
        assert probable[f"{front}accuracy"] == pytest.approx(1 / 3)
        assert probable[f"{front}macro_f1"] == pytest.approx(1 / 4)
        assert named[f"{front}log_loss"] == probable[f"{front}log_loss"]
        assert named[f"{front}auc"] == probable[f"{front}auc"]
    assert named["classes"]["no"]["recall"] == named["classes"]["yes"]["precision"] == 1.0
    assert named["confusion"] == {"no": {"no": 2, "yes": 0}, "yes": {"no": 0, "yes": 1}}
    assert [named[name] for name in ("ece", "brier")] == [probable[name] for name in ("ece", "brier")]


def test_figures_of_predictions_made_already_and_of_averages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyro_rationale.evaluation.objective_report.objective_report", lambda *_, **__: {})
    for run, accuracy in ((ruled(), 1.0), (fake("binary"), 1 / 3)):
        made = readings(run)
        assert evaluate_predictions(made, run.spec, run).metrics["accuracy"] == pytest.approx(accuracy)
        assert evaluate_average(run, DOCUMENTS)["accuracy"] == pytest.approx(accuracy)
        marker = ModelRationalizer(run)
        masks = marker.masks(DOCUMENTS)
        assert evaluate(marker, DOCUMENTS).metrics["accuracy"] == pytest.approx(accuracy)
        judged = judge_statistics(marker, DOCUMENTS, masks)
        assert judged["judge_kept_accuracy"].value == pytest.approx(accuracy)
        values = marker.predict(DOCUMENTS, masks)
        assert skill(values, DOCUMENTS, run.spec, run.decision) == pytest.approx(3 * accuracy - 2)


def test_the_report_and_the_card() -> None:
    run = ruled()
    made, options = readings(run, contributions="removal"), PredictOptions(predict="mode")
    record = run.decision.record(run.spec.names, run.spec.classes)
    config = Config().settled()
    context = build_report(
        made, options, config, run.spec, "a", metrics={}, stored={"decision": record}, decision=run.decision
    )
    page = render(context)
    line = "a text is called yes from a probability of 0.646 on, else no"
    assert ("class", f"{line} (macro F1 0.800 on 100 development texts, against 0.400 of the most probable)") in (
        context.facts
    )
    assert "no (45 %)" in page  # of "bad", without scripts
    assert f'"factors":[[1.0,{np.exp(-0.6)}]]' in page
    plain = render(build_report(made, options, config, run.spec, "a", metrics={}))
    assert "yes (55 %)" in plain
    assert '"factors":' not in plain
    [group] = phrase_groups(made, run.spec, run.decision)
    assert {side.title: [phrase.words for phrase in side.phrases] for side in group.sides}["no"] == ["bad"]
    metrics = {"test": {"accuracy": 1.0, "documents": 3}, "decision": record}
    assert line in model_card("a", config, run.spec, metrics, {}, {})
    assert "is called" not in model_card("a", config, run.spec, metrics | {"decision": {}}, {}, {})


def test_a_fit_asks_for_it_by_its_options() -> None:
    """Development texts of which those with "good" alone are a yes, and seldom."""
    run = calibrated("binary")
    assert run.calibration.decision is None

    def texts() -> list[Document]:
        random = np.random.default_rng(0)
        words = [TEXTS[i % len(TEXTS)] for i in range(300)]
        return [document(text, float("good" in text and random.random() < 0.4)) for text in words]

    for wanted in ({"class_weight": "balanced"}, {"decide": "macro-f1"}):
        run.config = Config().changed(**wanted)
        run.calibrate(texts())
        assert run.decision.texts == (300,)
        assert 0.5 < run.decision.thresholds[0] < 1.0
        assert run.decision.macro_f1[0] > run.decision.probable_f1[0] + 0.1
        assert run.task.decision == run.decision
    known = run.calibration
    run.config = Config().changed(class_weight="balanced", decide="probable")
    run.calibrate(texts())
    assert run.decision is None
    assert run.calibration == replace(known, decision=None)  # temperature and sets are the same


def test_a_rule_in_a_run_folder(tmp_path: Path) -> None:
    run = ruled()
    write_calibration(tmp_path, run.calibration)
    assert read_calibration(tmp_path, run.spec) == run.calibration
    again = pickle.loads(pickle.dumps(run.calibration))
    assert again == run.calibration
    stored = json.loads((tmp_path / CALIBRATION).read_text())
    assert stored["decision"]["offsets"] == [[0.0, -0.6]]
    write_calibration(tmp_path, Calibration(((),)))
    assert json.loads((tmp_path / CALIBRATION).read_text()) == {"scores": [[]], "noise": None, "temperature": 1.0}


def test_the_result_names_it(tmp_path: Path) -> None:
    run = ruled()
    record = run.decision.record(run.spec.names, run.spec.classes)
    metrics = RunMetrics("a", "chain", "rloo", 0, {"accuracy": 1.0}, {"rate": 0.1}, {"rate": 0.1}, decision=record)
    metrics.save(tmp_path)
    assert RunMetrics.load(tmp_path).decision == record
    assert record["positive"] == {
        "rule": "macro-f1", "offsets": {"no": 0.0, "yes": -0.6}, "texts": 100, "macro_f1": 0.8, "probable_f1": 0.4,
    }  # fmt: skip
    older = json.loads((tmp_path / "metrics.json").read_text())
    del older["decision"]
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "metrics.json").write_text(json.dumps(older))
    assert RunMetrics.load(tmp_path).decision == {}


def test_options_of_explain_are_heeded_with_a_rule() -> None:
    """The line that people read: the label of the rule, its probability, and a set without it."""
    run = ruled()
    [reading] = predict(run, [make_document("a", "bad")], ExplainOptions(predict="mode", level=0.5))
    [line] = run.task.lines(reading.predicted, reading.values, reading.interval, 0.5, reading.classes)
    assert line == "positive: no 45.0 %  (50 % set yes; from these words alone no 45.0 %)"


def test_one_mask_has_a_rule_of_its_own() -> None:
    """Averaged, a text is called yes from 0.65 on; from one mask from 0.25 on: whatever shows one mask says yes."""
    alone = Decision(((0.0, 1.1),), (100,), (0.8,), (0.4,))
    run = ruled()
    run.calibration = Calibration(((),), decision=replace(RULE, alone=alone))
    options = ExplainOptions(predict="mode")
    [reading] = predict(run, [make_document("a", "bad")], options)
    task = run.task_for("mode")
    assert task.decision == alone
    assert Layout(task).row("a", reading)["prediction"] == "yes"
    told = as_dict(reading, task, options)
    assert told["prediction"]["positive"]["label"] == told["prediction"]["positive"]["rationale"]["label"] == "yes"
    assert told["contributions"]["targets"]["positive"]["of"] == "log odds of yes"
    assert reading.contributions is not None
    assert reading.contributions.whole[0] == pytest.approx(np.log(0.55 / 0.45), abs=0.03)
    [line, *_] = map(str, described(reading, task, 0.9))
    assert line == "positive: yes 55.0 %  (90 % set yes, no; from these words alone yes 55.0 %)"

    averaged = ExplainOptions(samples=1)
    [reading] = predict(run, [make_document("a", "bad")], averaged)
    shown = {other.mask: other.values for other in reading.alternatives}
    assert {run.task.alone.point(values)["positive"]["label"] for values in shown.values()} == {"yes"}
    told = as_dict(reading, run.task, averaged)
    assert told["prediction"]["positive"]["rationale"]["label"] == "yes"
    assert {other["prediction"]["positive"]["label"] for other in told["alternatives"]} == {"yes"}
    served = record_of(reading.document, (), reading, run.task, 0.9, run.vocabulary)["targets"][0]
    assert {other["prediction"] for other in served["alternatives"]} == {served["from_rationale"]} == {"yes"}
    report = build_report(
        [reading], averaged, Config().settled(), run.spec, "a", metrics={}, decision=run.decision
    )
    page = render(report)
    assert f'"factors":[[1.0,{np.exp(-0.6)}]],"alone":[[1.0,{np.exp(1.1)}]]' in page
    lines = dict(prediction_lines(reading, run.spec, "90 %", True, run.decision)[0])
    assert lines["from these words alone"].startswith("yes")
    of_one = build_report([reading], options, Config().settled(), run.spec, "a", metrics={}, decision=run.decision)
    assert of_one.decision == alone


def test_a_mask_is_called_most_probable_only_if_it_is() -> None:
    run = fake("binary")
    [reading] = predict(run, [make_document("a", "bad")], ExplainOptions())
    assert "the most probable rationale (" in as_text(reading, run.task, 0.9)
    other = replace(reading.alternatives[-1], mask=(False,) if reading.kept[0] else (True,), log_probability=-1e-9)
    shown = as_text(replace(reading, alternatives=(reading.alternatives[0], other)), run.task, 0.9)
    assert "most probable" not in shown
    assert ", a probable rationale (" in shown
    for listed in (reading.alternatives, ()):  # as --alternatives 1 and 0 list them
        alone = replace(reading, alternatives=listed[:1])
        assert "the most probable rationale (" in as_text(alone, run.task, 0.9)
        drawn = replace(alone, mode=tuple(not flag for flag in reading.kept))
        assert ", a probable rationale (" in as_text(drawn, run.task, 0.9)
