"""Numbers as people write them."""

from __future__ import annotations

LARGE = 1e9  # from here on numbers have an exponent
THOUSAND = 1e3


def number_text(value: float, style: str = ".4g") -> str:
    """A number in a format of some digits; all digits before the point instead of an exponent, up to a billion."""
    text = format(value, style)
    if "e+" not in text or not abs(value) < LARGE:
        return text
    return format(value, "+.0f" if style.startswith("+") else ".0f")


def rating_text(value: float) -> str:
    """A rating with four digits (3.9), or, from a thousand on, to a tenth (1234.5)."""
    if THOUSAND <= abs(value) < LARGE:
        return f"{value:.1f}".removesuffix(".0")
    return number_text(value)
