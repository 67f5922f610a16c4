"""Callbacks of a fit: which hooks are called when, and by which names."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pyro_rationale
from pyro_rationale.errors import ConfigError
from pyro_rationale.training.callbacks import ALWAYS, CALLBACKS, Callback
from pyro_rationale.training.callbacks.early_stopping import EarlyStopping
from pyro_rationale.training.history import EpochRecord, StepRecord
from pyro_rationale.training.run import TrainingRun
from tests.support.small_fit import Break, differences, fit_small, small, whole


class Log(Callback):
    """Notes what is called."""

    calls: list[str] = []  # noqa: RUF012  one for all objects: a registered callback is made by the fit

    def on_fit_start(self, run: TrainingRun) -> None:
        self.calls.append(f"start {run.trainer.step}")

    def on_step_end(self, run: TrainingRun, record: StepRecord) -> None:
        self.calls.append(f"step {run.trainer.step}")

    def on_epoch_end(self, run: TrainingRun, record: EpochRecord) -> None:
        assert (run.folder / "checkpoint.safetensors").exists()
        self.calls.append(f"epoch {record.epoch}")

    def on_checkpoint(self, run: TrainingRun) -> None:
        self.calls.append("checkpoint")

    def on_fit_end(self, run: TrainingRun) -> None:
        assert (run.folder / "model.safetensors").exists()
        self.calls.append("end")


@pytest.fixture
def log() -> Iterator[list[str]]:
    CALLBACKS["log"] = Log
    Log.calls.clear()
    yield Log.calls
    del CALLBACKS["log"]


def test_the_hooks_of_a_fit_by_name(tmp_path: Path, log: list[str]) -> None:
    fit_small(tmp_path, callback=("log",))
    epochs = [[f"step {3 * i + j}" for j in (1, 2, 3)] + ["checkpoint", f"epoch {i + 1}"] for i in range(3)]
    assert log == ["start 0", *epochs[0], *epochs[1], *epochs[2], "end"]
    assert differences(tmp_path, whole()) == []


def test_an_interrupted_fit_may_go_on_with_other_callbacks(tmp_path: Path, log: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path, Break(steps=2))
    fit_small(tmp_path, resume=True, callback=("log",))
    assert log[:2] == ["start 2", "step 3"]
    assert differences(tmp_path, whole()) == []


def test_a_callback_ends_a_fit(tmp_path: Path) -> None:
    class Stop(Callback):
        def on_epoch_end(self, run: TrainingRun, record: EpochRecord) -> None:
            run.should_stop = record.epoch == 2

    fit, metrics = fit_small(tmp_path, Stop())
    assert metrics.epochs == len(fit.history) == 2
    assert fit.ending.endswith("; a callback ended training")


def test_those_of_every_fit_are_registered(tmp_path: Path) -> None:
    fit, _ = fit_small(tmp_path, callback=("early-stopping",))
    assert [type(callback) for callback in fit.callbacks] == [CALLBACKS[name] for name in ALWAYS]
    assert CALLBACKS["early-stopping"] is EarlyStopping


def test_an_unknown_callback() -> None:
    with pytest.raises(ConfigError, match=r"--callback: expected one of early-stopping, checkpoint.*got 'lgo'"):
        small(callback=("lgo",))


def test_names_are_known_without_torch() -> None:
    program = "import sys; from pyro_rationale.training.callbacks import CALLBACKS, Callback; list(CALLBACKS); "
    program += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_exception_names_the_callback_and_loses_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        fit_small(tmp_path, Break(steps=4, problem=ZeroDivisionError))
    assert caught.value.__notes__ == ["raised by the callback tests.support.small_fit.Break in its on_step_end"]
    fit_small(tmp_path, resume=True)
    assert differences(tmp_path, whole()) == []


def test_another_exception_on_the_way_out_hides_nothing(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    class Worse(Break):
        def on_exception(self, run: TrainingRun, problem: BaseException) -> None:
            raise OSError(f"{type(problem).__name__} is no reason")

    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path, Worse(steps=1))
    assert "OSError: KeyboardInterrupt is no reason; raised by the callback" in caplog.text


@pytest.mark.parametrize(
    ("given", "said"),
    [(Log, "callbacks: Log is a class; give an object, Log()"), (object(), "callbacks: object is no subclass of")],
)
def test_what_is_no_callback_is_refused(given: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        fit_small(tmp_path / "run", given)
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_base_class_is_public() -> None:
    assert pyro_rationale.Callback is Callback
