"""A fitted model as the object that people use: predict, explain, evaluate, save and load."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pyro_rationale.errors import DataError, RunError
from pyro_rationale.evaluation.evaluate import evaluate_documents
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.explanation import explain
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.tasks import TargetSpec
from pyro_rationale.training.run import TrainingRun
from tests.support.small_fit import Break, fit_small


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    return fit_small(tmp_path_factory.mktemp("fitted") / "run", documents=24, steps=2, anneal=1)[0]


def test_predictions_are_those_of_predict(run: TrainingRun) -> None:
    documents = run.corpus.test[:2]
    expected = list(predict(run.fitted, documents, PredictOptions(samples=20)))
    assert run.fitted.predict(documents, samples=20) == expected
    again = run.fitted.predict([document.text for document in documents], samples=20)
    assert [one.inclusion for one in again] == [one.inclusion for one in expected]
    assert [one.document.id for one in again] == ["text 1", "text 2"]


def test_one_text_is_a_list_of_one(run: TrainingRun) -> None:
    (explanation,) = run.fitted.explain("The aroma was superb, the rest is talk.", samples=20, level=0.8)
    (prediction,) = run.fitted.predict("The aroma was superb, the rest is talk.", samples=20, level=0.8)
    assert prediction.interval is not None
    assert (explanation.mask, explanation.prediction) == (prediction.mode, prediction.predicted[0])
    assert (explanation.interval, explanation.level) == (prediction.interval[0], 0.8)
    assert "80 % interval" in str(explanation)


def test_metrics_are_those_of_evaluate(run: TrainingRun) -> None:
    documents = run.corpus.test
    assert run.fitted.evaluate(documents, decode="threshold") == evaluate_documents(run.fitted, documents, "threshold")
    assert {"mse", "f1", "iou_f1", "auprc"} <= run.fitted.evaluate(documents).keys()


def test_a_pickle_knows_the_texts_of_the_fit(run: TrainingRun, tmp_path: Path) -> None:
    """It once forgot them, and a run folder saved from it no longer told training texts from others."""
    again = pickle.loads(pickle.dumps(run.fitted))
    assert again.rows == run.fitted.rows
    assert again.count_training_texts(run.corpus.train) == len(run.corpus.train)
    again.save(tmp_path / "saved")
    loaded = FittedModel.load(tmp_path / "saved")
    assert (loaded.rows, loaded.count_training_texts(run.corpus.train)) == (run.fitted.rows, len(run.corpus.train))


def test_half_a_character_is_told(run: TrainingRun) -> None:
    for ask in (run.fitted.predict, run.fitted.explain):
        with pytest.raises(DataError, match="text 2 holds half a character"):
            ask(["good", "\ud800"])


def test_a_text_without_a_word_is_refused(run: TrainingRun) -> None:
    """It was once read as one unknown word, and got a number."""
    for ask in (run.fitted.predict, run.fitted.predict_interval, run.fitted.explain):
        with pytest.raises(DataError, match=r"^text 2: no word in it; write a text there, or leave it out$"):
            ask(["good", " \n"])


def test_a_saved_model_loads(run: TrainingRun, tmp_path: Path) -> None:
    """The folder holds all that loading needs, though no fit has opened it."""
    run.fitted.save(tmp_path / "new" / "model")
    again = FittedModel.load(tmp_path / "new" / "model", "cpu")
    assert (again.config, again.spec, again.vocabulary) == (run.fitted.config, run.fitted.spec, run.fitted.vocabulary)
    for name, weights in run.fitted._tensors().items():
        torch.testing.assert_close(again._tensors()[name], weights, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("names", [("liked",), ("liked", "bought")])
def test_labels_are_explained(run: TrainingRun, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """One label has its probabilities; of several each is named."""
    spec = TargetSpec("binary", names, (), ("no", "yes"))
    (one,) = run.fitted.predict("good beer", samples=4)
    values = (0.9, 0.2)[: len(names)]
    labelled = replace(one, values=values, expected=values, averaged=values, predicted=values)
    labelled = replace(labelled, interval=None, sd=None, alternatives=(), information=None)
    monkeypatch.setattr("pyro_rationale.prediction.explanation.predict", lambda *arguments: iter([labelled]))
    fitted = replace(run.fitted, spec=spec)
    (explanation,) = explain(fitted, [one.document])
    if len(names) == 1:
        assert explanation.prediction == "yes"
        assert explanation.probabilities == pytest.approx({"no": 0.1, "yes": 0.9})
    else:
        assert explanation.prediction == ("yes", "no")
        assert "liked: yes; bought: no" in str(explanation)


def test_a_fit_that_has_not_ended_is_said_to_be_one(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit_small(folder, Break(steps=5))
    with pytest.raises(RunError, match=r"run: the fit has not ended; its last checkpoint is \d seconds old: wait"):
        FittedModel.load(folder)
