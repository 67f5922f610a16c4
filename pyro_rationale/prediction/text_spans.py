"""Rationales as stretches of the original text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from pyro_rationale.data.document import Document, spans_of
from pyro_rationale.errors import harmless

UNREAD_SHOWN = 200  # characters of an unread tail that are shown
_MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>#|~{}"})
Span = tuple[int, int]


def spans(document: Document, flags: Sequence[bool]) -> Iterator[Span]:
    """Character spans of maximal runs of flagged tokens, the white space inside a run included."""
    if len(flags) != len(document.offsets):
        raise ValueError(f"expected one flag per token, {len(document.offsets)}, got {len(flags)}")
    for start, end in spans_of(flags):
        yield document.offsets[start][0], document.offsets[end - 1][1]


def marked_runs(
    offsets: Sequence[Span], masks: Sequence[Sequence[bool]]
) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Maximal runs of words that the same masks keep, as characters `start` and `end` and the masks' numbers.

    Args:
        offsets: of the words.
        masks: any number of them.
    """
    owners = [tuple(number for number, mask in enumerate(masks) if mask[word]) for word in range(len(offsets))]
    first = 0
    for kept, run in groupby(owners):
        behind = first + len(list(run))
        if kept:
            yield offsets[first][0], offsets[behind - 1][1], kept
        first = behind


def letter_of(number: int) -> str:
    """A, B, ..., Z, A1, B1, ...: what stands for target `number`."""
    return f"{chr(ord('A') + number % 26)}{number // 26 or ''}"


def lettered(document: Document, masks: Sequence[Sequence[bool]], names: Sequence[str]) -> str:
    """The text with `[A brackets]` around the words of each target, and below it what the letters stand for."""
    text, pieces, position = noted(document), [], 0
    for start, end, owners in marked_runs(document.offsets, masks):
        pieces += [text[position:start], f"[{''.join(map(letter_of, owners))} {text[start:end]}]"]
        position = end
    key = "  ".join(f"{letter_of(number)} {harmless(name)}" for number, name in enumerate(names))
    return f"{''.join([*pieces, text[position:]])}\n{key}"


def snippets(document: Document, mask: Sequence[bool], most: int | None = None) -> str:
    """The kept runs alone, on one line: `cheap and cheerful … never again`; at most `most` characters."""
    runs = (" ".join(harmless(document.text[start:end]).split()) for start, end in spans(document, mask))
    line = " … ".join(runs) or "(nothing)"
    return line if most is None or len(line) <= most else line[: most - 1] + "…"


def bracketed(document: Document, kept: Sequence[bool], gold: Sequence[bool] | None = None) -> str:
    """The text with [brackets] around kept runs and {braces} around gold ones; where both begin, the brace is outside.

    Of a long tail that was not read only the beginning is there.
    """
    marks: list[tuple[int, int, str]] = []
    for start, end in spans(document, kept):
        marks += [(start, 3, "["), (end, 0, "]")]
    for start, end in () if gold is None else spans(document, gold):
        marks += [(start, 2, "{"), (end, 1, "}")]
    text, pieces, position = noted(document), [], 0
    for index, _, mark in sorted(marks):
        pieces += [text[position:index], mark]
        position = index
    return "".join([*pieces, text[position:]])


def markdown(document: Document, kept: Sequence[bool], gold: Sequence[bool] | None = None) -> str:
    """The words of a text that were read, on one line of Markdown: kept runs in bold, gold ones in {braces}."""
    marks: list[tuple[int, int, str]] = []  # Markdown wants bold to touch its words: braces stand outside
    for start, end in spans(document, kept):
        marks += [(start, 3, "**"), (end, 0, "**")]
    for start, end in () if gold is None else spans(document, gold):
        marks += [(start, 2, "{"), (end, 1, "}")]
    end = document.offsets[-1][1] if document.offsets else 0
    text, pieces, position = harmless(document.text), [], 0
    for index, _, mark in sorted(marks):
        pieces += [text[position:index].translate(_MARKDOWN), mark]
        position = index
    rest = " …" if text[end:].strip() else ""
    return " ".join("".join([*pieces, text[position:end].translate(_MARKDOWN), rest]).split())


def visible(text: str, offsets: Sequence[Span]) -> tuple[str, int]:
    """The harmless text without the end of a long tail that was not read, and how many characters that end has.

    Args:
        text: of a document.
        offsets: of the words that were read.
    """
    read = offsets[-1][1] if offsets else 0
    shown = len(text) if len(text) - read <= 2 * UNREAD_SHOWN else read + UNREAD_SHOWN
    return harmless(text[:shown]), len(text) - shown


def noted(document: Document) -> str:
    """The visible text, with a note of what is left out at its end."""
    text, hidden = visible(document.text, document.offsets)
    return f"{text}… ({hidden:,} more characters not read)" if hidden else text
