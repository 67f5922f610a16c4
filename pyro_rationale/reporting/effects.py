"""For and against: which side each kept span is on, and its colour on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyro_rationale.prediction.contributions import Contribution, Contributions

FOR = "bold underline #000000 on #9ad4ff"  # by value, as the colours of pyro_rationale.reporting.console
AGAINST = "bold underline #000000 on #ffb98a"


def signs(found: Contributions | None, words: int) -> list[int]:
    """Sign of what each word's span does, 0 outside of spans and where targets differ."""
    flags = [0] * words
    for part in found.spans if found else ():
        flags[part.start : part.end] = [sign_of(part)] * (part.end - part.start)
    return flags


def sign_of(part: Contribution) -> int:
    """1 for a span that raises the ratings of all targets, or speaks for the predicted labels; -1 against; else 0."""
    found = {(effect > 0) - (effect < 0) for effect in part.effects}
    return found.pop() if len(found) == 1 else 0
