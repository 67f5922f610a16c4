"""BM25 (Robertson and Zaragoza 2009) and tf-idf: texts ranked by the words that they share with a query.

score(q, d) = sum over words w of q of idf(w) tf (k1 + 1) / (tf + k1 (1 - b + b |d| / mean length))
idf(w) = log(1 + (N - df + .5) / (df + .5))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

T = TypeVar("T")
Numbers = NDArray[np.float64]
_CELLS = 1 << 24  # scores held at once


class WordIndex:
    """Documents by the words that they hold, each word with a weight; the weights are those of a subclass.

    Args:
        documents: the words of each.
    """

    def __init__(self, documents: Iterable[Sequence[str]]) -> None:
        self._number: dict[str, int] = {}
        counts, columns, starts = self._counted(documents, grow=True)
        shape = (len(starts) - 1, max(len(self._number), 1))
        frequency = np.bincount(columns, minlength=shape[1])
        self._idf = self.inverse_frequency(shape[0], frequency)
        weights = self.weigh(counts, columns, starts)
        self._weights = csr_array((weights, columns, starts), shape=shape).T.tocsr()

    def inverse_frequency(self, documents: int, frequency: NDArray[np.int64]) -> Numbers:
        """The idf of each word, `(V,)`."""
        raise NotImplementedError

    def weigh(self, counts: Numbers, columns: NDArray[np.int64], starts: NDArray[np.int64]) -> Numbers:
        """The weight of each word in each document, `(K,)`, in the order of `counts`.

        Args:
            counts: how often the words stand in the documents, document after document, `(K,)`.
            columns: which word each is, below V, `(K,)`.
            starts: where each document begins, and the end, `(N + 1,)`.
        """
        raise NotImplementedError

    def weigh_query(self, counts: Numbers, columns: NDArray[np.int64], starts: NDArray[np.int64]) -> Numbers:
        """The weight of each word in each query, `(K,)`, as :meth:`weigh` in documents: how often it stands there."""
        return counts

    def __len__(self) -> int:
        return int(self._weights.shape[1])

    def idf(self, word: str) -> float:
        """The idf of a word; 0 for one that no document holds."""
        number = self._number.get(word)
        return 0.0 if number is None else float(self._idf[number])

    def scores(self, queries: Iterable[Sequence[str]]) -> Numbers:
        """Scores `(Q, N)` of all documents."""
        counts, columns, starts = self._counted(queries, grow=False)
        weights = self.weigh_query(counts, columns, starts)
        table = csr_array((weights, columns, starts), shape=(len(starts) - 1, self._weights.shape[0]))
        return np.asarray((table @ self._weights).todense(), dtype=float)

    def rows(self, queries: Iterable[Sequence[str]]) -> Iterator[Numbers]:
        """Scores of all documents `(N,)` for each query; few of them are held at once."""
        size = max(1, _CELLS // max(len(self), 1))
        for block in batched(queries, size):
            yield from self.scores(block)

    def top(self, queries: Iterable[Sequence[str]], count: int) -> Iterator[NDArray[np.int64]]:
        """Indices of the best `count` documents for each query, best first; of equals, the first."""
        for scores in self.rows(queries):
            near = np.arange(len(scores))
            if count < len(scores):
                bound = np.partition(scores, len(scores) - count)[len(scores) - count]
                near = np.flatnonzero(scores >= bound)
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


class BM25(WordIndex):
    """An index of documents with the weights of BM25; a word counts as often as it stands in the query.

    Args:
        documents: the words of each.
        k1: how soon more of a word counts no more.
        b: how much long documents are counted down.
    """

    def __init__(self, documents: Iterable[Sequence[str]], k1: float = 1.5, b: float = 0.75) -> None:
        self.k1, self.b = k1, b
        super().__init__(documents)

    def inverse_frequency(self, documents: int, frequency: NDArray[np.int64]) -> Numbers:
        """log(1 + (N - df + .5) / (df + .5))."""
        return np.asarray(np.log1p((documents - frequency + 0.5) / (frequency + 0.5)))

    def weigh(self, counts: Numbers, columns: NDArray[np.int64], starts: NDArray[np.int64]) -> Numbers:
        """How often the word stands in the document, with diminishing returns, times its idf."""
        lengths = _sums(counts, starts)
        mean = lengths.mean() if lengths.any() else 1.0
        relative = np.repeat(lengths / mean, np.diff(starts))
        return counts * (self.k1 + 1) / (counts + self.k1 * (1 - self.b + self.b * relative)) * self._idf[columns]


class TfIdf(WordIndex):
    """An index whose scores are cosines of tf-idf vectors, idf(w) = 1 + log((1 + N) / (1 + df)), as scikit-learn's."""

    def inverse_frequency(self, documents: int, frequency: NDArray[np.int64]) -> Numbers:
        """1 + log((1 + N) / (1 + df))."""
        return np.asarray(1 + np.log((1 + documents) / (1 + frequency)))

    def weigh(self, counts: Numbers, columns: NDArray[np.int64], starts: NDArray[np.int64]) -> Numbers:
        """Count times idf, over the length of the vector of the document."""
        weights = counts * self._idf[columns]
        lengths = np.sqrt(_sums(weights**2, starts))
        return weights / np.repeat(np.where(lengths > 0, lengths, 1.0), np.diff(starts))

    weigh_query = weigh


def _sums(values: Numbers, starts: NDArray[np.int64]) -> Numbers:
    """The sum of each row of a sparse matrix; 0 of an empty one."""
    ends = np.append(0.0, np.cumsum(values))
    return np.asarray(ends[starts[1:]] - ends[starts[:-1]])


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of so many items, the last one of what is left."""
    rest = iter(items)
    while block := list(islice(rest, size)):
        yield block
