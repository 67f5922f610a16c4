"""The Optuna recipe: trials are pruned through the callback, and the best options are told."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_fit import ROOT, sixteen, small

optuna = pytest.importorskip("optuna")
RECIPE: dict[str, Any] = runpy.run_path(str(ROOT / "benchmarks" / "tune.py"))


class Fixed:
    """A trial of given options that is given up after so many reports."""

    def __init__(self, patience: int) -> None:
        self.trial = optuna.trial.FixedTrial({"learning_rate": 3e-3, "hidden": 32, "dropout": 0.0})
        self.told: list[tuple[float, int]] = []
        self.patience = patience

    def __getattr__(self, name: str) -> Any:
        return getattr(self.trial, name)

    def report(self, value: float, step: int) -> None:
        self.told.append((value, step))

    def should_prune(self) -> bool:
        return len(self.told) >= self.patience


@pytest.mark.parametrize(("patience", "steps"), [(2, [1, 2]), (99, list(range(1, 10)))])
def test_a_trial_reports_every_epoch_until_it_is_given_up(patience: int, steps: list[int], tmp_path: Path) -> None:
    trial = Fixed(patience)
    with pytest.raises(optuna.TrialPruned):  # nine steps reach no share of words: no trial to be compared with others
        RECIPE["error_of"](trial, small(documents=16), sixteen())
    assert [step for _, step in trial.told] == steps
    assert all(value > 0 for value, _ in trial.told)


def test_the_error_is_that_of_the_kept_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    class Run:
        history = [type("Epoch", (), {"dev_error": value}) for value in (0.3, 0.1, 0.2)]  # noqa: RUF012
        selection = type("Selection", (), {"best_epoch": 2})

    error_of = RECIPE["error_of"]
    monkeypatch.setitem(error_of.__globals__, "fit_run", lambda *_, **__: Run())
    assert error_of(Fixed(99), small(), sixteen()) == 0.1
