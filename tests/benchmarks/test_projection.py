"""The figures of benchmarks/projection.py, computed by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

STEP = {
    "device": "a GPU", "words": 100, "hidden": 200,
    "rows": [{"step": "floor", "batch": 64, "ms": 5.0}, {"step": "chain, rloo, K = 4", "batch": 64, "ms": 8.0}],
}  # fmt: skip
DATA = {
    "device": "a CPU",
    "rows": [
        {"way": "in memory", "megabytes_per_million": 9000.0, "documents_per_second": {"read": 9, "batches": 9}},
        {"way": "Arrow, made", "megabytes_per_million": 90.0, "documents_per_second": {"read": 2000, "batches": 9}},
        {"way": "Arrow, opened", "megabytes_per_million": 80.0, "documents_per_second": {"read": 9, "batches": 20000},
         "disk_megabytes_per_million": 2000.0},
    ],
}  # fmt: skip


def test_hours_by_hand(tmp_path: Path) -> None:
    for name, facts in (("step", STEP), ("data", DATA)):
        (tmp_path / f"{name}.json").write_text(json.dumps(facts))
    script = Path(__file__).parents[2] / "benchmarks" / "projection.py"
    words = ["--documents", "64e6", "--words", "150", "--gpus", "1", "--gpus", "4", "--parameters", "1e6",
             "--bandwidth", "1", "--latency", "0.001"]  # fmt: skip
    files = [f"--{name}={tmp_path / name}.json" for name in ("step", "data", "json")]
    done = subprocess.run([sys.executable, script, *files, *words], capture_output=True, text=True, check=True)
    found = json.loads((tmp_path / "json.json").read_text())
    (row,) = found["epochs"]  # the floor is no way to train
    step = 0.008 * 150 / 100
    exchange = 2 * 3 / 4 * 4e6 / 1e9 + 0.001
    assert row["documents_per_second"] == pytest.approx(64 / step)
    assert row["hours"]["1"] == pytest.approx(1e6 * step / 3600)
    assert row["hours"]["4"] == pytest.approx(0.25e6 * (step + exchange) / 3600)
    assert row["computing"]["4"] == pytest.approx(step / (step + exchange))
    assert found["core_hours"] == pytest.approx(64e6 / 2000 / 3600)
    assert found["disk_gigabytes"] == pytest.approx(128)
    assert found["memory_gigabytes"] == pytest.approx(5.12)
    assert found["in_memory_gigabytes"] == pytest.approx(576)
    assert "128 GB" in done.stdout
