"""Rankings without a model: by random order, and by the words that two texts share.

All rank the same candidates, and the whole corpus. Random order is exact: it is the expected value over all orders.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.bm25 import BM25, TfIdf, WordIndex
from pyro_rationale.data.document import Document
from pyro_rationale.data.pairs import Indices, PairCorpus, Query, queries_with_lists
from pyro_rationale.evaluation.metrics.ranking import corpus_statistics, ranking_statistics, relevance
from pyro_rationale.evaluation.ranking import MOST_SEARCHED, Ranking
from pyro_rationale.evaluation.statistic import Metrics, Statistics, values_of

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class SearchTask:
    """Queries with the texts that are ranked for them.

    Attributes:
        corpus: the texts.
        queries: of one split.
        lists: candidates of each query, by index.
        texts: indices of all texts that may be ranked, ascending.
        whole: whether the whole corpus is searched.
    """

    corpus: PairCorpus
    queries: tuple[Query, ...]
    lists: list[Indices]
    texts: Indices
    whole: bool

    @classmethod
    def of(cls, corpus: PairCorpus, split: str) -> SearchTask:
        """The queries of a split, or of `all`, with their candidates, and the whole corpus if it is not too large.

        Raises:
            DataError: the split has no queries.
        """
        return cls.with_lists(corpus, *queries_with_lists(corpus, split))

    @classmethod
    def with_lists(
        cls, corpus: PairCorpus, queries: tuple[Query, ...], lists: list[Indices], most_searched: int = MOST_SEARCHED
    ) -> SearchTask:
        """Some queries with these candidates, and the whole corpus if it has at most `most_searched` texts."""
        whole = len(corpus.searchable) <= most_searched
        parts = [*lists, corpus.searchable] if whole else lists
        return cls(corpus, queries, lists, np.unique(np.concatenate(parts)), whole)

    def measured(self, rows: Iterable[Scores]) -> Statistics:
        """Figures on the lists, and on the whole corpus, of scores of all `texts` for each query in turn."""
        places = np.searchsorted(self.texts, self.corpus.searchable) if self.whole else None
        on_lists: list[Scores] = []

        def searched() -> Iterable[Scores]:
            for row, own in zip(rows, self.lists, strict=True):
                on_lists.append(row[np.searchsorted(self.texts, own)])
                yield row if places is None else row[places]

        if places is None:
            more: Statistics = {}
            for _ in searched():
                pass
        else:
            more = corpus_statistics(self.queries, self.corpus.searchable, searched())
        return ranking_statistics(on_lists, relevance(self.queries, self.lists)) | more

    def document(self, index: int) -> Document:
        """A text by its index."""
        return self.corpus.documents[int(index)]


def by_words(task: SearchTask) -> dict[str, Statistics]:
    """Random order, BM25 on all words and on titles, and tf-idf."""
    found = {"random order": random_order(task), "BM25": by_index(task, BM25)}
    if any(task.document(i).title for i in task.texts[:100]):
        found["BM25, titles"] = by_index(task, BM25, title=True)
    return found | {"tf-idf": by_index(task, TfIdf)}


def baselines_of(ranking: Ranking, most_searched: int = MOST_SEARCHED) -> dict[str, Metrics]:
    """Figures of random order and of BM25 on all words, by their names in `metrics.json`.

    Args:
        ranking: whose queries and candidates are ranked anew.
        most_searched: searchable texts up to which queries are ranked among all of them as well.
    """
    task = SearchTask.with_lists(ranking.corpus, ranking.queries, ranking.lists, most_searched)
    return {"random": values_of(random_order(task)), "bm25": values_of(by_index(task, BM25))}


def random_order(task: SearchTask) -> Statistics:
    """Expected figures of all orders of the texts."""
    count = len(task.texts)
    return task.measured(np.zeros(count) for _ in task.queries)


def by_index(task: SearchTask, kind: type[WordIndex], title: bool = False) -> Statistics:
    """Figures of an index of all words of the texts, or of their titles."""
    index = kind(_words(task.document(i), title) for i in task.texts)
    return task.measured(index.rows(_words(task.document(query.document), title) for query in task.queries))


def _words(document: Document, title: bool) -> Sequence[str]:
    """The words of a text, or of its title, without punctuation."""
    words = document.tokens[: document.title] if title and document.title else document.tokens
    return [word for word in words if any(map(str.isalnum, word))]
