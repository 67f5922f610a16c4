"""Several processes take the step of one; what befalls one of them ends all."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
import torch.distributed as dist

from pyro_rationale.cli.fit import fit
from pyro_rationale.storage import read_tensors
from pyro_rationale.training.distributed import SINGLE_PROCESS, PeerError, Processes
from pyro_rationale.training.launch import launch
from pyro_rationale.training.launch_options import LaunchOptions
from tests.support import PATIENCE
from tests.support.several import CASES, joint
from tests.support.small_fit import ROOT, Break, differences, fit_small, flags, refusal

SCRIPT = str(Path(__file__).parents[1] / "support" / "several.py")
TWO = LaunchOptions(devices=2)
LONG = {"documents": 96, "steps": 600, "samples": 2}


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two processes."""
    folder = tmp_path_factory.mktemp("together")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]))
        assert launch(TWO, [SCRIPT, str(folder), "joint"]) == 0
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Results of one process."""
    return joint(tmp_path_factory.mktemp("alone"), SINGLE_PROCESS)


def made(folder: Path, rank: int) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / f"{rank}.pt", weights_only=True)
    return found


def close(one: Any, other: Any, tolerance: float) -> bool:
    """Whether two numbers, lists, tensors or `None`s are the same, relative to the largest in them."""
    if one is None or other is None:
        return one is other
    one, other = torch.as_tensor(one).double(), torch.as_tensor(other).double()
    scale = float(other.nan_to_num().abs().max()) if other.numel() else 0.0
    return torch.allclose(one, other, rtol=0.0, atol=tolerance * max(scale, 1e-30), equal_nan=True)


@pytest.mark.parametrize("case", [case for case in CASES if case != "nvil"])
def test_two_processes_give_the_gradients_of_one(together: Path, alone: dict[str, Any], case: str) -> None:
    found, expected = made(together, 0)[case], alone[case]
    assert found.keys() == expected.keys()
    assert "record 1" in found
    assert case == "ahead" or any("gradient 1" in name for name in found)
    assert [name for name in expected if not close(found[name], expected[name], 1e-12)] == []


def test_running_statistics_of_a_baseline_are_those_of_all(together: Path, alone: dict[str, Any]) -> None:
    """Their mean is exact; the variance leaves out by how much the means of the shares differ."""
    found, expected = made(together, 0)["nvil"], alone["nvil"]
    first = [name for name in expected if name.startswith("gradient 0") and "baseline" not in name]
    assert len(first) > 10
    assert [name for name in first if not close(found[name], expected[name], 1e-12)] == []
    assert close(found["guide.baseline.mean"], expected["guide.baseline.mean"], 1e-2)
    assert close(found["guide.baseline.variance"], expected["guide.baseline.variance"], 0.5)
    assert float(found["guide.baseline.variance"]) != 1.0


def test_the_processes_agree_to_the_last_bit(together: Path) -> None:
    one, other = made(together, 0), made(together, 1)
    for case in (*CASES, "weights"):
        assert [name for name in one[case] if not _same(one[case][name], other[case][name])] == []


def _same(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else repr(one) == repr(other)


def test_two_processes_make_the_fit_of_one(together: Path, alone: dict[str, Any]) -> None:
    found, expected = made(together, 0), alone
    assert len(found["history"]) == len(expected["history"]) >= 3
    for one, other in zip(found["history"], expected["history"], strict=True):
        assert (one["step"], one["event"]) == (other["step"], other["event"])
        figures = [name for name in other if isinstance(other[name], float)]
        assert [name for name in figures if not close(one[name], other[name], 1e-4)] == []
    metrics = json.loads((together / "0" / "fit" / "metrics.json").read_text())["test"]
    assert metrics["mse"] > 0
    one, other = found["weights"], expected["weights"]
    assert [name for name in other if not close(one[name], other[name], 1e-3)] == []


def test_only_the_first_process_writes(together: Path) -> None:
    assert {path.name for path in (together / "0").iterdir()} == {*CASES, "fit"}
    assert not (together / "1").exists()


def test_nothing_of_the_group_outlives_it(together: Path) -> None:
    """A thread of gloo's that is still there when Python ends can end the process with SIGABRT."""
    for rank in (0, 1):
        names = (together / f"{rank}.threads").read_text().split("\n")
        assert names
        assert [name for name in names if "gloo" in name] == []


