"""Marked texts, those of an index and of a search, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from pyro_rationale.reporting.console import KEPT, UNREAD

if TYPE_CHECKING:
    from pyro_rationale.prediction.marked_text import MarkedText


def marked(text: MarkedText, plain: bool = False) -> Text:
    """The text with its kept stretches in colour, or in [brackets] where it is `plain`."""
    if plain:
        return Text(str(text), overflow="fold")
    shown = Text("".join(piece for piece, _ in text.pieces()), overflow="fold")
    for start, end in text.spans:
        shown.stylize(KEPT, start, end)
    shown.stylize(UNREAD, text.read)
    return shown
