"""Malformed files, run folders and options: every command ends well, or with one line that names the fault."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.grids import some
from tests.support.small_fit import ROOT


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork, /dev/full and limits of memory")
@some("count", [100], [300])
def test_malformed_inputs(count: int) -> None:
    """The fuzzer forks, so that it runs in a process of its own, without the threads of the tests."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.support.fuzz", "--count", str(count), "--seed", "13", "--jobs", "2"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert ended.returncode == 0, ended.stdout + ended.stderr
