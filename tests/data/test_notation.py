"""Ratings as people write them."""

from __future__ import annotations

from collections import Counter

import pytest

from pyro_rationale.data.notation import notation_of, thousandths


@pytest.mark.parametrize(
    ("cells", "what", "numbers"),
    [
        ("4,5 3,0 2 1,25", "numbers with a decimal comma", "4.5 3.0 2 1.25"),
        ("4,5 1,125", "numbers with a decimal comma", "4.5 1.125"),
        ("0,125 0,250", "numbers with a decimal comma", "0.125 0.250"),
        ("1,076.50 950 12,300", "numbers with commas between thousands", "1076.50 950 12300"),
        ("1,076 950.5", "numbers with commas between thousands", "1076 950.5"),
        ("1,234,567 1,000", "numbers with commas between thousands", "1234567 1000"),
        ("1.076,50 95 12.300 4,5", "numbers with points between thousands and a decimal comma", "1076.50 95 12300 4.5"),
        ("1.234.567 1.000", "numbers with points between thousands and a decimal comma", "1234567 1000"),
        ("4/5 3/5 1.5/5", "ratings out of 5", "4 3 1.5"),
        ("8 out of 10|7/10", "ratings out of 10", "8 7"),
        ("80% 7,5% 100%", "percentages", "80 7.5 100"),
        ("4 stars|1 star|4.5 Stars", "numbers of stars", "4 1 4.5"),
        ("3 Sterne|1 Stern", "numbers of sterne", "3 1"),
        ("4stars 5stars", "numbers of stars", "4 5"),
        ("★★★☆☆ ★★★★★ ☆☆☆☆☆", "numbers of stars", "3 5 0"),
        ("⭐⭐ ⭐", "numbers of stars", "2 1"),
    ],
)
def test_notations(cells: str, what: str, numbers: str) -> None:
    column = cells.split("|" if "|" in cells else None)
    notation = notation_of(Counter(column))
    assert notation is not None
    assert notation.what == what
    assert [notation.plain.get(cell, cell) for cell in column] == numbers.split()


@pytest.mark.parametrize(
    "cells",
    [
        "1 2.5 3", "good bad", "2D 3D", "12/5 1/5", "18-24 25-34", "1.2.3 1.2.4", "4 stars|5 points",
        "1 2 3 4 5 4,5 1.5", "1 2 3 4.5 1.234,5",
    ],
)
def test_columns_of_other_things(cells: str) -> None:
    assert notation_of(Counter(cells.split("|" if "|" in cells else None))) is None


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("1,076 2,310 950", "holds '1,076', which is 1076 or 1.076"),
        ("4,5 4.5 3,5", "holds '4,5' and '4.5'; write all numbers in one way"),
        ("1.076,50 4.5 3", "holds '1.076,50' and '4.5'; write all numbers in one way"),
        ("1.076,50 1,076.50", "holds '1.076,50' and '1,076.50'"),
        ("2024-05-01 2024-12-31", "holds dates, such as '2024-05-01'; name another column"),
        ("2024-05-01T10:00:00Z 2024-12-31T09:59:00Z", "holds dates"),
        ("31.12.2024 1.5.2023", "holds dates"),
        ("12/31/2024 5/1/2023", "holds dates"),
        ("05/2024 06/2024", "holds dates"),
        ("4/5 8/10", "rates out of 5 and out of 10"),
    ],
)
def test_what_can_be_read_in_two_ways(cells: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        notation_of(Counter(cells.split()))


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        ("1.234 980 17", "1.234"),
        ("1.234 2.500 12.000", None),
        ("4 3.667 3.333", None),
        ("\u22123 \u22124.5 200", None),
        ("\u0661\u066b\u0665 \u0662", None),
        ("100 66.667 33.333", None),
        ("120 119.875", None),
        ("1.234 980 1.5", None),
        ("1.234 980 1500", None),
    ],
)
def test_points_that_may_stand_between_thousands(cells: str, found: str | None) -> None:
    assert thousandths(cells.split()) == found


def test_a_few_other_cells_are_slips() -> None:
    notation = notation_of(Counter({"4/5": 9, "3/5": 8, "N/A": 1}))
    assert notation is not None
    assert "N/A" not in notation.plain
