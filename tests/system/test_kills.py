"""A fit that was killed, at any moment, goes on to the same result; one that was asked to end says how to go on."""

from __future__ import annotations

import itertools
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner

from pyro_rationale.__main__ import run
from pyro_rationale.cli.fit import fit
from pyro_rationale.cli.posterior import inspect
from pyro_rationale.data import DataOptions, load_corpus
from pyro_rationale.errors import RunError
from pyro_rationale.guides import GUIDES
from pyro_rationale.storage import read_tensors
from pyro_rationale.training.fit import fit_run
from pyro_rationale.training.trainer import Trainer
from tests.support import PATIENCE
from tests.support.grids import some
from tests.support.small_fit import ROOT, content, differences, fit_small, flags, small, whole

LONG = {"documents": 96, "steps": 60}  # a second or more, for signals to hit
LAST = 45  # at this step a fit that is to be ended waits for it, however late the signal comes


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


# 1 digests of the rows, then each time the manifest before the file: 3 configuration, 5 vocabulary, 7 to 17 checkpoint
# and history of three epochs, 19 keys of the training texts, 21 calibration, 23 weights, 25 metrics, 27 model card
@some("at", [*range(1, 7), *range(11, 15), *range(19, 28)], [*range(7, 11), *range(15, 19)])
def test_a_kill_before_any_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    with monkeypatch.context() as patch:
        die_at(patch, os, "replace", at)
        with pytest.raises(Killed):
            fit_small(tmp_path)
    assert (tmp_path / "model.safetensors").exists() == (at >= 24)
    (tmp_path / ".checkpoint.safetensors.k1ll3d").write_bytes(b"what a kill leaves of a file half written")
    if at <= 3:  # before config.json
        with pytest.raises(RunError, match="no run to resume; start one with the same command without --resume"):
            fit_small(tmp_path, resume=True)
    fit_small(tmp_path, resume=at > 3)
    assert differences(tmp_path, whole()) == []
    assert len(list(tmp_path.iterdir())) == 10


@pytest.mark.parametrize("at", [8, 16, 28])
def test_a_kill_between_checkpoints_within_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("pyro_rationale.training.callbacks.checkpoint.SAVE_SECONDS", -1.0)  # one after each step
        die_at(patch, os, "replace", at)
        with pytest.raises(Killed):
            fit_small(tmp_path)
    facts = read_tensors(tmp_path / "checkpoint.safetensors")[1]["trainer"]
    assert (facts["epoch"], facts["position"]) == {8: (0, 1), 16: (0, 3), 28: (1, 3)}[at]
    fit_small(tmp_path, resume=True)
    assert differences(tmp_path, whole()) == []


def test_a_second_fit_writes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of the test above cover all writes."""
    die_at(monkeypatch, os, "replace", 28)
    fit_small(tmp_path)


@pytest.mark.parametrize("at", range(1, 8))
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


# In a process of its own, forked from one that has imported everything: seconds less than a fresh one.

SERVER = get_context("forkserver")
# Torch's optimisers load its compiler with their first step, which takes longer than all the rest of a short fit.
SERVER.set_forkserver_preload(["tests.system.test_kills", "pyro_rationale.cli.benchmark", "torch._dynamo"])


@dataclass
class Command:
    """`python -m pyro_rationale.NAME WORDS` under way."""

    process: ForkServerProcess
    output: Path

    def end(self, number: signal.Signals, within: float = 0.0) -> tuple[str, str]:
        """End it at some moment of the next `within` seconds; what it has printed."""
        time.sleep(random.SystemRandom().uniform(0.0, within))
        os.kill(self.process.pid or 0, number)
        self.process.join(PATIENCE)
        out, err = ((self.output / name).read_text() for name in ("out", "err"))
        assert self.process.exitcode == (-number if number == signal.SIGKILL else 130), (out, err)
        assert "Traceback" not in err
        return out, err


def wait_at_last(patch: pytest.MonkeyPatch) -> None:
    step = Trainer.train_step

    def held(trainer: Trainer, *args: Any, **kwargs: Any) -> Any:
        while trainer.step >= LAST:
            time.sleep(0.05)
        return step(trainer, *args, **kwargs)

    patch.setattr(Trainer, "train_step", held)


def work(name: str, words: Sequence[str], output: Path) -> None:
    for number, stream in ((1, "out"), (2, "err")):
        os.dup2(os.open(output / stream, os.O_WRONLY | os.O_CREAT), number)
    os.environ["COLUMNS"] = "40"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background are born deaf to Ctrl-C
    if name == "fit":
        wait_at_last(pytest.MonkeyPatch())  # nothing to put back in a process of its own
    run(name)


@contextmanager
def command(name: str, words: Sequence[object], begun: Callable[[], bool]) -> Iterator[Command]:
    """A command in a process of its own, which has begun its work."""
    with TemporaryDirectory() as output, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, words)])  # which a process of this kind starts with
        process = SERVER.Process(target=work, args=(name, list(map(str, words)), Path(output)))
        process.start()
        try:
            deadline = time.monotonic() + PATIENCE
            while not begun():
                assert process.is_alive(), [path.read_text() for path in Path(output).iterdir()]
                assert time.monotonic() < deadline, f"not begun after {PATIENCE} seconds"
                time.sleep(0.005)
            yield Command(process, Path(output))
        finally:
            process.kill()
            process.join()


def fitting(folder: Path, **options: Any) -> AbstractContextManager[Command]:
    """A fit that has written its first checkpoint."""
    return command("fit", [*flags(**options), "--out", folder], (folder / "checkpoint.safetensors").exists)


@some("guide", ["relaxed"], ["chain"])
def test_kill_9(tmp_path: Path, guide: str) -> None:
    with fitting(tmp_path / "run", guide=guide, **LONG) as running:
        running.end(signal.SIGKILL, 0.2)
    assert not (tmp_path / "run" / "metrics.json").exists()
    fit_small(tmp_path / "run", resume=True, guide=guide, **LONG)
    assert differences(tmp_path / "run", whole(guide=guide, **LONG)) == []


@some("number", [signal.SIGTERM, signal.SIGINT], [signal.SIGHUP])
def test_a_polite_end(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "a run"
    with fitting(folder, **LONG) as running:
        out, _ = running.end(number)
    last = out.splitlines()[-1]
    assert last == f"Interrupted. Go on with: python -m pyro_rationale.fit --out '{folder}' --resume"
    resumed = CliRunner().invoke(fit, [*shlex.split(last.partition("fit ")[2]), "--baselines", "none"])
    assert resumed.exit_code == 0, resumed.output
    assert "resumed after epoch" in resumed.output
    assert differences(folder, whole(**LONG)) == []


WORKERS = """
import time
from pyro_rationale.data.cache.build import in_processes

