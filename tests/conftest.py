"""State that every test starts from, and must leave behind: one seed, an empty parameter store, torch's defaults."""

from __future__ import annotations

import gc
import os
import random
import shutil
import tempfile
from collections.abc import Iterator

import hypothesis
import numpy as np
import pyro
import pytest
import torch
from torch.distributions import Distribution

from tests.support import SHARED_RUNS
from tests.support.browser import browser, page  # noqa: F401  fixtures for all tests

SEED = 20160611

# The suite runs on small, shared machines: threads that wait for a busy core cost more than they bring.
torch.set_num_threads(1)

# What libraries and thousands of tests keep was looked through for cycles again and again: a fifth of the time.
gc.set_threshold(20_000, 20, 20)

# The same examples at every run, however slow the machine; look for new ones with --hypothesis-profile=default.
hypothesis.settings.register_profile(
    "repeatable", derandomize=True, deadline=None, database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)  # fmt: skip
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def fresh_state() -> Iterator[None]:
    """Seeds all generators, empties Pyro's store, validates everything; afterwards restores what may have leaked.

    A test that leaves another default dtype, gradient mode or an open Pyro handler behind fails, since the tests
    after it would compute something else than they say.
    """
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002  libraries that still use the global generator
    pyro.set_rng_seed(SEED)
    pyro.clear_param_store()
    pyro.enable_validation(True)
    settings = pyro.settings.get()
    yield
    left = leaks()
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    torch.set_flush_denormal(False)
    if torch.get_num_threads() != 1:  # which commands set, two by default
        torch.set_num_threads(1)
    if torch.are_deterministic_algorithms_enabled():  # the switch itself loads a compiler, which takes seconds
        torch.use_deterministic_algorithms(False)
    pyro.poutine.runtime._PYRO_STACK.clear()
    pyro.clear_param_store()
    pyro.settings.set(**settings)
    Distribution.set_default_validate_args(True)
    assert not left, f"the test left behind: {', '.join(left)}"


def pytest_configure(config: pytest.Config) -> None:
    """Gives the processes that share the tests one folder for the finished runs which many tests read."""
    if SHARED_RUNS not in os.environ:  # which the others inherit from the one that starts them
        os.environ[SHARED_RUNS] = tempfile.mkdtemp(prefix="whole-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(SHARED_RUNS), ignore_errors=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the long tests, which start programs and kernels, first: at the end they would leave other workers idle."""
    items.sort(key=lambda item: item.path.parent.name not in ("docs", "system"))


def pytest_collection_finish() -> None:
    """Takes all that stays until the end out of the search for cycles."""
    gc.collect()
    gc.freeze()


def leaks() -> list[str]:
    """Switches that a test has left changed, and that others would notice."""
    found = {
        f"default dtype {torch.get_default_dtype()}": torch.get_default_dtype() != torch.float32,
        "gradients switched off": not torch.is_grad_enabled(),
        "deterministic algorithms switched on": torch.are_deterministic_algorithms_enabled(),
        "an open Pyro handler": bool(pyro.poutine.runtime._PYRO_STACK),
        "module_local_params": pyro.settings.get("module_local_params"),
    }
    return [what for what, leaked in found.items() if leaked]
