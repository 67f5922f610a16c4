"""A fit that was killed, at any moment, goes on to the same result; one that was asked to end says how to go on."""

from __future__ import annotations

import itertools
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pyro_rationale.cli.fit import fit
from pyro_rationale.errors import RunError
from pyro_rationale.storage import read_tensors
from pyro_rationale.training.fit import fit_run
from tests.support.small_fit import ROOT, differences, fit_small, flags, small, whole

LONG = {"documents": 96, "steps": 60}  # a second or more, for signals to hit


# In this process: from one file operation on, nothing reaches the disk any more.


class Killed(BaseException):
    pass


def die_at(patch: pytest.MonkeyPatch, owner: Any, name: str, at: int) -> None:
    original, calls = getattr(owner, name), itertools.count(1)

    def operation(*args: Any, **kwargs: Any) -> Any:
        if next(calls) >= at:
            raise Killed
        return original(*args, **kwargs)

    patch.setattr(owner, name, operation)


# 1 configuration, 2 vocabulary, 3 to 8 checkpoint and history of three epochs, 9 weights, 10 metrics
@pytest.mark.parametrize("at", range(1, 11))
def test_a_kill_before_any_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    with monkeypatch.context() as patch:
        die_at(patch, os, "replace", at)
        with pytest.raises(Killed):
            fit_small(tmp_path)
    assert (tmp_path / "model.safetensors").exists() == (at == 10)
    (tmp_path / ".checkpoint.safetensors.k1ll3d").write_bytes(b"what a kill leaves of a file half written")
    if at == 1:
        with pytest.raises(RunError, match="no run to resume; start one with the same command without --resume"):
            fit_small(tmp_path, resume=True)
    fit_small(tmp_path, resume=at > 1)
    assert differences(tmp_path, whole()) == []
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.parametrize("at", [4, 9, 16])
def test_a_kill_between_checkpoints_within_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("pyro_rationale.training.callbacks.checkpoint.SAVE_SECONDS", -1.0)  # one after each step
        die_at(patch, os, "replace", at)
        with pytest.raises(Killed):
            fit_small(tmp_path)
    facts = read_tensors(tmp_path / "checkpoint.safetensors")[1]["trainer"]
    assert (facts["epoch"], facts["position"]) == {4: (0, 1), 9: (0, 3), 16: (1, 3)}[at]
    fit_small(tmp_path, resume=True)
    assert differences(tmp_path, whole()) == []


def test_a_second_fit_writes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of the test above cover all writes."""
    die_at(monkeypatch, os, "replace", 11)
    fit_small(tmp_path)


@pytest.mark.parametrize("at", range(1, 7))
def test_a_kill_while_a_run_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """--force cut short leaves the old run, finished or to finish, or nothing that passes for a run."""
    shutil.copytree(whole(), tmp_path / "run")
    with monkeypatch.context() as patch:
        die_at(patch, Path, "unlink", at)
        with pytest.raises(Killed):
            fit_run(small(seed=1), tmp_path / "run", force=True)
    if at <= 2:
        fit_small(tmp_path / "run", resume=True)
        assert differences(tmp_path / "run", whole()) == []
    else:
        with pytest.raises(RunError, match="no run to resume"):
            fit_small(tmp_path / "run", resume=True)


# In a process of its own.


# As `python -m pyro_rationale.fit`, but jobs in the background are born deaf to Ctrl-C.
PROGRAM = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("pyro_rationale.fit", run_name="__main__", alter_sys=True)
"""


@contextmanager
def process(folder: Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A fit in a process of its own, which has written its first checkpoint."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *flags(**options), "--out", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "40"},
    ) as running:
        try:
            deadline = time.monotonic() + 120
            while not (folder / "checkpoint.safetensors").exists():
                assert running.poll() is None, running.communicate()
                assert time.monotonic() < deadline, "no checkpoint after two minutes"
                time.sleep(0.005)
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("guide", ["relaxed", "chain"])
def test_kill_9(tmp_path: Path, guide: str) -> None:
    with process(tmp_path / "run", guide=guide, **LONG) as running:
        time.sleep(random.SystemRandom().uniform(0.0, 0.2))
        running.kill()
        running.wait()
    assert running.returncode == -signal.SIGKILL
    assert not (tmp_path / "run" / "metrics.json").exists()
    fit_small(tmp_path / "run", resume=True, guide=guide, **LONG)
    assert differences(tmp_path / "run", whole(guide=guide, **LONG)) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_end(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "a run"
    with process(folder, **LONG) as running:
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in err
    last = out.splitlines()[-1]
    assert last == f"Interrupted. Go on with: python -m pyro_rationale.fit --out '{folder}' --resume"
    resumed = CliRunner().invoke(fit, shlex.split(last.partition("fit ")[2]))
    assert resumed.exit_code == 0, resumed.output
    assert "resumed after epoch" in resumed.output
    assert differences(folder, whole(**LONG)) == []
