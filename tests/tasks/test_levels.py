"""Levels of ordered ratings: which there are, and what lies between them."""

from __future__ import annotations

import pytest

from pyro_rationale.data.targets import reader_of
from pyro_rationale.tasks import TargetSpec, task_of
from pyro_rationale.tasks._levels import is_level, levels_of

SPEC = TargetSpec("ordinal", ("stars", "room"), ((1.0, 5.0), (0.0, 0.6)), levels=(5, 3))


def test_levels_and_what_is_none() -> None:
    assert levels_of(SPEC, 0) == [1, 2, 3, 4, 5]
    assert is_level(0.1 + 0.2, levels_of(SPEC, 1))
    assert not is_level(2.5, levels_of(SPEC, 0))
    assert levels_of(TargetSpec("regression", ("y",), ((0.0, 1.0),)), 0) == []


def test_only_levels_can_be_asked_about() -> None:
    task = task_of(SPEC)
    assert task.answer("4", 0) == 4.0
    assert task.parse("2.5", 0) == 2.5  # its error can be measured
    with pytest.raises(ValueError, match=r"^is 2\.5, none of the ratings 1, 2, 3, 4, 5$"):
        task.answer("2.5", 0)


def test_ratings_between_levels_and_empty_columns_of_other_tables_are_said(caplog: pytest.LogCaptureFixture) -> None:
    columns: list[list[str | None]] = [["1", "2.4", "3.7", "9"], [None] * 4]  # 9 is a fault
    reader_of("t.csv", ("stars", "room"), columns, "auto", None, SPEC)
    assert caplog.messages == [
        "t.csv: column 'stars': 2 of 4 ratings, such as 2.4, are none of the run's 5 levels; their probabilities are "
        "those of the nearest",
        "t.csv: column 'room' is empty: nothing is measured of room",
    ]
