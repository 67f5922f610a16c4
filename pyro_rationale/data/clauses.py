"""Where the clauses of a document begin, by rules on its own words and without a model; the words are English.

A clause ends where its sentence does (:mod:`pyro_rationale.data.sentences`), behind a comma, colon, semicolon, dash or
bracket, before a word that turns or gives a reason ("but", "because"), and, where it is long already, before one that
adds ("and", "which"). Neither part may be shorter than four words, so that lists of single words and asides stay whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.document import Document
from pyro_rationale.data.sentences import sentence_starts

CUTS = frozenset([",", ";", ":", "-", "--", "\u2013", "\u2014", ")", "\uff0c", "\u3001", "\uff1b", "\u060c"])
TURNS = frozenset("but although though however because while whereas except yet unless".split())
LINKS = frozenset("and or which that when where who with as if so".split())
SHORTEST = 4  # words of a clause
LONG = 8  # words behind which the next one may be linked


def clause_starts(document: Document) -> NDArray[np.int64]:
    """Indices of the first words of the clauses, `(U,)`, the first of them 0; of no words that too."""
    tokens = [token.lower() for token in document.tokens]
    starts: list[int] = []
    for begin, end in _sentences(document):
        starts.append(last := begin)
        for i in range(begin + SHORTEST, end - SHORTEST + 1):
            if i - last >= SHORTEST and _begins(tokens, i, i - last):
                starts.append(last := i)
    return np.array(starts or [0], dtype=np.int64)


def _sentences(document: Document) -> list[tuple[int, int]]:
    """First word of each sentence, and the one behind its last."""
    starts = sentence_starts(document).tolist()
    return list(zip(starts, [*starts[1:], len(document.tokens)], strict=True))


def _begins(tokens: list[str], i: int, before: int) -> bool:
    """Whether a clause begins at word `i`, so many words behind the last one's beginning."""
    word = tokens[i]
    return tokens[i - 1] in CUTS or word == "(" or word in TURNS or (word in LINKS and before >= LONG)
