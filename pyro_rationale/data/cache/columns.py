"""Documents packed into columns of numbers, for passing them between processes and writing them to disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.document import Document

Flags = tuple[bool, ...]
Cells = tuple[str | None, ...]
NO_WORD = 0  # instead of a key


@dataclass(frozen=True)
class Packed:
    """`N` documents of `W` words in all, and the faults of rows that made none.

    Attributes:
        ids: names.
        texts: as given.
        cells: targets of each document as a file holds them, `None` for none.
        spellings: the distinct words, in the order of their first use.
        words: int32, `(W,)`, indices into `spellings`.
        lengths: int32, `(N,)`, words per document.
        spans: int32, `(2 W,)`, start and end of each word in its text, in turn.
        gold: flags per document, or `None`.
        opinion: flags per document, or `None`.
        maps: flags per annotator, or `None`.
        rationales: flags per target, or `None`.
        text_keys: int64, `(N,)`, equal for equal texts.
        word_keys: int64, `(N,)`, equal for equal words, whatever the punctuation; `NO_WORD` for a text without any.
        rows: rows that were looked at.
        unrated: rows left out since they rate nothing.
        cut: texts of which only the first words are read.
        beyond: about how many words of these texts are not read.
        faults: place and problem of each unusable row.
    """

    ids: list[str]
    texts: list[str]
    cells: list[Cells]
    spellings: list[str]
    words: NDArray[np.int32]
    lengths: NDArray[np.int32]
    spans: NDArray[np.int32]
    gold: list[Flags | None]
    opinion: list[Flags | None]
    maps: list[tuple[Flags, ...] | None]
    rationales: list[tuple[Flags | None, ...] | None]
    text_keys: NDArray[np.int64]
    word_keys: NDArray[np.int64]
    rows: int = 0
    unrated: int = 0
    cut: int = 0
    beyond: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)


def pack(
    documents: Sequence[Document],
    cells: Sequence[Cells] | None = None,
    rows: int = 0,
    unrated: int = 0,
    faults: Iterable[tuple[str, str]] = (),
) -> Packed:
    """Pack some hundred or thousand documents into columns; see :class:`Packed`.

    By default `cells` are the targets of the documents as decimal numbers, and `rows` is the number of documents.
    """
    numbers: dict[str, int] = {}
    words = [numbers.setdefault(token, len(numbers)) for document in documents for token in document.tokens]
    return Packed(
        ids=[document.id for document in documents],
        texts=[document.text for document in documents],
        cells=[tuple(map(repr, d.targets)) for d in documents] if cells is None else list(cells),
        spellings=list(numbers),
        words=np.array(words, dtype=np.int32),
        lengths=np.array([len(document.tokens) for document in documents], dtype=np.int32),
        spans=np.array([end for document in documents for span in document.offsets for end in span], dtype=np.int32),
        gold=[document.gold for document in documents],
        opinion=[document.opinion for document in documents],
        maps=[document.maps for document in documents],
        rationales=[document.rationales for document in documents],
        text_keys=keys_of_texts(documents),
        word_keys=keys_of_words(documents),
        rows=rows or len(documents),
        unrated=unrated,
        faults=list(faults),
    )


def keys_of_texts(documents: Sequence[Document]) -> NDArray[np.int64]:
    """Keys of documents, `(N,)`, equal for equal texts."""
    return np.array([_key(document.text) for document in documents], dtype=np.int64)


def keys_of_words(documents: Sequence[Document]) -> NDArray[np.int64]:
    """Keys of documents, `(N,)`, equal for equal words, whatever the punctuation."""
    spellings = {token for document in documents for token in document.tokens}
    punctuation = {token for token in spellings if not any(map(str.isalnum, token))}
    return np.array([_word_key(document.tokens, punctuation) for document in documents], dtype=np.int64)


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "big", signed=True)


def _word_key(tokens: Sequence[str], punctuation: set[str]) -> int:
    words = [token for token in tokens if token not in punctuation]
    return (_key("\n".join(words)) or 1) if words else NO_WORD
