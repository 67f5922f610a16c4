"""BM25 (Robertson and Zaragoza 2009): texts ranked by the words that they share with a query, rare words counting most.

score(q, d) = sum over words w of q of idf(w) tf (k1 + 1) / (tf + k1 (1 - b + b |d| / mean length))
idf(w) = log(1 + (N - df + .5) / (df + .5))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Numbers = NDArray[np.float64]
_CELLS = 1 << 24  # scores held at once


class BM25:
    """An index of documents.

    Args:
        documents: the words of each.
        k1: how soon more of a word counts no more.
        b: how much long documents are counted down.
    """

    def __init__(self, documents: Iterable[Sequence[str]], k1: float = 1.5, b: float = 0.75) -> None:
        self._number: dict[str, int] = {}
        counts, columns, starts = self._counted(documents, grow=True)
        shape = (len(starts) - 1, max(len(self._number), 1))
        lengths = np.add.reduceat(np.append(counts, 0.0), starts[:-1]) * (np.diff(starts) > 0)
        frequency = np.bincount(columns, minlength=shape[1])
        self.idf: Numbers = np.log1p((shape[0] - frequency + 0.5) / (frequency + 0.5))
        mean = lengths.mean() if shape[0] and lengths.any() else 1.0
        rows = np.repeat(np.arange(shape[0]), np.diff(starts))
        weights = counts * (k1 + 1) / (counts + k1 * (1 - b + b * lengths[rows] / mean)) * self.idf[columns]
        self._weights = csr_array((weights, columns, starts), shape=shape).T.tocsr()

    def __len__(self) -> int:
        return int(self._weights.shape[1])

    def scores(self, queries: Iterable[Sequence[str]]) -> Numbers:
        """Scores `(Q, N)` of all documents; a word counts as often as it stands in the query."""
        counts, columns, starts = self._counted(queries, grow=False)
        table = csr_array((counts, columns, starts), shape=(len(starts) - 1, self._weights.shape[0]))
        return np.asarray((table @ self._weights).todense(), dtype=float)

    def top(self, queries: Iterable[Sequence[str]], count: int) -> Iterator[NDArray[np.int64]]:
        """Indices of the best `count` documents for each query, best first; of equals, the first."""
        block: list[Sequence[str]] = []
        size = max(1, _CELLS // max(len(self), 1))
        for query in queries:
            block.append(query)
            if len(block) == size:
                yield from self._top(block, count)
                block = []
        yield from self._top(block, count)

    def _top(self, queries: Sequence[Sequence[str]], count: int) -> Iterator[NDArray[np.int64]]:
        for scores in self.scores(queries) if queries else ():
            if count < len(scores):
                bound = np.partition(scores, len(scores) - count)[len(scores) - count]
                near = np.flatnonzero(scores >= bound)
            else:
                near = np.arange(len(scores))
            yield near[np.argsort(-scores[near], kind="stable")][:count]

    def _counted(
        self, texts: Iterable[Sequence[str]], grow: bool
    ) -> tuple[Numbers, NDArray[np.int64], NDArray[np.int64]]:
        """How often which words stand in each text, as the parts of a sparse matrix."""
        counts: list[int] = []
        columns: list[int] = []
        starts = [0]
        for words in texts:
            for word, count in Counter(words).items():
                number = self._number.setdefault(word, len(self._number)) if grow else self._number.get(word)
                if number is not None:
                    counts.append(count)
                    columns.append(number)
            starts.append(len(counts))
        return np.array(counts, dtype=float), np.array(columns, dtype=np.int64), np.array(starts, dtype=np.int64)
