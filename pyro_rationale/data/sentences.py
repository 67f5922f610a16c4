"""Where the sentences of a document begin, by rules on its own words and without a model; abbreviations are English.

A full stop, exclamation mark or question mark ends a sentence, with the quotes and brackets that are closed behind it.
A full stop ends none behind an abbreviation or an initial, nor inside a name (`node.js`); an ellipsis only where a
capital letter follows. Line breaks end a sentence at an empty line, before a list item, and behind a short line
unless the next begins with a small letter: long lines are those of a text that was wrapped.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.document import Document, make_document
from pyro_rationale.data.word_classes import SENTENCE_ENDS

CLOSING = frozenset([")", "]", "}", "»", "”", "’", "」", "』"])
QUOTES = frozenset(['"', "'", "`"])  # the same mark opens and closes
BULLETS = frozenset(["-", "--", "*", "•", "·", "+"])
ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st jr sr vs etc approx dept est fig inc ltd co corp no vol pp ed al gen col sgt capt lt rev hon "
    "gov sen rep ave blvd mt ft jan feb mar apr jun jul aug sep sept oct nov dec e.g i.e eg ie cf ca viz".split()
)
ENDED_BY = frozenset("etc inc ltd co corp no jr sr".split())  # of these: a sentence may end on them
WRAPPED = 60  # characters; a longer line was broken for its length

_EMPTY_LINE = re.compile(r"\n\s*\n|\u2029|(?i:<br\s*/?>)")


def sentence_starts(document: Document) -> NDArray[np.int64]:
    """Indices of the first words of the sentences, `(U,)`, the first of them 0; of no words that too.

    Args:
        document: with `sentences`, if its corpus knows them, which are then taken; otherwise the rules decide.
    """
    if document.sentences is not None:
        inside = {start for start in document.sentences if 0 < start < len(document.tokens)}
        return np.array([0, *sorted(inside)], dtype=np.int64)
    tokens, count = document.tokens, len(document.tokens)
    if len(document.offsets) != count:  # words without their places in a text: as if they stood between spaces
        document = make_document(document.id, tokens)
    starts = [0]
    last = 0  # the sentence now read begins here
    for i in range(1, count):
        if i <= last:
            continue
        if _breaks_line(document, i):
            starts.append(last := i)
        elif tokens[i - 1] in SENTENCE_ENDS and tokens[i] not in SENTENCE_ENDS and _is_end(document, i - 1):
            behind = _behind_closing(document, last, i)
            if behind < count:
                starts.append(last := behind)
    return np.array(starts, dtype=np.int64)


def _is_end(document: Document, i: int) -> bool:
    """Whether the end mark `i`, which is not the last word, ends a sentence."""
    tokens, text, offsets = document.tokens, document.text, document.offsets
    mark = tokens[i]
    begins = text[offsets[i + 1][0] : offsets[i + 1][1]][:1]
    if mark == "...":
        return begins.isupper()
    if mark != ".":
        return True
    before = tokens[i - 1] if i else ""
    if before in ABBREVIATIONS:
        return before in ENDED_BY and begins.isupper()
    if len(before) == 1 and before.isalpha() and before not in "ia":  # an initial, or a letter of one like U.S.
        return False
    joined = offsets[i - 1][1] == offsets[i][0] and offsets[i][1] == offsets[i + 1][0] if i else False
    return not (joined and begins.isalnum() and not begins.isupper())


def _behind_closing(document: Document, start: int, i: int) -> int:
    """The first word at or behind `i` that is no quote or bracket closed there, nor another end mark.

    A mark that both opens and closes closes if it was open: if the sentence, which begins at `start`, has an odd
    number of it.
    """
    tokens = document.tokens
    while i < len(tokens):
        token = tokens[i]
        closes = token in CLOSING or token in SENTENCE_ENDS
        if token in QUOTES:
            closes = tokens[start:i].count(token) % 2 == 1
        if not closes or _breaks_line(document, i):
            break
        i += 1
    return i


def _breaks_line(document: Document, i: int) -> bool:
    """Whether the break between the words `i - 1` and `i`, if there is one, ends a sentence."""
    text, end, start = document.text, document.offsets[i - 1][1], document.offsets[i][0]
    if start <= end + 1 and text[end:start] != "\n":  # nearly always: nothing, or a space
        return False
    gap = text[end:start]
    if _EMPTY_LINE.search(gap):
        return True
    if "\n" not in gap:
        return False
    if document.tokens[i] in BULLETS:
        return True
    line = end - (text.rfind("\n", 0, end) + 1)
    return line < WRAPPED and not text[start : start + 1].islower()
