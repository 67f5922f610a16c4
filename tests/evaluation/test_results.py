"""`metrics.json`: what a run writes at its end, and what is read from runs of other versions."""

from __future__ import annotations

import ast
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.errors import RunError
from pyro_rationale.evaluation import results
from pyro_rationale.evaluation.results import RunMetrics, finish_run, train
from pyro_rationale.training.fit import fit_run
from tests.support.small_fit import small

ROOT = Path(__file__).parents[2] / "pyro_rationale"
OLD = {
    "data": "synthetic",
    "guide": "chain",
    "estimator": "sum-and-sample",
    "seed": 3,
    "test": {"documents": 12, "mse": 0.5},
    "prior": {"alpha": 2.0},
    "prior_asked": {"alpha": 1.5},
    "a field of another version": 1,
}


def test_a_run_of_another_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(OLD))
    metrics = RunMetrics.load(tmp_path)
    assert (metrics.guide, metrics.test["mse"], metrics.prior_asked["alpha"]) == ("chain", 0.5, 1.5)
    assert (metrics.restarts, metrics.noise_floor, metrics.failures) == (0, None, ())


def test_what_was_a_warning_is_a_failure(tmp_path: Path) -> None:
    """A run that never came down to its rate is no success because it is old."""
    (tmp_path / "metrics.json").write_text(json.dumps(OLD | {"best_epoch": 0}))
    assert RunMetrics.load(tmp_path).failures[0].startswith("training never came down")
    (tmp_path / "metrics.json").write_text(json.dumps(OLD | {"best_epoch": 2}))
    assert RunMetrics.load(tmp_path).failures == ()


@pytest.mark.parametrize("content", ["[]", "3", '"data"', "{}", json.dumps({"data": "synthetic"}), "{"])
def test_anything_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(RunError, match=r"metrics\.json"):
        RunMetrics.load(tmp_path)


def test_training_ends_before_the_test_table(tmp_path: Path) -> None:
    """The weights are chosen and saved by training; evaluation measures them, and its file closes the run."""
    run = fit_run(small(), tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert not (tmp_path / "run" / "metrics.json").exists()
    metrics = finish_run(run)
    assert RunMetrics.load(tmp_path / "run") == metrics
    assert {"mse", "f1", "iou_f1", "auprc", "elbo"} <= metrics.test.keys()
    stored = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert stored.keys() == {item.name for item in fields(RunMetrics)}
    _, again = train(small(), tmp_path / "again")
    assert {**asdict(again), "seconds": 0} == {**asdict(metrics), "seconds": 0}


def test_training_does_not_know_evaluation() -> None:
    for path in (ROOT / "training").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name.startswith("pyro_rationale.evaluation")], path


@pytest.mark.parametrize(("annealed", "event", "ended"), [(1, "", True), (None, "", False), (1, "collapse", False)])
def test_a_fit_is_judged_by_its_share_and_the_error_of_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, annealed: int | None, event: str, ended: bool
) -> None:
    """Masks that were on their way when training ended, or had collapsed, are not judged by the words they keep."""
    given: list[tuple[Any, ...]] = []

    def judged(*words: Any) -> tuple[str, ...]:
        given.append(words)
        return ()

    run = fit_run(small(), tmp_path / "run")
    monkeypatch.setattr(run.selection, "annealed_epoch", annealed)
    monkeypatch.setattr(run.history[-1], "event", event)
    monkeypatch.setattr(results, "failures", judged)
    metrics = finish_run(run)
    [(_, asked, kept, _, course, error)] = given
    assert (asked, kept) == (pytest.approx(run.fitted.config.model.rate), metrics.test["selected"])
    assert course.ended == ended
    low, high = metrics.intervals["selected"]
    assert error == pytest.approx((high - low) / (2 * 1.96), rel=0.5)
