"""Ratings of few levels from a table to every command: `--task auto` takes cumulative logits for them."""

from __future__ import annotations

import json
import math
import pickle
import random
from pathlib import Path

import numpy as np
import pytest

from pyro_rationale.data import DataOptions, load_corpus
from pyro_rationale.errors import DataError
from pyro_rationale.evaluation.objective_report import all_terms
from pyro_rationale.evaluation.results import train
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.objectives.decomposition import Setting, residual
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.tasks import OrdinalLikelihood, TargetSpec
from tests.support.commands import called
from tests.support.small_fit import small, table

SPEC = TargetSpec("ordinal", ("food", "staff"), ((1.0, 5.0), (0.0, 1.0)), levels=(5, 3))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small fit of two ratings, one of which is missing in places."""
    numbers, rows = random.Random(1), []
    for i in range(60):
        words = numbers.choices(["good", "bad", "the", "crust", "of", "it"], k=12)
        good = max(-2, min(2, words.count("good") - words.count("bad")))
        rows.append(f"{' '.join(words)} {i},{3 + good},{'' if i % 7 == 0 else (good > 0) / 2 + (i % 2) / 2}")
    data = table(tmp_path_factory.mktemp("data") / "pizza.csv", "text,food,staff", rows)
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(small(data=str(data), target_column=("food", "staff"), guide="chain", ema=0.5), folder)
    return folder


def test_a_run_is_fitted_read_back_and_taken_up(run: Path) -> None:
    fitted = FittedModel.load(run, "cpu")
    likelihood = fitted.model.likelihood
    assert fitted.spec == SPEC
    assert isinstance(likelihood, OrdinalLikelihood)
    assert (likelihood.cutpoints[0].diff() > 0).all()
    assert fitted.model.gain == float(fitted.model.kappa)
    metrics = json.loads((run / "metrics.json").read_text())
    assert math.isfinite(metrics["test"]["mse"])
    assert math.isfinite(metrics["test"]["expected_cost"])
    before = (run / "model.safetensors").read_bytes()
    train(fitted.config, run, resume=True)
    assert (run / "model.safetensors").read_bytes() == before


def test_the_elbo_and_the_cost_agree(run: Path) -> None:
    """Equation (3) for a loss in nats."""
    fitted = FittedModel.load(run, "cpu")
    terms = all_terms(fitted, load_corpus(fitted.config.data, fitted.spec).test, 4)
    assert residual(terms, Setting.of(fitted.model, fitted.config.tau)).worst < 1e-4


def test_predictions_stay_on_the_scale(run: Path) -> None:
    fitted = pickle.loads(pickle.dumps(FittedModel.load(run, "cpu")))
    for prediction in predict(fitted, fitted.documents(["a good crust", "bad", ""]), PredictOptions(samples=20)):
        assert prediction.interval is not None
        assert prediction.sd is not None
        for value, (low, high), (bottom, top) in zip(
            prediction.expected, prediction.interval, SPEC.ranges, strict=True
        ):
            assert bottom <= value <= top
            assert bottom <= low <= high <= top
        assert {end * 2 % 1 for ends in prediction.interval for end in ends} == {0.0}  # they are levels
        assert all(sd > 0 for sd in prediction.sd)


def test_commands(run: Path) -> None:
    assert "squared error" in called("evaluate", "--run", run)
    assert "staff: 0 " in called("explain", "--run", run, "a good crust")
    record = json.loads(called("explain", "--run", run, "--json", "a good crust"))
    assert record["prediction"]["food"]["low"] <= record["prediction"]["food"]["high"]
    assert list(record["prediction"]["staff"]["levels"]) == ["0", "0.5", "1"]
    assert "nats of cross entropy" in called("compare", run)


def test_a_ready_made_corpus_takes_it_where_its_ratings_stand_on_levels() -> None:
    assert load_corpus(DataOptions(documents=16)).spec.kind == "regression"
    with pytest.raises(DataError, match=r"--data synthetic: .* not on at most 50 evenly spaced .*; --task regression"):
        load_corpus(DataOptions(documents=16, task="ordinal"))


def test_a_guide_that_reads_the_ratings_and_a_judge(run: Path, tmp_path: Path) -> None:
    config = FittedModel.load(run, "cpu").config
    for name, option in (("target", {"condition_on_target": True}), ("judge", {"judge": "mcd", "estimator": "rloo"})):
        train(config.changed(**option, steps=3, anneal=1), tmp_path / name)
        loss = json.loads((tmp_path / name / "epochs.jsonl").read_text().splitlines()[-1])["loss"]
        assert np.isfinite(loss)
