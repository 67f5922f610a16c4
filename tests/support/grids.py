"""Grids of cases: a part of the product in which all values meet runs with the suite, the rest with `make slow`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

Case = tuple[Any, ...]


def covering(axes: Sequence[Sequence[Any]], strength: int) -> list[Case]:
    """Few cases in which all combinations of values of any `strength` axes occur; greedy, the same at every call."""
    cases = list(itertools.product(*map(range, map(len, axes))))

    def meetings(case: Case) -> set[Case]:
        return set(itertools.combinations(enumerate(case), strength))

    missing, chosen = set().union(*map(meetings, cases)), []
    while missing:
        best = max(cases, key=lambda case: len(meetings(case) & missing))
        missing -= meetings(best)
        chosen.append(best)
    return [tuple(axis[i] for axis, i in zip(axes, case, strict=True)) for case in sorted(chosen)]


def each_value(names: str, *axes: Sequence[Any]) -> pytest.MarkDecorator:
    """Parametrize with the product of the axes; not slow are cases in which every value occurs."""
    return _grid(names, axes, 1)


def each_pair(names: str, *axes: Sequence[Any]) -> pytest.MarkDecorator:
    """Parametrize with the product of the axes; not slow are cases in which every two values of two axes meet."""
    return _grid(names, axes, 2)


def _grid(names: str, axes: Sequence[Sequence[Any]], strength: int) -> pytest.MarkDecorator:
    quick = covering(axes, strength)
    return some(names, quick, [case for case in itertools.product(*axes) if case not in quick])


def some(names: str, quick: Sequence[Any], slow: Sequence[Any]) -> pytest.MarkDecorator:
    """Parametrize with cases of which the second are slow; a case of one name is a value, of several a tuple."""
    single = "," not in names
    rest = [pytest.param(*((case,) if single else case), marks=pytest.mark.slow) for case in slow]
    return pytest.mark.parametrize(names, [*quick, *rest])
