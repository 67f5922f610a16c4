"""Duplicate texts: in training and in dev or test (a leak), or several times in training.

Exact copies have the same words, whatever the punctuation between them; near copies share most of their runs of
three words, see :mod:`pyro_rationale.data.minhash`. Only the words that the model reads are compared: those behind
`--max-words` do not count. The search runs at every load; among more than 200,000 documents it is limited to exact
copies, which are found by 64-bit hashes of the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.cache.columns import NO_WORD
from pyro_rationale.data.cache.dataset import ArrowDocuments, taken, target_rows, word_keys
from pyro_rationale.data.corpus import Copies, Corpus, Leaks, TargetSpec
from pyro_rationale.data.document import Document
from pyro_rationale.data.minhash import Indices, Words, near_pairs
from pyro_rationale.errors import DataError

_TEST, _DEV, _TRAIN = range(3)  # held-out texts come first, so that the limits of the search never leave them out
MOST = 200_000  # documents among which near copies are searched for
_TOLERANCE = 0.1  # of the range: ratings of copies that differ by more conflict

Flags = NDArray[np.bool_]


def without_leaks(corpus: Corpus, drop: bool = False) -> Corpus:
    """Search a corpus for copies, and note them as its :class:`Leaks`.

    Args:
        corpus: documents in three splits.
        drop: leave training documents out that also stand in dev or test. Dev and test stay complete.

    Raises:
        DataError: If nothing is left to train on.
    """
    leaks, leaked = find_leaks(corpus)
    if not drop or not leaks.leaked:
        return replace(corpus, leaks=leaks)
    kept = taken(corpus.train, np.flatnonzero(~leaked))
    if not kept:
        problem = f"every training document of {corpus.name} stands in dev or test as well"
        raise DataError(f"--drop-leaks: {problem}; check its files")
    return replace(corpus, train=kept, leaks=replace(leaks, dropped=leaks.leaked))


def find_leaks(corpus: Corpus) -> tuple[Leaks, Flags]:
    """Count copies between the splits and within training.

    Returns:
        The counts, and a flag per training document: whether it also stands in dev or test.
    """
    parts = (corpus.test, corpus.dev, corpus.train)
    count = sum(map(len, parts))
    if not count:
        return Leaks(), np.zeros(0, dtype=bool)
    near_searched = count <= MOST
    if near_searched:
        words, starts = number_words(parts)
        first = _first_copies(words, starts)
        near = near_pairs(words, starts, np.unique(first))
    else:
        first = _first_of_keys(np.concatenate([word_keys(part) for part in parts]))
        near = np.empty((0, 2), dtype=np.int64)
    targets = np.concatenate([target_rows(part, len(corpus.spec.names)) for part in parts])
    copies = _Copies(np.repeat(np.arange(3), [len(part) for part in parts]), first, near)
    leaked = (copies.found_in(_TRAIN, _TEST) | copies.found_in(_TRAIN, _DEV))[copies.split == _TRAIN]
    leaks = Leaks(
        test=copies.count(_TEST, _TRAIN),
        dev=copies.count(_DEV, _TRAIN),
        test_dev=copies.count(_TEST, _DEV),
        train=copies.repeats(_TRAIN),
        leaked=int(leaked.sum()),
        conflicts=_conflicts(corpus.spec, targets, first, near),
        near=near_searched,
    )
    return leaks, leaked


def summary(corpus: Corpus) -> str:
    """The copies of a corpus in one line; empty if it was not searched."""
    leaks = corpus.leaks
    if leaks is None:
        return ""
    trained = len(corpus.train) + leaks.dropped
    parts = [
        f"{copies.total:,} of {of:,} {what} ({copies.exact:,} exactly, {copies.near:,} nearly)"
        for copies, of, what in (
            (leaks.test, len(corpus.test), "test documents stand in training too"),
            (leaks.dev, len(corpus.dev), "dev documents stand in training too"),
            (leaks.test_dev, len(corpus.test), "test documents stand in dev too"),
            (leaks.train, trained, "training documents repeat another"),
        )
        if copies.total
    ]
    if not leaks.near:
        parts.append(f"near copies are not looked for among more than {MOST:,} documents")
    if not any(copies.total for copies in (leaks.test, leaks.dev, leaks.test_dev, leaks.train)):
        return "; ".join(["copies: none, neither between the splits nor in training", *parts])
    if leaks.conflicts:
        has = "copy has" if leaks.conflicts == 1 else "copies have"
        parts.append(f"{leaks.conflicts:,} {has} another target")
    if leaks.dropped:
        parts.append(f"--drop-leaks left {leaks.dropped:,} out of training")
    elif leaks.leaked:
        parts.append(f"--drop-leaks leaves {leaks.leaked:,} out of training")
    return f"copies: {'; '.join(parts)}"


class _Numbers(dict[str, int]):
    """Numbers of words from 1 on, in the order of their first use; 0 for punctuation."""

    def __missing__(self, word: str) -> int:
        number = len(self) + 1 if any(map(str.isalnum, word)) else 0
        self[word] = number
        return number


def number_words(parts: Sequence[Sequence[Document]]) -> tuple[Words, Indices]:
    """Numbers of the words of all documents, without punctuation, and where each document starts `(N + 1,)`."""
    numbers = _Numbers()
    pieces, lengths = zip(*(_numbered(part, numbers) for part in parts), strict=True)
    flat = np.concatenate(pieces)
    kept = flat > 0
    before = np.concatenate([[0], np.cumsum(kept)])
    return flat[kept], before[np.concatenate([[0], np.cumsum(np.concatenate(lengths), dtype=np.int64)])]


def _numbered(documents: Sequence[Document], numbers: _Numbers) -> tuple[Words, Indices]:
    """Numbers of the words of some documents, one after the other, and of each document how many there are."""
    if isinstance(documents, ArrowDocuments):
        table = np.array([numbers[word] for word in documents.file.spellings], dtype=np.int64)
        words = [documents.encode(i, table) for i in range(len(documents))]
        flat = np.concatenate(words) if words else np.zeros(0, np.int64)
        return flat.astype(np.int32), documents.lengths.astype(np.int64)
    lengths = np.array([len(document.tokens) for document in documents], dtype=np.int64)
    tokens = chain.from_iterable(document.tokens for document in documents)
    return np.fromiter(map(numbers.__getitem__, tokens), np.int32, int(lengths.sum())), lengths


def _first_of_keys(keys: Indices) -> Indices:
    """Index of the first document of the same words, by keys of the words `(N,)`."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return np.where(keys == NO_WORD, np.arange(len(keys)), first[inverse])


