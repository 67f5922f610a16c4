"""The task of docs/reference/extending.md, as a user registers it: fitted, evaluated, explained and compared."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_rationale.data import DataOptions, load_corpus
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.objective_report import all_terms
from pyro_rationale.evaluation.results import train
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.objectives.decomposition import Setting, residual
from pyro_rationale.tasks import TASKS, TargetSpec, task_of
from tests.support.commands import called
from tests.support.small_fit import small, table
from tests.tasks.test_likelihood import check_contract

EXAMPLE = Path(__file__).parents[2] / "docs" / "reference" / "extending.md"
SPEC = TargetSpec("laplace", ("stars",), ranges=((1.0, 5.0),))


@pytest.fixture(scope="module")
def example() -> Iterator[dict[str, Any]]:
    """Names that the section of the page defines; its task is registered meanwhile."""
    section = EXAMPLE.read_text(encoding="utf-8").partition("## A new kind of target")[2].partition("\n## ")[0]
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL):
        exec(compile(block, str(EXAMPLE), "exec"), names)
    yield names
    del TASKS["laplace"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of short reviews; one in ten ratings is an outlier."""
    rows, numbers = [], random.Random(1)
    for i in range(90):
        words = numbers.choices(["good", "bad", "the", "crust", "of", "it"], k=12)
        stars = 3 + 0.4 * (words.count("good") - words.count("bad")) + (2 if i % 10 == 0 else 0)
        rows.append(f"{' '.join(words)} {i},{min(5.0, max(1.0, stars)):.1f}")
    return table(tmp_path_factory.mktemp("data") / "pizza.csv", "text,stars", rows)


@pytest.fixture(scope="module")
def run(example: dict[str, Any], data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = {"data": str(data), "text_column": "text", "target_column": ("stars",), "target_range": (1.0, 5.0)}
    train(small(**options, task="laplace", guide="chain"), folder)
    return folder


def test_a_run_is_fitted_and_read_back(run: Path) -> None:
    fitted = FittedModel.load(run, "cpu")
    assert fitted.spec == SPEC
    assert type(fitted.model.likelihood).__name__ == "LaplaceLikelihood"
    metrics = json.loads((run / "metrics.json").read_text())
    assert math.isfinite(metrics["test"]["mae"])
    assert math.isfinite(metrics["test"]["expected_cost"])


def test_the_noise_is_that_of_the_held_out_errors(run: Path) -> None:
    fitted = FittedModel.load(run, "cpu")
    epochs = [json.loads(line) for line in (run / "epochs.jsonl").read_text().splitlines()]
    best = json.loads((run / "metrics.json").read_text())["best_epoch"]
    error = epochs[(best or len(epochs)) - 1]["dev_error"]
    assert fitted.model.likelihood.noise == pytest.approx(max(error, 1e-4), rel=1e-5)


def test_the_elbo_and_the_cost_agree(run: Path) -> None:
    """Equation (3) with the loss and the constant of the example's likelihood."""
    fitted = FittedModel.load(run, "cpu")
    terms = all_terms(fitted, load_corpus(fitted.config.data, fitted.spec).test, 4)
    assert residual(terms, Setting.of(fitted.model, fitted.config.tau)).worst < 1e-4


def test_a_finished_run_is_taken_up(run: Path) -> None:
    before = (run / "model.safetensors").read_bytes()
    train(FittedModel.load(run, "cpu").config, run, resume=True)
    assert (run / "model.safetensors").read_bytes() == before


def test_commands(run: Path, tmp_path: Path) -> None:
    assert "absolute error" in called("evaluate", "--run", run)
    assert "interval" in called("explain", "--run", run, "a good crust")
    record = json.loads(called("explain", "--run", run, "--json", "a good crust"))
    assert record["prediction"]["stars"]["low"] <= record["prediction"]["stars"]["high"]
    called("inspect", "--run", run, "--samples", 8, "--chains", 2, "--out", tmp_path / "inspected")
    assert "scaled rating" in called("compare", run)
    assert "mae" in called("curve", "--run", run, "--rates", "0.1,0.5")


@pytest.mark.usefixtures("example")
def test_a_ready_made_corpus_of_ratings_can_be_fitted() -> None:
    options = DataOptions(documents=16, task="laplace")
    corpus = load_corpus(options)
    assert corpus.spec.kind == "laplace"
    assert load_corpus(options, corpus.spec).spec == corpus.spec
    assert load_corpus(DataOptions(documents=16), corpus.spec).spec == corpus.spec


def test_a_task_that_does_not_fit_a_ready_made_corpus_is_refused() -> None:
    with pytest.raises(ConfigError, match="--task binary: --data synthetic holds ratings"):
        load_corpus(DataOptions(documents=16, task="binary"))


def test_the_likelihood_obeys_its_contract(example: dict[str, Any]) -> None:
    """log p = -gain(1) loss - log_normalizer, whatever the outputs."""
    likelihood = example["LaplaceLikelihood"](2, 0.3)
    check_contract(likelihood, torch.tensor([[0.1, 0.9], [0.4, math.nan]]))


def test_intervals_have_the_tails_of_the_noise(example: dict[str, Any]) -> None:
    one = np.ones((1, 1, 1))
    bounds = task_of(SPEC).mixture(3 * one, 0.1 * one, one[..., 0]).interval_bounds(0.9, SPEC.ranges)
    half = 0.1 / math.sqrt(2) * math.log(10)  # of a Laplace distribution of standard deviation 0.1
    assert bounds[0, 0].tolist() == pytest.approx([3 - half, 3 + half])
