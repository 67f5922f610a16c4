"""Deep ensembles: one run folder, members from seeds that follow one another, and what they say together."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from pyro_rationale.cli.evaluate import evaluate
from pyro_rationale.cli.explain import explain
from pyro_rationale.cli.fit import fit
from pyro_rationale.config import Config
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.evaluation.results import RunMetrics, train_ensemble
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.decoding import evaluating, inclusion_probabilities, predict_from
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.prediction.shown_masks import decode_all
from pyro_rationale.sklearn import RationaleRegressor
from pyro_rationale.storage import read_tensors
from pyro_rationale.training.ensemble import EnsembleRun
from pyro_rationale.training.fit import fit_run
from pyro_rationale.training.fitted_ensemble import Ensemble
from pyro_rationale.training.run_folder import check_free, clear_run
from tests.support.small_fit import Break, content, differences, fit_small, flags, small

OPTIONS: dict[str, Any] = {"documents": 24, "steps": 3, "anneal": 1, "guide": "chain", "members": 2}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> EnsembleRun:
    """To be read only."""
    return train_ensemble(small(**OPTIONS), tmp_path_factory.mktemp("ensemble") / "run")[0]


@pytest.fixture(scope="module")
def folder(fitted: EnsembleRun) -> Path:
    return fitted.folder


def test_members_are_fits_of_their_own(fitted: EnsembleRun, tmp_path: Path) -> None:
    """The second is bit by bit the fit that its seed gives alone, to the same splits."""
    fit_small(tmp_path / "alone", **{**OPTIONS, "members": 1, "seed": 1})
    assert differences(tmp_path / "alone", fitted.folder / "members" / "1") == []
    assert [run.fitted.config.seed for run in fitted.members] == [0, 1]
    assert fitted.members[0].fitted.rows == fitted.members[1].fitted.rows == fitted.fitted.rows
    assert fitted.ending.splitlines()[1] == f"member 1: {fitted.members[1].ending}"
    metrics = RunMetrics.load(fitted.folder)
    assert list(metrics.members) == ["0", "1"]
    assert metrics.members["1"] == RunMetrics.load(fitted.folder / "members" / "1").test
    assert metrics.test["mse"] < np.mean([row["mse"] for row in metrics.members.values()])
    assert metrics.test["elbo"] == pytest.approx(np.mean([row["elbo"] for row in metrics.members.values()]))


def test_a_loaded_ensemble_averages_its_members(fitted: EnsembleRun, folder: Path) -> None:
    loaded = FittedModel.load(folder, "cpu")
    assert isinstance(loaded, Ensemble)
    assert (loaded.config.train.members, loaded.config.seed) == (2, 0)
    documents = fitted.corpus.test
    members = [FittedModel.load(folder / "members" / name, "cpu") for name in ("0", "1")]
    masks = [tuple(i % 3 == 0 for i in range(len(document.tokens))) for document in documents]
    each = [predict_from(member, documents, masks) for member in members]
    np.testing.assert_allclose(predict_from(loaded, documents, masks), np.mean(each, axis=0), rtol=1e-6)
    marginals = [inclusion_probabilities(member, documents) for member in members]
    for row, one, other in zip(inclusion_probabilities(loaded, documents), *marginals, strict=True):
        np.testing.assert_allclose(row, (one + other) / 2, rtol=1e-6)
    (prediction,) = loaded.predict(documents[:1], samples=10)
    assert prediction.interval is not None
    assert prediction.mode in [member.predict(documents[:1], samples=10)[0].mode for member in members]


def test_each_member_reads_the_masks_that_its_own_guide_draws(fitted: EnsembleRun) -> None:
    """The average is that of the members' averages, and the shown rationale is read by the member that it is from."""
    documents = fitted.corpus.test[:6]
    members = [run.fitted for run in fitted.members]
    together = np.array([one.averaged for one in fitted.fitted.predict(documents, samples=4000)])
    each = np.mean([[one.averaged for one in member.predict(documents, samples=4000)] for member in members], axis=0)
    np.testing.assert_allclose(together, each, atol=0.01)
    with evaluating(fitted.fitted):
        batch = fitted.fitted.encode(documents)
        q = fitted.fitted.guide.posterior(batch).discrete()
        weights = q.responsibilities(q.mode)
        assert weights is not None
        own = [member.task.values(member.model.predictive(batch, q.mode)) for member in members]
    expected = sum(weight[:, None] * values for weight, values in zip(weights.numpy(), own, strict=True))
    np.testing.assert_allclose(decode_all(fitted.fitted, documents, DecodeOptions("mode"))[1], expected, rtol=1e-5)


