"""Near copies among many texts: banded MinHash sketches (Broder, SEQUENCES 1997), whose candidates are then compared.

Written by hand since numpy does all of it in 64 passes over an array: 0.06 s for 3,000 reviews that take 0.92 s to cut
into words. MinHash run by run in Python, as libraries do it, takes 2.7 s (`benchmarks/near_copies.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ALIKE = 0.7  # near copies have at least this Jaccard similarity of their sets of runs
FEWEST_WORDS = 8  # one changed word changes three runs: shorter texts have no near copies
_RUN = 3  # words
_BANDS, _ROWS = 16, 4  # two texts of similarity 0.7 are missed with probability 0.012, of 0.8 with 0.0002
_SLACK = 0.25  # candidates may have so much less than ALIKE by their sketches: more than four standard errors
_BAND_LIMIT = 64  # where more texts share a band, each is compared with the first so many only
_MEASURED = 20_000  # candidates that are compared run by run; further ones are judged by their sketches
_CHUNK = 1000  # texts: their runs fit into a processor's cache

Words = NDArray[np.int32]
Indices = NDArray[np.int64]
Sketches = NDArray[np.uint32]


def near_pairs(words: Words, starts: Indices, indices: Indices) -> Indices:
    """Find pairs of texts that share most of their runs of three words.

    Args:
        words: numbers of the words of all texts, one text after the other.
        starts: `(N + 1,)`, where each text starts.
        indices: indices of the texts to compare, ascending.

    Returns:
        Indices of the texts of each pair, `(P, 2)`, the smaller one first.
    """
    indices = indices[starts[indices + 1] - starts[indices] >= FEWEST_WORDS]
    if len(indices) < 2:
        return np.empty((0, 2), dtype=np.int64)
    runs = _Runs(words, starts)
    sketches = _sketches(runs, indices)
    pairs = _candidates(sketches)
    alike = _agreement(sketches, pairs)
    likely = alike >= ALIKE - _SLACK
    pairs, alike = pairs[likely], alike[likely]
    for k, (i, j) in enumerate(pairs[:_MEASURED]):
        alike[k] = runs.similarity(indices[i], indices[j])
    return indices[pairs[alike >= ALIKE]]


class _Runs:
    """Hashes of runs of three words, of 64 bits."""

    def __init__(self, words: Words, starts: Indices) -> None:
        chance = np.random.default_rng(0)
        most = np.iinfo(np.uint64).max
        self.words, self.starts = words, starts
        self.values = chance.integers(most, size=int(words.max(initial=0)) + 1, dtype=np.uint64)
        self.factors = chance.integers(most, size=_RUN, dtype=np.uint64) | np.uint64(1)

    def between(self, start: int | np.int64, end: int | np.int64) -> NDArray[np.uint64]:
        """Hashes of the runs of the words `[start, end)`: one per word but the last two."""
        values = self.values[self.words[start:end]]
        count = len(values) - _RUN + 1
        total = values[:count] * self.factors[0]
        for i in range(1, _RUN):
            total += values[i : i + count] * self.factors[i]
        return total

    def similarity(self, one: np.int64, other: np.int64) -> float:
        """The Jaccard similarity of two texts' sets of runs."""
        left, right = (np.unique(self.between(self.starts[text], self.starts[text + 1])) for text in (one, other))
        shared = len(np.intersect1d(left, right, assume_unique=True))
        return shared / (len(left) + len(right) - shared)


def _sketches(runs: _Runs, indices: Indices) -> Sketches:
    """The run of each text that comes first in each of 64 random orders, `(64, n)`.

    The runs are random numbers; times an odd key, modulo 2^32, they come in another order for each key. (XOR would be a
    permutation too, but a run with few neighbours would then come first under most keys: sketches of short texts would
    err more.)
    """
    keys = np.random.default_rng(1).integers(2**32, size=_BANDS * _ROWS, dtype=np.uint32) | np.uint32(1)
    sketches = np.empty((len(keys), len(indices)), dtype=np.uint32)
    for low in range(0, len(indices), _CHUNK):
        chunk = indices[low : low + _CHUNK]
        base, end = int(runs.starts[chunk[0]]), int(runs.starts[chunk[-1] + 1])
        flat = (runs.between(base, end) >> np.uint64(32)).astype(np.uint32)
        # Where the runs of each text start, and where they stop: the last two words start runs into the next text.
        bounds = np.stack([runs.starts[chunk], runs.starts[chunk + 1] - _RUN + 1], axis=1).ravel()[:-1] - base
        ordered = np.empty_like(flat)
        for i, key in enumerate(keys):
            np.multiply(flat, key, out=ordered)
            sketches[i, low : low + len(chunk)] = np.minimum.reduceat(ordered, bounds)[::2]
    return sketches


def _candidates(sketches: Sketches) -> Indices:
    """Pairs of columns `(P, 2)`, `i < j`, that agree in all rows of some band."""
    count = sketches.shape[1]
    factors = np.random.default_rng(2).integers(2**63, size=_ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    codes = []
    for band in sketches.reshape(_BANDS, _ROWS, count):
        key = (band.astype(np.uint64) * factors[:, None]).sum(axis=0, dtype=np.uint64)
        order = np.argsort(key, kind="stable")
        edges = np.flatnonzero(np.diff(key[order])) + 1
        bounds = np.concatenate([[0], edges, [count]])
        for k in np.flatnonzero(np.diff(bounds) > 1):
            members = order[bounds[k] : bounds[k + 1]]
            head = members[:_BAND_LIMIT]
            left, right = np.meshgrid(head, members, indexing="ij")
            codes.append((left * count + right)[left < right])
    pairs = np.unique(np.concatenate(codes)) if codes else np.empty(0, dtype=np.int64)
    return np.stack([pairs // count, pairs % count], axis=1)


def _agreement(sketches: Sketches, pairs: Indices) -> NDArray[np.float64]:
    """Share of rows in which two columns agree: an estimate of their similarity."""
    alike = np.zeros(len(pairs))
    for row in sketches:
        alike += row[pairs[:, 0]] == row[pairs[:, 1]]
    return alike / len(sketches)
