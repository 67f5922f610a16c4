"""The suite's own guard: it must see what a test leaves behind, or it guards nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyro
import pytest
import torch

from tests.conftest import SEED, leaks, pytest_collection_modifyitems

HANDLER = pyro.poutine.trace_messenger.TraceMessenger()


@pytest.mark.parametrize(
    ("switch", "settings", "seen"),
    [
        (torch.set_default_dtype, (torch.float64, torch.float32), "default dtype torch.float64"),
        (torch.set_grad_enabled, (False, True), "gradients switched off"),
        (torch.use_deterministic_algorithms, (True, False), "deterministic algorithms switched on"),
        (lambda on: pyro.settings.set(module_local_params=on), (True, False), "module_local_params"),
        (
            lambda on: HANDLER.__enter__() if on else HANDLER.__exit__(None, None, None),
            (True, False),
            "an open Pyro handler",
        ),
    ],
)
def test_a_leak_is_seen(switch: Callable[[Any], Any], settings: tuple[Any, Any], seen: str) -> None:
    wrong, right = settings
    assert leaks() == []
    switch(wrong)
    try:
        assert leaks() == [seen]
    finally:
        switch(right)
    assert leaks() == []


def test_the_tests_that_start_programs_come_first() -> None:
    rooms = ["cli", "system", "nn", "docs", "tasks"]
    items: list[Any] = [SimpleNamespace(path=Path("tests", room, "test_x.py")) for room in rooms]
    pytest_collection_modifyitems(items)
    assert [item.path.parent.name for item in items] == ["system", "docs", "cli", "nn", "tasks"]


def test_the_random_state_is_the_same_for_every_test() -> None:
    first = torch.rand(3)
    pyro.set_rng_seed(SEED)
    assert torch.equal(first, torch.rand(3))
