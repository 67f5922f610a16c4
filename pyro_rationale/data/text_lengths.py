"""How many words of each text are read, where the user does not say: `--max-words` chosen by the texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.cache.dataset import ArrowDocuments, word_counts
from pyro_rationale.data.compact import CompactDocuments
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.document import Document, words_beyond

FEWEST_WORDS, MOST_WORDS = 256, 1024
_STEP = 64
_MOST_CUT = 0.05  # share of all words


def fitting_length(corpus: Corpus) -> int:
    """Words to read of each text of a corpus in memory, whose texts are whole or cut after 1,024 words or more."""
    documents = [document for part in _parts(corpus) for document in part]
    return fitting_counts(word_counts(documents), sum(words_beyond(document, MOST_WORDS) for document in documents))


def fitting_counts(lengths: Iterable[int], unread: int = 0) -> int:
    """The least multiple of 64 words, from 256 to 1,024, that leaves out at most a twentieth of all words.

    Args:
        lengths: words of each text.
        unread: words that they have beyond those.
    """
    counts: NDArray[np.int64] = np.array([*lengths], dtype=np.int64)
    whole = int(counts.sum()) + unread
    for length in range(FEWEST_WORDS, MOST_WORDS, _STEP):
        if np.maximum(counts - length, 0).sum() + unread <= _MOST_CUT * whole:
            return length
    return MOST_WORDS


def cut_to(corpus: Corpus, length: int) -> Corpus:
    """The corpus with texts in memory of at most `length` words each; those on disk are read anew for that."""
    train, dev, test = (cut_documents(part, length) for part in _parts(corpus))
    return replace(corpus, train=train, dev=dev, test=test)


def cut_documents(documents: Sequence[Document], length: int) -> Sequence[Document]:
    """Documents of at most `length` words each; those on disk as they are."""
    if isinstance(documents, CompactDocuments):
        return documents.cut(length)
    if isinstance(documents, ArrowDocuments) or all(len(document.tokens) <= length for document in documents):
        return documents
    return tuple(_cut(document, length) for document in documents)


def _parts(corpus: Corpus) -> tuple[Sequence[Document], ...]:
    return corpus.train, corpus.dev, corpus.test


def _cut(document: Document, length: int) -> Document:
    def first(values: Any) -> Any:
        return None if values is None else values[:length]

    maps, rationales = (
        None if flags is None else tuple(map(first, flags)) for flags in (document.maps, document.rationales)
    )
    return replace(
        document, tokens=document.tokens[:length], offsets=document.offsets[:length], gold=first(document.gold),
        opinion=first(document.opinion), maps=maps, title=min(document.title, length), rationales=rationales,
    )  # fmt: skip
