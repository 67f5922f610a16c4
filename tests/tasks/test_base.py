"""Predictions and targets as text and as plain values."""

from __future__ import annotations

import math

import pytest

from pyro_rationale.tasks import TargetSpec, task_of


@pytest.mark.parametrize(
    ("spec", "targets", "lines"),
    [
        (TargetSpec("regression", ("a", "b"), ((0, 5), (0, 5))), (3.5, math.nan), ["3.5", "not rated"]),
        (TargetSpec("binary", ("a", "b"), classes=("no", "yes")), (1.0, math.nan), ["yes", "unknown"]),
        (TargetSpec("multiclass", ("a",), classes=("x", "y", "z")), (2.0,), ["z"]),
    ],
)
def test_true_targets_for_people(spec: TargetSpec, targets: tuple[float, ...], lines: list[str]) -> None:
    assert task_of(spec).true_lines(targets) == lines


def test_a_rating() -> None:
    task = task_of(TargetSpec("regression", ("taste",), ((0.0, 5.0),)))
    assert task.short((3.25,)) == ["taste 3.25"]
    assert task.lines((3.25,), (3.0,), ((2.0, 4.0),), 0.9) == ["taste 3.25  (90% interval 2 to 4)"]
    expected = {"taste": {"value": 3.25, "mean": 3.0, "sd": 0.5, "low": 2.0, "high": 4.0}}
    assert task.record((3.25,), (3.0,), (0.5,), ((2.0, 4.0),)) == expected


def test_labels() -> None:
    task = task_of(TargetSpec("binary", ("a", "b"), classes=("no", "yes")))
    assert task.lines((0.25, 0.75), (0.5, 0.5), None, 0.9) == [
        "a: no 75.0%  (averaged over rationales: a: no 50.0%)",
        "b: yes 75.0%  (averaged over rationales: b: no 50.0%)",
    ]
    first = task.record((0.25, 0.75), (0.5, 0.5), None, None)["a"]
    assert first == {
        "label": "no", "probabilities": {"no": 0.75, "yes": 0.25}, "averaged": {"no": 0.5, "yes": 0.5}
    }  # fmt: skip


def test_a_class() -> None:
    task = task_of(TargetSpec("multiclass", ("a",), classes=("x", "y", "z")))
    assert task.short((0.2, 0.7, 0.1)) == ["a: y 70.0%"]
