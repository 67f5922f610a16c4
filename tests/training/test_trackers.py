"""`--log`: what a fit writes to an experiment tracker, through a tracker in memory and through the real libraries."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sklearn.base

from pyro_rationale.cli.fit import fit
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.results import train, train_ensemble
from pyro_rationale.storage import read_manifest
from pyro_rationale.training.callbacks import CALLBACKS, LOGGERS, MLflow, TensorBoard, WandB
from pyro_rationale.training.callbacks._tracker import FAILED, FINISHED, INTERRUPTED, Tracker, epoch_figures, run_name
from pyro_rationale.training.history import EpochRecord
from tests.support.small_fit import Break, content, fit_small, flags, refusal, small, whole


class Memory(Tracker):
    """Keeps all it is told."""

    NAME, OPENED = "memory", ("lock",)
    lock: Any

    def __init__(self, fails: str = "") -> None:
        super().__init__()
        self.fails = fails
        self.known: list[str | None] = []
        self.options: Mapping[str, Any] = {}
        self.figures: dict[int, dict[str, float]] = {}
        self.written: dict[str, dict[str, float]] = {}  # the last figures, by record
        self.states: list[str] = []

    def check(self) -> None:
        if self.fails == "open":
            raise OSError("no network\nat all")

    def open(self, name: str, options: Mapping[str, Any], folder: Path, known: str | None, step: int) -> str:
        if self.fails in ("open", "later"):
            raise OSError("no network\nat all")
        self.known.append(known)
        self.options = options
        self.record = known or f"id of {name}"
        return self.record

    def write(self, figures: Mapping[str, float], step: int) -> None:
        if self.fails == "write":
            raise OSError("no space left")
        self.figures.setdefault(step, {}).update(figures)
        self.written.setdefault(self.record, {}).update(figures)

    def close(self, state: str) -> None:
        self.states.append(state)


def test_options_epochs_and_results(tmp_path: Path) -> None:
    tracker = Memory()
    _, metrics = fit_small(tmp_path / "run", tracker)
    assert {"train.steps": 9, "target.kind": "regression", "documents.train": 48}.items() <= tracker.options.items()
    assert sorted(tracker.figures) == [3, 6, 9]
    lines = [json.loads(line) for line in (tmp_path / "run" / "epochs.jsonl").read_text().splitlines()]
    assert [tracker.figures[line["step"]]["dev/error"] for line in lines] == [line["dev_error"] for line in lines]
    assert tracker.figures[9]["test/mse"] == metrics.test["mse"]
    assert tracker.figures[9]["baselines/constant/mse"] == metrics.baselines["constant"]["mse"]
    assert tracker.states == [FINISHED]


def test_a_resumed_fit_goes_on_in_the_same_record(tmp_path: Path) -> None:
    first, second = Memory(), Memory()
    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path / "run", first)
    fit_small(tmp_path / "run", second, resume=True)
    assert (first.known, second.known) == ([None], ["id of run"])
    assert (first.states, second.states) == ([INTERRUPTED], [FINISHED])
    assert [*first.figures, *second.figures] == [3, 6, 9]  # no epoch is missing, and none is told twice
    assert read_manifest(tmp_path / "run")["notes"]["trackers"] == {"memory": "id of run"}


def _interrupted(folder: Path, tracker: Tracker, **how: Any) -> None:
    train(small(), folder, callbacks=[tracker, Break(steps=5, **how)])


def test_a_failed_fit_says_so(tmp_path: Path) -> None:
    tracker = Memory()
    with pytest.raises(ValueError, match=r"raised by the callback tests\.support\.small_fit\.Break in its on_step_end"):
        _interrupted(tmp_path / "run", tracker, problem=ValueError)
    assert tracker.states == [FAILED]


def test_a_tracker_that_cannot_be_opened(tmp_path: Path) -> None:
    first = Memory()
    with pytest.raises(ConfigError, match=r"^--log memory: no network at all; mend that, or leave it out"):
        train(small(), tmp_path / "run", callbacks=[first, Memory(fails="later")])
    assert first.states == [FAILED]  # no record is left open
    assert not (tmp_path / "run" / "epochs.jsonl").exists()


@pytest.mark.parametrize("members", [1, 2])
def test_no_run_is_removed_for_one_whose_tracker_cannot_be_opened(tmp_path: Path, members: int) -> None:
    make = train if members == 1 else train_ensemble
    folder, tracker = shutil.copytree(whole(), tmp_path / "run"), Memory(fails="open")
    before = content(folder)
    for path in (folder, tmp_path / "new"):
        with pytest.raises(ConfigError, match=r"^--log memory: no network at all; mend that, or leave it out"):
            make(small(members=members), path, force=True, callbacks=[tracker])
    assert content(folder) == before
    assert not (tmp_path / "new").exists()
    assert not tracker.states  # nothing was opened


def test_no_run_is_removed_for_one_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    wandb = pytest.importorskip("wandb")

    def login(**settings: Any) -> bool:
        raise wandb.errors.UsageError("No API key configured. Use `wandb login` to log in.")

    monkeypatch.setattr(wandb, "login", login)
    monkeypatch.setattr(wandb, "init", login)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    folder = shutil.copytree(whole(), tmp_path / "run")
    before = content(folder)
    said = refusal(capfd, fit, *flags(), "--out", folder, "--force", "--log", "wandb")
    assert said == "--log wandb: No API key configured. Use `wandb login` to log in; mend that, or leave it out"
    assert content(folder) == before
    for settings in ({"mode": "disabled"}, SimpleNamespace(mode="offline")):
        WandB(settings=settings).on_check()
    WandB(mode="offline").on_check()
    monkeypatch.setenv("WANDB_MODE", "offline")
    WandB().on_check()


def test_a_store_that_cannot_be_read_is_said_before_a_run_is_removed(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    folder = shutil.copytree(whole(), tmp_path / "run")
    before = content(folder)
    with pytest.raises(ConfigError, match=r"^--log mlflow: .*; mend that, or leave it out"):
        train(small(), folder, force=True, callbacks=[MLflow("nowhere://at.all")])
    assert content(folder) == before


def test_a_tracker_that_fails_on_the_way_costs_no_fit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = Memory(fails="write")
    with caplog.at_level(logging.WARNING):
        fit_small(tmp_path / "run", tracker)
    told = [record.getMessage() for record in caplog.records if "--log" in record.getMessage()]
    assert told == ["--log memory: no space left; the fit goes on without it"]
    assert (tmp_path / "run" / "metrics.json").exists()


def test_an_untrained_guide_has_no_figures_on_dev() -> None:
    record = EpochRecord(1, 3, 0.5, 1.0, 0.7, 0.0, 1.0, dev_error=0.4, warmup=1.0)
    assert epoch_figures(record) == {
        "epoch": 1, "train/loss": 0.5, "train/rate": 1.0, "train/target": 0.7, "train/field": 0.0,
        "train/flatness": 1.0, "train/warmup": 1.0,
    }  # fmt: skip


def test_a_member_of_an_ensemble_has_the_name_of_both() -> None:
    assert run_name(Path("runs/reviews")) == "reviews"
    assert run_name(Path("runs/reviews/members/2")) == "reviews-2"


def test_results_of_an_ensemble_reach_the_records_of_its_members(tmp_path: Path) -> None:
    tracker = Memory()  # one for all members, which are fitted one after the other
    fit, metrics = train_ensemble(small(members=2), tmp_path / "run", callbacks=[tracker])
    assert tracker.known == [None, None, "id of run-0", "id of run-1"]  # opened again for the results
    assert tracker.states == [FINISHED] * 4
    for number in range(2):
        own = json.loads((fit.folder / "members" / str(number) / "metrics.json").read_text())
        figures = tracker.written[f"id of run-{number}"]
        assert figures["test/mse"] == own["test"]["mse"]
        assert figures["ensemble/mse"] == metrics.test["mse"]


def test_a_copy_of_an_open_tracker_is_closed(tmp_path: Path) -> None:
    tracker = Memory("write")
    tracker.is_open, tracker.lock = True, threading.Lock()
    copied = sklearn.base.clone([tracker], safe=False)[0]
    assert (copied.is_open, copied.fails, hasattr(copied, "lock")) == (False, "write", False)


def test_loggers_are_callbacks() -> None:
    assert set(LOGGERS) <= set(CALLBACKS)
    with pytest.raises(ConfigError, match=r"--log: expected one of tensorboard, wandb, mlflow, got 'tensorbord'; did"):
        small(log=("tensorbord",))


@pytest.mark.parametrize("name", LOGGERS)
def test_a_library_that_is_missing_is_named_at_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=f"^--log {name} needs {name}: pip install "):
        fit_small(tmp_path / "run", log=(name,))
    assert not (tmp_path / "run").exists()


# The libraries themselves, without a network.


@pytest.mark.filterwarnings("ignore")  # theirs, not ours
def test_tensorboard_has_the_epochs_and_purges_with_force(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(small(), tmp_path / "run", callbacks=[TensorBoard()])
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("dev/error")] == [3, 6, 9]
    assert [event.step for event in events.Scalars("test/mse")] == [9]
    assert b"model.guide" in events.Tensors("options/text_summary")[0].tensor_proto.string_val[0]
    train(small(), tmp_path / "run", force=True)
    assert not (tmp_path / "run" / "tensorboard").exists()


@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_parameters_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # tables of a data base take seconds to make
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'store'}")
    from mlflow import MlflowClient

    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path / "run", MLflow())
    client = MlflowClient()
    experiment = client.get_experiment_by_name("pyro_rationale")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status, run.data.params["model.guide"]) == ("run", "KILLED", "relaxed")
    fit_small(tmp_path / "run", resume=True, log=("mlflow",))
    run = client.get_run(run.info.run_id)
    assert run.info.status == "FINISHED"
    assert [figure.step for figure in client.get_metric_history(run.info.run_id, "dev/error")] == [3, 6, 9]
    assert run.data.metrics["test/mse"] > 0


@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_a_run_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    for name, value in {"MODE": "offline", "DIR": str(tmp_path), "SILENT": "true"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    fit_small(tmp_path / "run", log=("wandb",))
    [record] = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    names = {b"dev/error", b"test/mse", b"model.guide"}
    for _ in range(600):  # its service writes the last records in a process of its own
        if found := {name for name in names if name in record.read_bytes()} == names:
            break
        time.sleep(0.1)
    assert found
