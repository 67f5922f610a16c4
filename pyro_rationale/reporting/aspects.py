"""Texts whose targets have rationales of their own, for the terminal: a letter and a colour for each target."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from pyro_rationale.data.document import Document
from pyro_rationale.errors import harmless
from pyro_rationale.prediction.text_spans import letter_of, marked_runs, noted

# Backgrounds by value, as in pyro_rationale.reporting.console; the letters say it too.
COLOURS = ("#ffd75f", "#9ad4ff", "#ffb98a", "#b5e48c", "#e0b3ff", "#8ee3d8", "#ff9eb5", "#d0d0d0")
SEVERAL = "bold underline #000000 on #ffffff"  # words of several targets


def aspect_style(number: int) -> str:
    """Style of the words of target `number`."""
    return f"bold underline #000000 on {COLOURS[number % len(COLOURS)]}"


def aspect_text(document: Document, masks: Sequence[Sequence[bool]], plain: bool = False) -> Text:
    """The text with the words of each target marked: `[A friendly]`, or a letter and a colour.

    Args:
        document: the text.
        masks: of each target.
        plain: brackets instead of colours.
    """
    text, made, position = noted(document), Text(overflow="fold"), 0
    for start, end, owners in marked_runs(document.offsets, masks):
        letters = "".join(map(letter_of, owners))
        made.append(text[position:start])
        if plain:
            made.append(f"[{letters} {text[start:end]}]")
        else:
            style = aspect_style(owners[0]) if len(owners) == 1 else SEVERAL
            made.append(f"{letters} ", style=style.replace("underline ", "italic "))
            made.append(text[start:end], style=style)
        position = end
    return made.append(text[position:])


def aspect_key(names: Sequence[str], plain: bool = False) -> Text:
    """Letters and colours of the targets: `A staff, B catering`."""
    key = Text(overflow="fold")
    for number, name in enumerate(names):
        key.append("  " if number else "")
        key.append(f"{letter_of(number)} {harmless(name)}", style="" if plain else aspect_style(number))
    return key
