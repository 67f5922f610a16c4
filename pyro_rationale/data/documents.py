"""From a text, or from words that someone else cut, to a :class:`Document` of at most so many words."""

from __future__ import annotations

from collections.abc import Sequence

from pyro_rationale.data.corpus import Document
from pyro_rationale.data.tokenize import tokenize

Offsets = tuple[tuple[int, int], ...]


def from_text(
    id: str, text: str, targets: Sequence[float], max_words: int, spans: Sequence[tuple[int, int]] | None = None
) -> Document:
    """A document from running text.

    Args:
        id: a stable name.
        text: the text, kept whole; only the words that the model reads are cut.
        targets: as in :class:`Document`.
        max_words: words to keep at most.
        spans: gold rationale as `[start, end)` *characters* of `text`; a word that a span touches is gold.
    """
    tokens, offsets = _first_words(text, max_words)
    gold = None
    if spans is not None:
        gold = tuple(any(start < e and s < end for s, e in spans) for start, end in offsets)
    return Document(id, text, tokens, offsets, tuple(targets), gold)


def from_tokens(
    id: str, words: Sequence[str], targets: Sequence[float], max_words: int, gold: Sequence[bool] | None = None
) -> Document:
    """A document from words that are cut already; its text is the words with single spaces between them.

    Args:
        id: a stable name.
        words: not empty strings, any case.
        targets: as in :class:`Document`.
        max_words: words to keep at most.
        gold: one flag per word of `words`.
    """
    offsets = []
    start = 0
    for word in words[:max_words]:
        offsets.append((start, start + len(word)))
        start += len(word) + 1
    tokens = tuple(word.lower() for word in words[:max_words])
    flags = None if gold is None else tuple(bool(flag) for flag in gold[:max_words])
    return Document(id, " ".join(words), tokens, tuple(offsets), tuple(targets), flags)


def _first_words(text: str, count: int) -> tuple[tuple[str, ...], Offsets]:
    """The first `count` tokens; long texts are not cut into words to their end."""
    reach = 12 * count
    while reach < len(text):
        tokens, offsets = tokenize(text[:reach])
        if len(tokens) > count + 1:  # the very last may be half a word, and may change the one before it
            return tokens[:count], offsets[:count]
        reach *= 2
    tokens, offsets = tokenize(text)
    return tokens[:count], offsets[:count]