if __name__ == "__main__":
    for result in in_processes(time.sleep, iter([0.0, 0.0, 600.0, 600.0]), 2):
        print("done", flush=True)
"""


def test_workers_do_not_outlive_a_process_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(WORKERS)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as running:
        assert running.stdout is not None
        assert [running.stdout.readline() for _ in range(2)] == ["done\n"] * 2
        running.kill()
        assert running.communicate(timeout=30)[0] == ""  # the workers have the pipe as well: it ends with the last


# Forty kills.

EACH = [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT]


@pytest.mark.slow
@pytest.mark.parametrize("number", EACH)
@pytest.mark.parametrize("guide", list(GUIDES))
def test_a_fit_goes_on_to_the_same_bits(tmp_path: Path, guide: str, number: signal.Signals) -> None:
    options = {**LONG, "steps": 90, "guide": guide}
    with fitting(tmp_path / "run", **options) as running:
        running.end(number, 0.7)
    assert not (tmp_path / "run" / "metrics.json").exists()
    fit_small(tmp_path / "run", resume=True, **options)
    assert differences(tmp_path / "run", whole(**options)) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", EACH)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_cache_is_made_again(tmp_path: Path, workers: int, number: signal.Signals) -> None:
    options = DataOptions(documents=8000, workers=workers, cache=str(tmp_path))
    words = ["--documents", 8000, "--workers", workers, "--cache", tmp_path]
    with command("prepare", words, lambda: any(tmp_path.glob(".synthetic-*.arrow.*"))) as running:
        running.end(number, 1.0)
    assert not list(tmp_path.glob("*.json"))
    found, held = load_corpus(options), load_corpus(replace(options, cache=None))
    for split in ("train", "dev", "test"):
        assert list(getattr(found, split)) == list(getattr(held, split))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".arrow", ".json", ".lock"]


SAME = {"table.csv", "curves.csv", "documents.json", "epochs.jsonl", "vocabulary.json", "model.safetensors"}


@pytest.mark.slow
@pytest.mark.parametrize("number", EACH)
def test_a_benchmark_goes_on_to_the_same_tables(tmp_path: Path, number: signal.Signals) -> None:
    from pyro_rationale.cli.benchmark import benchmark

    plan = (ROOT / "benchmarks" / "configs" / "tiny.toml").read_text().replace("steps = 9", "steps = 60")
    (tmp_path / "plan.toml").write_text(plan)
    words, folder = [str(tmp_path / "plan.toml"), "--quiet", "--out"], tmp_path / "killed"
    with command("benchmark", [*words, folder], lambda: any(folder.rglob("checkpoint.safetensors"))) as running:
        running.end(number, 2.5)
    for out in (folder, tmp_path / "whole"):
        benchmark.main([*words, str(out)], standalone_mode=False)
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.name in SAME or path.name == "cell.json"]
    assert len(names) == 2 + 4 * 5  # tables; cells
    for name in names:
        assert untimed(folder / name) == untimed(tmp_path / "whole" / name), name


def untimed(path: Path) -> Any:
    if path.name == "cell.json":
        return {**json.loads(path.read_text()), "seconds": None}
    return [line for line in path.read_bytes().splitlines() if b",seconds," not in line]


@pytest.mark.slow
@pytest.mark.parametrize("number", EACH)
@pytest.mark.parametrize("within", [0.3, 2.0])
def test_an_inspection_is_made_again(tmp_path: Path, number: signal.Signals, within: float) -> None:
    words = ["--run", whole(), "--documents", 40, "--samples", 2000, "--no-report", "--quiet", "--out"]
    with command("inspect", [*words, tmp_path / "a"], lambda: any((tmp_path / "a").glob(".posterior.nc.*"))) as running:
        running.end(number, within)
    for name in ("a", "b"):
        result = CliRunner().invoke(inspect, [*map(str, words), str(tmp_path / name), "--force"])
        assert result.exit_code == 0, result.output
    assert content(tmp_path / "a") == content(tmp_path / "b")
