"""The shapes by which the target share of words comes down."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pyro_rationale.errors import ConfigError
from pyro_rationale.guides import START_RATE
from pyro_rationale.training.annealing import anneal_progress
from pyro_rationale.training.model_selection import slower
from pyro_rationale.training.rate_control import Schedule
from pyro_rationale.training.schedules import SCHEDULES
from tests.support.small_fit import Break, differences, fit_small, small, whole


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_a_shape_falls_from_start_to_end(name: str) -> None:
    shape = SCHEDULES[name]
    targets = [shape(0.75, 0.1, i / 20) for i in range(21)]
    assert targets == sorted(targets, reverse=True)
    assert [targets[0], targets[-1]] == pytest.approx([0.75, 0.1])
    assert [shape(0.3, 0.3, i / 4) for i in range(5)] == pytest.approx([0.3] * 5)


def test_shapes_half_way() -> None:
    half = {name: SCHEDULES[name](0.8, 0.2, 0.5) for name in ("geometric", "linear", "cosine")}
    assert half == pytest.approx({"geometric": 0.4, "linear": 0.5, "cosine": 0.5})
    assert SCHEDULES["cosine"](0.8, 0.2, 0.25) > SCHEDULES["linear"](0.8, 0.2, 0.25)


def test_a_schedule_has_its_shape_also_after_a_recovery() -> None:
    schedule = Schedule(10, 100, 0.1, "linear")
    assert schedule.target(60) == pytest.approx(0.5 * (START_RATE + 0.1))
    assert slower(schedule, 60, 60, 100).shape == "linear"


def test_a_fit_with_another_schedule_is_resumed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path, Break(steps=4), schedule="linear")
    fit, _ = fit_small(tmp_path, resume=True, schedule="linear")
    assert fit.trainer.control.schedule.shape == "linear"
    assert differences(tmp_path, whole(schedule="linear")) == []
    assert "epochs.jsonl" in differences(tmp_path, whole())


def test_an_unknown_schedule() -> None:
    with pytest.raises(ConfigError, match="--schedule: expected one of geometric, linear, cosine, got 'linaer'"):
        small(schedule="linaer")


def test_names_are_known_without_torch() -> None:
    program = "import sys; from pyro_rationale.training.schedules import SCHEDULES; list(SCHEDULES); "
    program += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_weight_of_the_entropy_rests_before_a_warmup_of_any_length() -> None:
    assert anneal_progress(Schedule(10, 20, 0.1), 65, last=100) == 0.5
    assert anneal_progress(Schedule(10, 20, 0.1), 31, last=20) == 1.0
    assert anneal_progress(Schedule(2**63 - 1, 1, 0.1), 0, last=2) == 0.0
