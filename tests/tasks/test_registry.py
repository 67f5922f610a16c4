"""Tasks by name: the listed ones, those that suit some columns, and unknown names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.run_files import read_config
from pyro_rationale.tasks import TASKS, TargetSpec, cost_names, task_of
from pyro_rationale.tasks._cells import Cell
from tests.support.small_fit import whole


def test_names_are_listed_without_torch() -> None:
    code = "import sys; from pyro_rationale.tasks import TASKS; print(*TASKS); assert 'torch' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split()[:4] == ["regression", "binary", "multiclass", "ordinal"]


@pytest.mark.parametrize(
    ("columns", "scale", "kind"),
    [
        ([[1.0, "2", 0.5, "x", 4.0]], None, "regression"),
        ([[0.0, "1", 1.0]], None, "binary"),
        ([[0.0, 1.0], [0.0, 2.0]], None, "regression"),
        ([[0.0, "1", 1.0]], (0.0, 1.0), "regression"),
        ([["yes", "no", "yes"]], None, "binary"),
        ([["a", "b", 3.0]], None, "multiclass"),
        ([["1", "3", "2", "x", "2", "1"]], None, "ordinal"),
        ([[1.0, 2.0, 4.0, 5.0], [0.5, 1.0, 1.5, 0.0]], None, "ordinal"),  # nobody gave a 3
        ([[1.0, 2.0, 4.0], [0.1, 0.25, 1.0]], None, "regression"),
        ([[float(i) for i in range(11)]], None, "ordinal"),
        ([[float(i) for i in range(12)]], None, "regression"),
        ([["1", "2"]], (1.0, 3.0), "ordinal"),
        ([["1", "2"]], (1.0, 9.0), "regression"),  # of nine levels two were given
        ([["1", "2", "7"]], (1.0, 3.0), "regression"),  # one is beyond the scale
    ],
)
def test_one_task_suits_some_columns(
    columns: list[list[Cell]], scale: tuple[float, float] | None, kind: str
) -> None:
    assert [name for name, task in TASKS.items() if task.suits(columns, scale)] == [kind]


def test_a_target_has_one_task() -> None:
    spec = TargetSpec("binary", ("y",), classes=("no", "yes"))
    assert task_of(spec) is task_of(TargetSpec("binary", ("y",), classes=("no", "yes")))
    assert cost_names()[:2] == ("mse", "accuracy")


def test_an_unknown_task_is_named(tmp_path: Path) -> None:
    known = "regression, binary, multiclass, ordinal, ranking"
    with pytest.raises(ConfigError, match=f"--task: expected one of {known}, got 'grading'"):
        task_of(TargetSpec("grading", ("y",)))
    facts = json.loads((whole() / "config.json").read_text())
    facts["target"]["kind"] = "grading"
    (tmp_path / "config.json").write_text(json.dumps(facts))
    with pytest.raises(RunError, match="got 'grading'"):
        read_config(tmp_path)
