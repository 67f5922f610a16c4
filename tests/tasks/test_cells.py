"""Cells of target columns: strict numbers, labels as they are written."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pyro_rationale.tasks._cells import cell_of, class_of_number, is_number, number_of


@pytest.mark.parametrize("cell", ["1_1", "0x10", "inf", "-inf", "nan", "1 000", "", "1e", "½", "4,5", "--1", "1\n2"])
def test_what_is_no_number(cell: str) -> None:
    assert number_of(cell) is None


@pytest.mark.parametrize(
    ("cell", "number"),
    [("1", 1), ("-2.5", -2.5), ("+.5", 0.5), ("3.", 3), ("1e-05", 1e-5), ("007", 7), ("٤", 4), ("\u22123", -3)],
)
def test_what_is_a_number(cell: str, number: float) -> None:
    assert number_of(cell) == number


@pytest.mark.parametrize("cell", ["\u0664\u066b\u0665", "\uff14\uff0e\uff15"])
def test_other_scripts_have_decimal_points_of_their_own(cell: str) -> None:
    assert number_of(cell) == 4.5
    assert is_number(cell)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (12345678901234567890, "12345678901234567890"),
        (1.0, "1.0"),
        (Decimal("100.50"), "100.5"),
        (Decimal(1000), "1000"),
        (True, "true"),
        (" very good ", "very good"),
        ("\ufeff 4.5\u200b", "4.5"),
        ("  ", None),
        (None, None),
    ],
)
def test_cells_keep_all_digits(value: object, cell: str | None) -> None:
    assert cell_of(value) == cell


@pytest.mark.parametrize(
    ("label", "classes", "name"),
    [
        ("1.0", ("0", "1"), "1"),
        ("1", ("01", "001"), None),
        ("1234567", ("1.23457e+06", "2"), "1.23457e+06"),  # as run folders of version 0.2 have it
        ("9007199254740993", ("9007199254740992", "1"), None),  # equal as floats
        ("1_1", ("11", "12"), None),
        ("1e999", ("1", "inf"), None),
    ],
)
def test_the_class_of_another_writing(label: str, classes: tuple[str, ...], name: str | None) -> None:
    assert class_of_number(label, classes) == name
