"""Cases of a grid that run with the suite: every value, or every pair of values, is among them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.support.grids import covering, each_pair, each_value

AXES: list[list[Any]] = [["a", "b", "c"], [1, 2], [True, False], [0.5]]


@pytest.mark.parametrize(("strength", "most"), [(1, 3), (2, 7)])
def test_all_meet_in_few_cases(strength: int, most: int) -> None:
    chosen = covering(AXES, strength)
    for places in itertools.combinations(range(len(AXES)), strength):
        wanted = set(itertools.product(*(AXES[place] for place in places)))
        assert {tuple(case[place] for place in places) for case in chosen} == wanted
    assert len(chosen) <= most
    assert chosen == covering(AXES, strength)


@pytest.mark.parametrize("grid", [each_value, each_pair])
def test_no_case_of_the_product_is_lost(grid: Any) -> None:
    _, cases = grid("letter,number,truth,half", *AXES).mark.args
    values = [case.values if hasattr(case, "marks") else case for case in cases]
    assert sorted(values) == sorted(itertools.product(*AXES))
    quick = covering(AXES, 1 if grid is each_value else 2)
    assert cases[: len(quick)] == quick
    assert all(case.marks[0].name == "slow" for case in cases[len(quick) :])
