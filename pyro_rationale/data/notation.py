"""Ratings as people write them: 4,5 and 4/5, 80 % and 4 stars, 1,076.50 and 1.076,50."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pyro_rationale.errors import shown
from pyro_rationale.tasks._cells import MOSTLY, is_number, number_of

_PLAIN = r"([+-]?\d+(?:[.,]\d+)?)"
_OUT_OF = re.compile(rf"{_PLAIN}\s*(?:/|out of)\s*(\d+)", re.IGNORECASE)
_PERCENT = re.compile(rf"{_PLAIN}\s*%")
_UNIT = re.compile(rf"{_PLAIN}(?:[\s-]+([^\W\d_]{{3,}})|\s*(stars?|points?|pts|[★⭐]\ufe0f?))", re.IGNORECASE)
_DRAWN = re.compile(r"(?:[★⭐]\ufe0f?)+☆*|☆+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_POINTED = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?")  # thousands, or thousandths: 1.234
# Not read, but told from labels: 1 234,50 and prices.
_OTHER = re.compile(r"[+-]?\d{1,3}(?:[.\s'’]\d{3})+(?:[.,]\d+)?|[$€£¥]\s?\d[\d.,]*|\d[\d.,]*\s?[$€£¥]")
_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
_NAMED = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_NTH = rf"{_DAY}(?:st|nd|rd|th|\.)?"
_OF_YEAR = rf"(?:{_NAMED}[ -]{_NTH},?|{_NTH}[ -]{_NAMED},?|{_NAMED})[ -](?:{_YEAR}|\d\d)"
_TIME = r"(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?: ?[ap]\.?m\.?)?"
_DAYS = (
    rf"(?:{_YEAR}[-/]{_MONTH}|{_YEAR}([-/.]){_MONTH}\1{_DAY}|{_DAY}([-/.]){_DAY}\2(?:{_YEAR}|\d\d)|{_MONTH}/{_YEAR}"
    rf"|{_MONTH} {_DAY}, {_YEAR}|{_OF_YEAR}|{_TIME})"
)
_DATE = re.compile(rf"{_DAYS}(?:[T ,].*)?", re.IGNORECASE)
_DATE_ALONE = re.compile(rf"{_DAYS}(?:[T ,]*{_TIME}[\d.:+-]*Z?)?", re.IGNORECASE)
_SINCE_1970 = (946_684_800, 2_145_916_800)  # 2000 to 2037, in seconds
_FEWEST_ROWS, _GAPS = 20, 1.25  # row numbers, and how much further they may go than there are rows
_DATE_NUMBER = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")  # 20240501


@dataclass(frozen=True)
class Notation:
    """How nearly all cells of a column are written, where these are no plain numbers.

    Attributes:
        what: for messages.
        plain: the cells as plain numbers, such as 4.5.
        top: highest rating, where the cells name it (4/5).
    """

    what: str
    plain: dict[str, str]
    top: float | None = None


def notation_of(counts: Mapping[str, int]) -> Notation | None:
    """The notation of a column's cells; `None` for plain numbers, and for what holds no numbers.

    Args:
        counts: how often each cell occurs.

    Raises:
        ValueError: the numbers can be read in several ways, or are dates; the message says which.
    """
    numbers = set(filter(is_number, counts))
    others = [cell for cell in counts if cell not in numbers]
    if not others:
        return None
    least = MOSTLY * sum(counts.values())

    def are_most(cells: Iterable[str]) -> bool:
        return sum(counts[cell] for cell in cells) >= least

    if are_most(dates := list(filter(_DATE.fullmatch, others))):
        what = "times" if re.match(_TIME, dates[0]) else "dates"
        raise ValueError(f"holds {what}, such as {shown(dates[0])}; name another column")
    matches = {cell: match for cell in others if (match := _OUT_OF.fullmatch(cell))}
    plain = {cell: _point(match[1]) for cell, match in matches.items()}
    tops = sorted({int(match[2]) for match in matches.values()})
    if matches and are_most(matches) and all(float(plain[cell]) <= int(m[2]) for cell, m in matches.items()):
        if len(tops) > 1:
            raise ValueError(f"rates out of {tops[0]} and out of {tops[1]}; write all ratings on one scale")
        return Notation(f"ratings out of {tops[0]}", plain, tops[0])
    matches = {cell: match for cell in others if (match := _PERCENT.fullmatch(cell))}
    if matches and are_most(matches):
        return Notation("percentages", {cell: _point(match[1]) for cell, match in matches.items()})
    matches = {cell: match for cell in others if (match := _UNIT.fullmatch(cell))}
    units = sorted({(match[2] or match[3]).lower() for match in matches.values()}, key=len)
    if matches and are_most(matches) and len({unit[:3] for unit in units}) == 1:
        plain = {cell: _point(match[1]) for cell, match in matches.items()}
        return Notation(f"numbers of {units[-1]}", plain)
    drawn = [cell for cell in others if _DRAWN.fullmatch(cell)]
    if drawn and are_most(drawn):
        return Notation("numbers of stars", {cell: str(sum(map(cell.count, "★⭐"))) for cell in drawn})
    return _with_commas(others, [cell for cell in counts if cell in numbers], are_most)


def looks_numeric(cell: str) -> bool:
    """Whether a cell is a number in any notation."""
    forms = (_OUT_OF, _PERCENT, _UNIT, _DRAWN, _DECIMAL_COMMA, _GROUPED, _OTHER)
    return is_number(cell) or any(form.fullmatch(cell) for form in forms)


def is_date(cell: str) -> bool:
    """Whether a cell is a date or a time and nothing else, as people and programs write them."""
    return _DATE_ALONE.fullmatch(cell) is not None


def are_dates(numbers: Sequence[str]) -> bool:
    """Whether whole numbers are dates without signs between year, month and day."""
    return all(map(_DATE_NUMBER.fullmatch, numbers))


def are_times(numbers: Sequence[str]) -> bool:
    """Whether numbers are seconds since 1970, or thousandths to billionths of them, of 2000 to 2037."""
    low, high = _SINCE_1970
    return len(numbers) > 2 and any(
        all(low * unit <= (number_of(cell) or 0.0) < high * unit for cell in numbers) for unit in (1, 1e3, 1e6, 1e9)
    )


def are_row_numbers(numbers: Sequence[str]) -> bool:
    """Whether different whole numbers are those of rows, or ids: nearly all from the lowest to the highest occur."""
    if len(numbers) < _FEWEST_ROWS or not all(cell.isascii() and cell.isdigit() for cell in numbers):
        return False
    values = list(map(int, numbers))
    return max(values) - min(values) < _GAPS * len(values)


def thousandths(counts: Iterable[str]) -> str | None:
    """A cell such as 1.234 that may mean 1234, going by the others; `None` if there is none.

    Those with a point have three digits behind it, and one without a point is ten times as large, and below 1000.
    """
    numbers = {cell: number_of(cell) or 0.0 for cell in filter(is_number, counts)}
    pointed = [cell for cell in numbers if "." in cell]
    most = max((number for cell, number in numbers.items() if "." not in cell), default=0.0)
    if not pointed or not 100 < most < 1000 or not all(map(_POINTED.fullmatch, pointed)):
        return None
    smallest = min(pointed, key=lambda cell: abs(numbers[cell]))
    return smallest if most >= 10 * abs(numbers[smallest]) else None


def _with_commas(
    others: Sequence[str], numbers: Sequence[str], are_most: Callable[[Iterable[str]], bool]
) -> Notation | None:
    decimal = [cell for cell in others if _DECIMAL_COMMA.fullmatch(cell)]
    grouped = [cell for cell in others if _GROUPED.fullmatch(cell)]
    pointed = [cell for cell in (*others, *numbers) if _POINTED.fullmatch(cell)]
    clear = [cell for cell in pointed if not is_number(cell)]
    if clear and are_most({*pointed, *decimal, *grouped, *numbers}):
        wrong = [cell for cell in numbers if "." in cell and not _POINTED.fullmatch(cell)]
        wrong += [cell for cell in grouped if not _DECIMAL_COMMA.fullmatch(cell)]
        if wrong and are_most(numbers):
            return None  # a few slips: their rows are named
        if wrong:
            both = f"{shown(clear[0])} and {shown(wrong[0])}"
            raise ValueError(f"holds {both}; write all numbers in one way, such as 4.5")
        plain = {cell: _point(cell.replace(".", "")) for cell in (*pointed, *decimal)}
        return Notation("numbers with points between thousands and a decimal comma", plain)
    commas = list(dict.fromkeys((*decimal, *grouped)))
    if not commas or not are_most((*commas, *numbers)):
        return None
    points = [cell for cell in numbers if "." in cell]
    thousands = [cell for cell in grouped if cell not in decimal]  # 1,234,567 and 1,076.50
    fractions = [cell for cell in decimal if cell not in grouped]  # 4,5
    if fractions and not thousands and not points:
        return Notation("numbers with a decimal comma", {cell: _point(cell) for cell in commas})
    if not fractions and (thousands or points):
        return Notation("numbers with commas between thousands", {cell: cell.replace(",", "") for cell in commas})
    if are_most(numbers):
        return None
    if fractions:
        other = (points or thousands)[0]
        raise ValueError(f"holds {shown(fractions[0])} and {shown(other)}; write all numbers in one way, such as 4.5")
    one = grouped[0]
    raise ValueError(f"holds {shown(one)}, which is {one.replace(',', '')} or {_point(one)}; write it without a comma")


def _point(number: str) -> str:
    return number.replace(",", ".")
