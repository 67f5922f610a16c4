"""Jobs in other processes."""

from __future__ import annotations

import math
import sys

import pytest

from pyro_rationale.data.parallel import import_ahead, in_processes


@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be copied there")
def test_processes_that_are_copied_give_results_in_order() -> None:
    import_ahead(["colorsys"])
    assert list(in_processes(math.factorial, iter(range(6)), 2, ["colorsys"])) == [1, 1, 2, 6, 24, 120]
