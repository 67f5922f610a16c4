"""Gold rationales as files hold them: spans of words or characters, or one 0 or 1 per word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pyro_rationale.data.corpus import Document
from pyro_rationale.data.documents import from_text, from_tokens
from pyro_rationale.data.files.text import shown


def document(
    id: str, text: str | Sequence[str], rationale: Any, targets: Sequence[float], max_words: int
) -> Document:
    """A document with the gold rationale that stands beside it.

    Args:
        id: a stable name.
        text: a string, or a list of words that are taken as they are.
        rationale: `None`; or a list of `[start, end)` spans, of *words* for a list of words and of *characters*
            for a string; or one 0 or 1 per word (of a string: per stretch between spaces, which then are the
            words), as a list or with spaces between them as in the R2A files. Any other string is somebody's own
            column: no gold.
        targets: as in :class:`Document`.
        max_words: words to keep at most.

    Raises:
        ValueError: If the rationale does not fit the text; the message says how.
    """
    if isinstance(rationale, str):
        rationale = [int(flag) for flag in rationale.split()] if set(rationale.split()) <= {"0", "1"} else None
        rationale = rationale or None
    words = text.split() if isinstance(text, str) else text
    if rationale is None:
        return (
            from_text(id, text, targets, max_words)
            if isinstance(text, str)
            else from_tokens(id, text, targets, max_words)
        )
    if not isinstance(rationale, list):
        raise ValueError(f"its rationale is {shown(rationale)}, not a list")
    if rationale and all(type(flag) in (int, bool) and flag in (0, 1) for flag in rationale):
        if len(rationale) != len(words):
            raise ValueError(f"its rationale has {len(rationale)} flags for {len(words)} words")
        return from_tokens(id, words, targets, max_words, [bool(flag) for flag in rationale])
    spans = _spans(rationale, len(text))
    if isinstance(text, str):
        return from_text(id, text, targets, max_words, spans)
    return from_tokens(id, text, targets, max_words, flags_of(spans, len(text)))


def document_of_several(
    id: str, text: str | Sequence[str], rationales: Sequence[Any], targets: Sequence[float], max_words: int
) -> Document:
    """A document with the maps of several annotators; its gold rationale is what at least half of them marked.

    Args:
        id: a stable name.
        text: as for :func:`document`.
        rationales: one per annotator, each as for :func:`document`; of one alone there are no `maps`.
        targets: as in :class:`Document`.
        max_words: words to keep at most.

    Raises:
        ValueError: If a rationale does not fit the text, or if they cut the text into different words.
    """
    read = [document(id, text, rationale, targets, max_words) for rationale in rationales]
    marked = [one for one in read if one.gold is not None]
    if not marked:
        return document(id, text, None, targets, max_words)
    if len({one.tokens for one in marked}) > 1:
        raise ValueError("one of its rationales has flags and another has spans of characters; give all in one way")
    maps = tuple(one.gold for one in marked if one.gold is not None)
    return replace(marked[0], gold=agreed(maps), maps=maps if len(maps) > 1 else None)


def agreed(maps: Sequence[Sequence[bool]]) -> tuple[bool, ...]:
    """The words that at least half of the annotators marked: two of three, and either of two.

    Args:
        maps: one or more sets of flags, one flag per word each.
    """
    return tuple(2 * sum(marks) >= len(maps) for marks in zip(*maps, strict=True))


def flags_of(spans: Sequence[tuple[int, int]], length: int) -> tuple[bool, ...]:
    """`[start, end)` spans of words as one flag per word."""
    flags = [False] * length
    for start, end in spans:
        flags[start:end] = [True] * (end - start)
    return tuple(flags)


def spans_of(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """First word of each maximal run of flagged words, and the one after its last; the inverse of `flags_of`."""
    marks = (*map(bool, flags), False)
    end = 0
    while True in marks[end:]:
        start = marks.index(True, end)
        end = marks.index(False, start)
        yield start, end


def _spans(values: list[Any], length: int) -> list[tuple[int, int]]:
    spans = []
    for value in values:
        pair = tuple(value) if isinstance(value, (list, tuple)) else ()
        if len(pair) != 2 or any(type(end) is not int for end in pair) or not 0 <= pair[0] <= pair[1] <= length:
            raise ValueError(f"its rationale holds {shown(value)}, expected [start, end] within 0 and {length}")
        spans.append(pair)
    return spans
