"""Ratings as people write them."""

from __future__ import annotations

from collections import Counter

import pytest

from pyro_rationale.data.notation import are_row_numbers, are_times, notation_of, thousandths


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


@pytest.mark.parametrize(
    "cells",
    ["01/12/24 31/12/24", "3.1.24 4.1.24", "05 21, 2014; 12 1, 2013", "Mar 1, 2024; Mar. 12 2024",
     "1st May 2024; 2nd June 24", "3-May-2024; 4-Jun-24", "May 2024; June 2023", "9:30; 10:45 PM", "00:30:00; 23:59:59",
     "may 1, 2024 10:00; MAY 2, 2024"],
)  # fmt: skip
def test_dates_and_times_as_people_write_them(cells: str) -> None:
    parts = cells.split("; ") if ";" in cells else cells.split()
    with pytest.raises(ValueError, match=r"holds (dates|times)"):
        notation_of(Counter(parts))


@pytest.mark.parametrize(
    "cells", ["May June", "may_be not", "1.0.0 1.0.1", "2024 2023", "1:75 2:80", "25:10 30:20", "may 1"]
)
def test_labels_that_are_no_dates(cells: str) -> None:
    assert notation_of(Counter(cells.split())) is None


@pytest.mark.parametrize(
    ("numbers", "are"),
    [
        (["1700000000", "1700086400", "1600000000"], True),
        (["1700000000123", "1700086400456", "1600000000789"], True),
        (["1700000000", "1700086400"], False),
        (["1700000000", "1700086400", "12"], False),
        (["100000000", "200000000", "300000000"], False),
    ],
)
def test_seconds_since_1970(numbers: list[str], are: bool) -> None:
    assert are_times(numbers) == are


def test_numbers_of_rows() -> None:
    rows = list(map(str, range(1, 31)))
    assert are_row_numbers(rows)
    assert are_row_numbers([*rows[9:], *rows[:5]])  # not in order, and with gaps
    assert not are_row_numbers(rows[:11])
    assert not are_row_numbers([*rows, "90"])
    assert not are_row_numbers([*rows, "4.5"])
