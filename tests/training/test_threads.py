"""The number of CPU threads is measured, kept by the checkpoint, and does not depend on the state of the fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pyro_rationale.storage import read_tensors
from pyro_rationale.training import threads
from pyro_rationale.training.threads import cores, fastest_threads
from tests.support.small_fit import Break, differences, fit_small, trainers


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("seconds", "most", "expected"),
    [
        ({1: 1.0, 2: 0.6, 4: 0.4}, 4, 4),
        ({1: 1.0, 2: 0.6, 4: 0.4}, 3, 2),
        ({1: 1.0, 2: 0.95, 4: 0.1}, 4, 1),  # not worth it; more is not tried
        ({1: 1.0, 2: 9.0}, 2, 1),
        ({1: 1.0}, 1, 1),
    ],
)
def test_threads_double_while_steps_get_faster(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float], most: int, expected: int
) -> None:
    clock, steps = 0.0, {number: 0 for number in seconds}

    def step() -> None:
        nonlocal clock
        clock += seconds[torch.get_num_threads()]
        steps[torch.get_num_threads()] += 1

    monkeypatch.setattr(threads.time, "perf_counter", lambda: clock)
    assert fastest_threads(step, most) == torch.get_num_threads() == expected
    assert steps.get(2, 0) == (0 if most == 1 else 2 if seconds[2] > 2.0 else 4)  # a hopeless number is given up
    assert cores() >= 1


@pytest.mark.parametrize("options", [{"guide": "independent", "estimator": "nvil"}, {"guide": "relaxed"}])
def test_a_rehearsal_leaves_no_trace(tmp_path: Path, options: dict[str, str]) -> None:
    plain, rehearsed = (trainers(tmp_path / name, **options, dropout=0.2)() for name in ("plain", "rehearsed"))
    batch = next(rehearsed.batches.epoch(0))
    torch.manual_seed(5)
    rehearsed.rehearse(batch)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(5)))
    assert all(p.grad is None for p in rehearsed.named.values())
    before, after = plain.weights(), rehearsed.weights()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_resumed_fit_keeps_the_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = iter([2, 1])

    def choose(step: object, most: int) -> int:
        torch.set_num_threads(number := next(chosen))
        return number

    monkeypatch.setattr("pyro_rationale.training.run.fastest_threads", choose)
    # Two threads wait for each other on a busy machine.
    short: dict[str, Any] = {"steps": 3, "anneal": 1, "documents": 24, "batch_size": 8, "max_words": 12, "hidden": 2}
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path / "cut", Break(steps=2), threads=None, **short)
    assert read_tensors(tmp_path / "cut" / "checkpoint.safetensors")[1]["threads"] == 2
    torch.set_num_threads(1)
    fit, _ = fit_small(tmp_path / "cut", resume=True, threads=None, **short)
    assert (fit.threads, torch.get_num_threads()) == (2, 2)
    fit_small(tmp_path / "whole", threads=2, **short)
    (tmp_path / "whole" / "config.json").unlink()
    assert differences(tmp_path / "cut", tmp_path / "whole") == []


def test_a_given_number_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("pyro_rationale.training.run.fastest_threads")
    fit, _ = fit_small(tmp_path, threads=1)
    assert (fit.threads, torch.get_num_threads()) == (None, 1)