def _first_copies(words: Words, starts: Indices) -> Indices:
    """Index of the first document of the same words `(N,)`; a document without words is no copy of another."""
    seen: dict[bytes, int] = {}
    bounds = starts.tolist()
    indices = [
        seen.setdefault(words[start:end].tobytes(), i) if end > start else i
        for i, (start, end) in enumerate(pairwise(bounds))
    ]
    return np.array(indices, dtype=np.int64)


class _Copies:
    """Copies of each document: exact ones by the first document of the same words, near ones by pairs of these."""

    def __init__(self, split: Indices, first: Indices, near: Indices) -> None:
        self.split, self.first = split, first
        size = len(split)
        # Of each document's exact copies, and of its near ones, the earliest in each split; `size` for none.
        self.exact = np.full((size, 3), size)
        np.minimum.at(self.exact, (first, split), np.arange(size))
        self.near = np.full((size, 3), size)
        np.minimum.at(self.near, near[:, 0], self.exact[near[:, 1]])
        np.minimum.at(self.near, near[:, 1], self.exact[near[:, 0]])
        self.exact, self.near = self.exact[first], self.near[first]

    def found_in(self, split: int, other: int) -> Flags:
        """Flags `(N,)` of the documents of `split` that also stand in `other`, exactly or nearly."""
        size = len(self.split)
        return (self.split == split) & ((self.exact[:, other] < size) | (self.near[:, other] < size))

    def count(self, split: int, other: int) -> Copies:
        """Number of documents of `split` that also stand in `other`."""
        exact = int(((self.split == split) & (self.exact[:, other] < len(self.split))).sum())
        return Copies(exact, int(self.found_in(split, other).sum()) - exact)

    def repeats(self, split: int) -> Copies:
        """Number of documents of `split` that repeat an earlier one of it."""
        here, own = self.split == split, np.arange(len(self.split))
        exact = here & (self.exact[:, split] < own)
        near = here & ~exact & (self.near[:, split] < own)
        return Copies(int(exact.sum()), int(near.sum()))


def _conflicts(spec: TargetSpec, targets: NDArray[np.float64], first: Indices, near: Indices) -> int:
    """Number of documents whose target conflicts with that of the one that they repeat; unrated ones never do."""
    again = np.flatnonzero(first != np.arange(len(first)))
    pairs = np.concatenate([np.stack([first[again], again], axis=1), near])
    widest = np.array([_TOLERANCE * (high - low) for low, high in spec.ranges] or [0.0] * len(spec.names))
    differ = (np.abs(targets[pairs[:, 0]] - targets[pairs[:, 1]]) > widest).any(axis=1)
    return len(np.unique(pairs[differ, 1]))
