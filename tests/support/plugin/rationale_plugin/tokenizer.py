"""Words between spaces, in lower case."""

from __future__ import annotations

import re


def split_at_spaces(text: str) -> list[tuple[str, tuple[int, int]]]:
    """Pairs of a word and its characters."""
    return [(match[0].lower(), match.span()) for match in re.finditer(r"\S+", text)]
