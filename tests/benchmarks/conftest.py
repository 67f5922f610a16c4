"""Scripts of `benchmarks/`, which are no package and find each other in their own folder."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import pytest

from tests.support.small_fit import ROOT


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a script by its name."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module
