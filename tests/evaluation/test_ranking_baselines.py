"""Random order and BM25 on the lists of a run."""

from __future__ import annotations

import numpy as np
import pytest

from pyro_rationale.data.bm25 import BM25
from pyro_rationale.evaluation.metrics.ranking import LABELS, ranking_metrics
from pyro_rationale.evaluation.ranking import rank
from pyro_rationale.evaluation.ranking_baselines import SearchTask, baselines_of, by_words
from pyro_rationale.evaluation.statistic import values_of
from tests.support.planted_pairs import planted_pairs
from tests.support.untrained_pairs import untrained_pairs

CORPUS = planted_pairs(copies=3, words=8)


def test_baselines_rank_the_lists_of_the_run() -> None:
    ranking = rank(untrained_pairs(), CORPUS)
    found = baselines_of(ranking)
    known = by_words(SearchTask.of(CORPUS, "test"))
    assert found == {"random": values_of(known["random order"]), "bm25": values_of(known["BM25"])}
    index = BM25(document.tokens for document in CORPUS.documents)
    rows = index.scores(CORPUS.documents[query.document].tokens for query in ranking.queries)
    scores = [row[own] for row, own in zip(rows, ranking.lists, strict=True)]
    expected = ranking_metrics(scores, ranking.relevant)
    assert {name: found["bm25"][name] for name in LABELS} == pytest.approx({name: expected[name] for name in LABELS})
    shares = [np.mean(flags) for flags in ranking.relevant]
    assert found["random"]["p_at_1"] == pytest.approx(np.mean(shares))


def test_every_split_is_ranked_and_a_large_corpus_is_not_searched() -> None:
    ranking = rank(untrained_pairs(), CORPUS, "all")
    found = baselines_of(ranking, most_searched=10)
    assert set(found["bm25"]) == set(LABELS)