def test_resuming_is_exact(together: Path) -> None:
    assert differences(together / "resumed-0" / "whole", together / "resumed-0" / "resumed") == []


# What befalls one of them.


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *words]


# As `python -m pyro_rationale.fit`, but jobs in the background are born deaf to Ctrl-C.
PROGRAM = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("pyro_rationale.fit", run_name="__main__", alter_sys=True)
"""


@contextmanager
def two(folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[int, int]]]:
    """A long fit in two processes, which has written its first checkpoint; and their numbers, by rank."""
    with subprocess.Popen(
        command(*flags(**LONG), "--devices", "2", "--out", str(folder)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
    ) as running:
        try:
            deadline = time.monotonic() + PATIENCE
            while not (folder / "checkpoint.safetensors").exists():
                assert running.poll() is None, running.communicate()
                assert time.monotonic() < deadline, f"no checkpoint after {PATIENCE} seconds"
                time.sleep(0.02)
            children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
            ranks: dict[int, int] = {}
            for child in children:
                environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
                ranks |= {int(entry[5:]): int(child) for entry in environment if entry.startswith(b"RANK=")}
            yield running, ranks
        finally:
            running.kill()


def steps(folder: Path) -> int:
    """Position of the checkpoint."""
    number: int = read_tensors(folder / "checkpoint.safetensors")[1]["trainer"]["step"]
    return number


def test_a_killed_process_ends_all_and_one_device_goes_on(tmp_path: Path) -> None:
    with two(tmp_path) as (running, ranks):
        os.kill(ranks[1], signal.SIGKILL)
        _, told = running.communicate(timeout=PATIENCE)
    assert told == "error: process 2 of 2 was ended by SIGKILL; go on from the last checkpoint with --resume\n"
    assert running.returncode == 2
    assert not any(Path(f"/proc/{number}").exists() for number in ranks.values())
    before = steps(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path, progress=Break(steps=2), resume=True, **LONG)
    assert steps(tmp_path) == before + 2 > 2


def test_control_c_is_heard_by_all_in_the_same_step(tmp_path: Path) -> None:
    with two(tmp_path) as (running, ranks):
        running.send_signal(signal.SIGINT)
        shown, told = running.communicate(timeout=PATIENCE)
    assert (running.returncode, told) == (130, "\n")  # click ends the line of ^C
    assert shown.count("Interrupted. Go on with: python -m pyro_rationale.fit --out") == 1
    assert not any(Path(f"/proc/{number}").exists() for number in ranks.values())
    assert steps(tmp_path) > 0


def test_a_fault_that_one_process_finds_is_told_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    assert launch(TWO, [SCRIPT, str(tmp_path), "broken"]) == 2
    assert capfd.readouterr() == ("", "error: reviews.csv, row 3: no text\n")
    assert steps(tmp_path / "run") == 2


# What makes no sense.


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--devices 0", "--devices: expected at least 1, got 0"),
        ("--nodes 0", "--nodes: expected at least 1, got 0"),
        ("--devices 17", "--batch-size 16: expected a document for each of 17 processes; raise it, or take fewer"),
        ("--nodes 2", "--nodes above 1 and --rendezvous HOST:PORT go together"),
        ("--rendezvous here:29500", "--nodes above 1 and --rendezvous HOST:PORT go together"),
        ("--nodes 2 --rendezvous here", "--rendezvous: expected HOST:PORT, got 'here'"),
        ("--nodes 2 --rendezvous here:0", "--rendezvous: expected HOST:PORT, got 'here:0'"),
        ("--nodes 2 --node-rank 2 --rendezvous here:29500", "--node-rank: expected a number from 0 to 1, got 2"),
    ],
)
def test_bad_flags(capfd: pytest.CaptureFixture[str], words: str, message: str) -> None:
    assert refusal(capfd, fit, *flags(), *words.split()).startswith(message)


def test_more_devices_than_there_are(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    few = refusal(capfd, fit, *flags(device="cuda"), "--devices", "3")
    assert few == "--devices 3: there are 2 GPUs here; --device cpu takes any number"
    assert "--device cuda:1 is one GPU" in refusal(capfd, fit, *flags(device="cuda:1"), "--devices", "2")


def test_a_machine_that_nobody_knows(capfd: pytest.CaptureFixture[str]) -> None:
    words = "--nodes 2 --node-rank 1 --rendezvous nowhere.invalid:29500"
    assert refusal(capfd, fit, *flags(), *words.split()).startswith("--rendezvous nowhere.invalid:29500: ")


@pytest.mark.parametrize(
    ("asked", "local", "given"), [("cpu", 4, "cpu"), ("cuda", 4, "cuda:2"), ("cuda:1", 1, "cuda:1")]
)
def test_the_device_of_a_process(asked: str, local: int, given: str) -> None:
    process = cast(Processes, SimpleNamespace(local_rank=2, local=local))
    assert Processes.device(process, torch.device(asked)) == torch.device(given)


def test_a_folder_that_is_taken(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "already holds files" in refusal(capfd, fit, *flags(), "--devices", "2", "--out", tmp_path)


def test_processes_that_torchrun_started(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "here", "MASTER_PORT": "1"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    message = "--devices 4: torchrun has started 4 processes, 2 of them here; leave it out"
    assert refusal(capfd, fit, *flags(), "--devices", "4") == message
    assert not LaunchOptions().must_launch()
    assert not LaunchOptions(devices=2, nodes=2, rendezvous="here:1").must_launch()


def test_each_process_draws_numbers_of_its_own() -> None:
    """And the same again, whatever was drawn before: a resumed run needs no more."""
    drawn: dict[tuple[int, ...], torch.Tensor] = {}
    for _ in range(2):
        for place in itertools.product((0, 1), (0, 7), (0, 1)):
            seed, step, rank = place
            Processes.seed_step(cast(Processes, SimpleNamespace(rank=rank)), seed, step)
            again = torch.rand(4)
            assert torch.equal(drawn.setdefault(place, again), again)
            torch.rand(3)
    assert len({tuple(numbers.tolist()) for numbers in drawn.values()}) == 8


def test_a_group_of_one_changes_nothing() -> None:
    sums = torch.arange(3.0)
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.full((2,), math.pi)
    state = torch.get_rng_state()
    SINGLE_PROCESS.seed_step(0, 0)
    joined = SINGLE_PROCESS.all_reduce([parameter], [], 5, sums)
    assert torch.equal(torch.get_rng_state(), state)
    assert joined.tolist() == [0.0, 1.0, 2.0, 5.0, 0.0]
    assert (SINGLE_PROCESS.share, SINGLE_PROCESS.broadcast(lambda: 7)) == (slice(None), 7)
    assert torch.equal(parameter.grad, torch.full((2,), math.pi))


def test_a_value_may_take_longer_to_make_than_a_broadcast_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process joins the broadcast when the value is there; the reader of `--judge` may take hours."""
    store, asked, joined = dist.HashStore(), threading.Event(), []

    class Store:
        def check(self, keys: list[str]) -> bool:
            asked.set()
            return bool(store.check(keys))

        get, set = store.get, store.set

    def process(rank: int) -> Processes:
        group = cast(Any, Processes.__new__(Processes))
        group.rank, group.store, group.broadcasts, group.stop_requested = rank, Store(), 0, False
        group.parent = os.getppid()
        return cast(Processes, group)

    def collective(values: list[Any], src: int) -> None:
        joined.append(threading.current_thread().name)

    def slow() -> int:
        assert asked.wait(10)
        assert joined == []
        return 1

    def fault() -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(dist, "broadcast_object_list", collective)
    main, other = process(0), process(1)
    waiting = threading.Thread(target=other.broadcast, args=(slow,), name="other")
    waiting.start()
    assert main.broadcast(slow) == 1
    waiting.join(10)
    assert sorted(joined) == ["MainThread", "other"]
    with pytest.raises(ZeroDivisionError):
        main.broadcast(fault)
    with pytest.raises(PeerError, match="the first process has failed"):
        other.broadcast(fault)
    other.stop_requested = True
    with pytest.raises(KeyboardInterrupt):
        other.broadcast(slow)
