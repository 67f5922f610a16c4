"""Predictions and targets as text and as plain values."""

from __future__ import annotations

import math

import pytest

from pyro_rationale.reporting.console import format_value
from pyro_rationale.tasks import TargetSpec, task_of
from pyro_rationale.tasks._numerals import number_text, rating_text


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


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.9, "3.9"), (3.14159, "3.142"), (0.0, "0"), (-2.5, "-2.5"), (2e-5, "2e-05"), (999.94, "999.9"),
        (999.96, "1000"), (1234.5, "1234.5"), (12345.0, "12345"), (-12345.678, "-12345.7"), (100000.0, "100000"),
        (123456789.0, "123456789"), (5e12, "5e+12"), (math.nan, "nan"), (math.inf, "inf"),
    ],
)  # fmt: skip
def test_large_ratings_have_all_their_digits(value: float, text: str) -> None:
    assert rating_text(value) == text
    if abs(value) < 1e9:
        task = task_of(TargetSpec("regression", ("price",), ((-1e9, 1e9),)))
        assert task.short((value,)) == [f"price {text}"]
        assert task.true_lines((value,)) == [text]
        assert text in task.lines((value,), (value,), ((value, value),), 0.9)[0].partition("interval")[2]


def test_figures_have_no_exponent_below_a_billion() -> None:
    assert [number_text(value) for value in (12345.6, 1234.4, 0.5, 2e9)] == ["12346", "1234", "0.5", "2e+09"]
    assert [number_text(value, "+.3g") for value in (1234.0, -1234.0, 0.25)] == ["+1234", "-1234", "+0.25"]
    assert format_value("mse", 1234567.8) == "1234568"


def test_a_rating() -> None:
    task = task_of(TargetSpec("regression", ("taste",), ((0.0, 5.0),)))
    assert task.short((3.25,)) == ["taste 3.25"]
    line = "taste 3  (90 % interval 2 to 4; from these words alone 3.25)"
    assert task.lines((3.0,), (3.25,), ((2.0, 4.0),), 0.9) == [line]
    assert task.lines((3.0,), (3.25,), ((2.0, 4.0),), 0.995) == [line.replace("90 %", "99.5 %")]
    own = {"value": 3.25}
    expected = {"taste": {"value": 3.0, "rationale": own, "mean": 3.0, "sd": 0.5, "low": 2.0, "high": 4.0}}
    assert task.record((3.0,), (3.25,), (3.0,), (0.5,), ((2.0, 4.0),)) == expected


def test_labels() -> None:
    task = task_of(TargetSpec("binary", ("a", "b"), classes=("no", "yes")))
    assert task.lines((0.25, 0.75), (0.5, 0.125), None, 0.9, ((0, 1), (1,))) == [
        "a: no 75.0 %  (90 % set no, yes; from these words alone yes 50.0 %)",
        "b: yes 75.0 %  (from these words alone no 87.5 %)",
    ]
    first = task.record((0.25, 0.75), (0.5, 0.125), (0.25, 0.75), None, None, ((0, 1), (1,)))["a"]
    sure = {"no": 0.75, "yes": 0.25}
    own = {"label": "yes", "probabilities": {"no": 0.5, "yes": 0.5}}  # from a half on
    assert first == {
        "label": "no", "probabilities": sure, "rationale": own, "averaged": sure, "set": ["no", "yes"]
    }  # fmt: skip


def test_a_class() -> None:
    task = task_of(TargetSpec("multiclass", ("a",), classes=("x", "y", "z")))
    assert task.short((0.2, 0.7, 0.1)) == ["a: y 70.0 %"]