def test_saved_and_pickled_ensembles_are_the_same(fitted: EnsembleRun, tmp_path: Path) -> None:
    documents = fitted.corpus.test[:2]
    expected = fitted.fitted.predict(documents, samples=10)
    fitted.fitted.save(tmp_path / "copy")
    for twin in (FittedModel.load(tmp_path / "copy", "cpu"), pickle.loads(pickle.dumps(fitted.fitted))):
        assert twin.predict(documents, samples=10) == expected


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_an_interrupted_ensemble_goes_on(fitted: EnsembleRun, tmp_path: Path, steps: int) -> None:
    """Before the first step, in the first member, in the second."""
    config = small(**OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        train_ensemble(config, tmp_path / "run", callbacks=[Break(steps=steps)])
    with pytest.raises(RunError, match=r"is not fitted yet; go on with --out .* --resume"):
        FittedModel.load(tmp_path / "run", "cpu")
    train_ensemble(config, tmp_path / "run", resume=True)
    for name in ("0", "1"):
        assert differences(tmp_path / "run" / "members" / name, fitted.folder / "members" / name) == []
    assert RunMetrics.load(tmp_path / "run").test == RunMetrics.load(fitted.folder).test


def test_a_kill_before_the_first_file_of_the_ensemble(folder: Path, tmp_path: Path) -> None:
    """The members that it leaves are of no ensemble, and are fitted again."""
    copied = tmp_path / "run"
    for name, data in content(folder).items():
        (copied / name).parent.mkdir(parents=True, exist_ok=True)
        (copied / name).write_bytes(data)
    for name in ("README.md", "metrics.json", "config.json", "vocabulary.json", "calibration.json"):
        (copied / name).unlink()
    check_free(copied)
    run, _ = train_ensemble(small(**{**OPTIONS, "seed": 5}), copied)
    assert [member.fitted.config.seed for member in run.members] == [5, 6]
    clear_run(copied)
    assert not (copied / "members").exists()


def test_a_finished_ensemble_takes_more_members_but_not_fewer(fitted: EnsembleRun, tmp_path: Path) -> None:
    fitted.fitted.save(tmp_path / "run")
    run, metrics = train_ensemble(small(**OPTIONS), tmp_path / "more")
    before = read_tensors(tmp_path / "more" / "members" / "1" / "model.safetensors")[0]
    run, metrics = train_ensemble(small(**{**OPTIONS, "members": 3}), tmp_path / "more", resume=True)
    assert (len(run.members), list(metrics.members)) == (3, ["0", "1", "2"])
    after = read_tensors(tmp_path / "more" / "members" / "1" / "model.safetensors")[0]
    assert all(torch.equal(after[name], before[name]) for name in before)
    with pytest.raises(ConfigError, match=r"--members: the run in .* has 3, got 2"):
        train_ensemble(small(**OPTIONS), tmp_path / "more", resume=True)


def test_what_makes_no_ensemble_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ConfigError, match="--members: this fits one model"):
        fit_run(small(**OPTIONS), tmp_path / "run")
    told = CliRunner().invoke(fit, flags(**OPTIONS, devices=2))
    assert "leave --devices out" in str(told.exception)
    with pytest.raises(ConfigError, match="--members: expected a whole number from 1 to 1000"):
        small(members=0)
    with pytest.raises(RunError, match="already holds files"):
        train_ensemble(small(**OPTIONS), folder)
    with pytest.raises(ConfigError, match=r"asked of one model, and there are 2; name .*members/0"):
        FittedModel.load_single(folder, "cpu")


def test_every_command_reads_it(folder: Path, tmp_path: Path) -> None:
    def output(command: click.Command, *words: str) -> str:
        result = CliRunner().invoke(command, ["--run", str(folder), *words])
        assert result.exit_code == 0, (words, result.output, result.exception)
        return result.output

    shown = json.loads(output(explain, "--json", "--samples", "8", "The aroma was superb."))
    assert shown["prediction"]["appearance"]["sd"] > 0
    output(evaluate, "--json", str(tmp_path / "figures.json"))
    assert json.loads((tmp_path / "figures.json").read_text())["metrics"]["documents"] > 0


@pytest.mark.filterwarnings("ignore")  # two steps and no validation texts, which it says
def test_scikit_learn_fits_members(tmp_path: Path) -> None:
    texts = ["the aroma was superb and golden", "a dull, poor taste", "fine and lovely smell", "bad bad beer"] * 4
    options: dict[str, Any] = {"hidden": 2, "embedding": 2, "steps": 2, "anneal": 1, "min_count": 1, "threads": 1}
    model = RationaleRegressor(**options, members=2, device="cpu")
    model.fit(texts, np.tile([5.0, 1.0, 4.0, 0.0], 4))
    assert isinstance(model.fitted_, Ensemble)
    assert len(model.history_) == model.n_iter_ == 4
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(texts[:3]), model.predict(texts[:3]))
    model.save(tmp_path / "run")
    assert isinstance(FittedModel.load(tmp_path / "run", "cpu"), Ensemble)


def test_an_ensemble_is_not_saved_over_another_run(folder: Path, tmp_path: Path) -> None:
    fitted = FittedModel.load(folder, "cpu")
    fitted.save(tmp_path / "copy")
    fitted.save(tmp_path / "copy")  # its own
    fitted.config = fitted.config.changed(seed=99)
    with pytest.raises(RunError, match="holds a run of another configuration"):
        fitted.save(tmp_path / "copy")


def test_the_best_preset_is_an_ensemble_of_texts_and_one_model_of_pairs(tmp_path: Path) -> None:
    def members(**options: Any) -> int:
        return Config().changed(**options).members

    assert (members(), members(preset="best"), members(preset="best", members=1), members(members=5)) == (1, 3, 1, 5)
    assert (members(preset="best", data="questions"), members(preset="best", task="ranking")) == (1, 1)
    assert RationaleRegressor(preset="best")._config().members == 3  # whose texts no corpus holds
    run, metrics = train_ensemble(small(**{**OPTIONS, "preset": "best", "members": None}), tmp_path / "run")
    assert len(run.members) == len(metrics.members) == 3
    assert FittedModel.load(tmp_path / "run", "cpu").config.train.members == 3


def test_figures_are_of_the_predictions_that_are_shown(folder: Path) -> None:
    """`evaluate` predicts from given masks as `explain` does from those that it shows."""
    fitted = FittedModel.load(folder, "cpu")
    documents = fitted.documents(["the aroma was superb and golden", "a dull, poor taste", "fine and lovely smell"])
    shown = fitted.predict(documents, predict="mode")
    values = ModelRationalizer(fitted).predict_own(documents, [one.kept for one in shown])
    np.testing.assert_allclose(fitted.task.clip(values), [one.values for one in shown], rtol=1e-5)
