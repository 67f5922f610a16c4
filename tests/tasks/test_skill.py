"""Skill: 0 of a constant and 1 of perfect predictions, whatever the unit and however few classes there are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pyro_rationale.tasks import TargetSpec, task_of

BINARY = TargetSpec("binary", ("kind",), classes=("ham", "spam"))


@pytest.mark.parametrize("size", [1e-12, 1e-6, 1.0, 1e12])
def test_skill_does_not_depend_on_the_unit(size: float) -> None:
    random = np.random.default_rng(0)
    truth, task = random.random((200, 1)), task_of(TargetSpec("regression", ("y",), ((0.0, size),)))
    assert task.skill(np.full((200, 1), truth.mean()) * size, truth * size) == pytest.approx(0.0, abs=1e-6)
    assert task.skill((truth + 0.1) * size, truth * size) == pytest.approx(1.0 - 0.01 / truth.var(), rel=1e-6)
    assert math.isnan(task.skill(truth * size, np.full((200, 1), 0.3) * size))


def test_targets_of_one_class_say_nothing_of_skill() -> None:
    both = task_of(TargetSpec("binary", ("a", "b"), classes=("no", "yes")))
    values, truth = np.full((40, 2), 0.4), np.zeros((40, 2))
    values[0], truth[:20, 0] = 0.9, 1.0
    assert both.skill(values, truth) == task_of(BINARY).skill(values[:, :1], truth[:, :1])
    assert math.isnan(task_of(BINARY).skill(values[:, 1:], truth[:, 1:]))
