"""Ranking metrics against scikit-learn, and ties against all orders of the tied items."""

from __future__ import annotations

from itertools import chain, combinations, product
from math import log2

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from pyro_rationale.data.pairs import Query
from pyro_rationale.data.ranks import average_precision, ties_of
from pyro_rationale.evaluation.metrics.ranking import (
    LABELS,
    corpus_statistics,
    ranking_metrics,
    ranking_row,
    ranking_statistics,
    relevance,
)
from pyro_rationale.evaluation.significance import intervals, paired_test

Pair = tuple[NDArray[np.float64], NDArray[np.bool_]]


def one_order(flags: list[bool]) -> list[float]:
    """The figures of one order without ties, by their definitions."""
    total = sum(flags)
    ranks = [rank for rank, flag in enumerate(flags, start=1) if flag]
    precision = [sum(flags[:rank]) / rank for rank in ranks]
    ideal = sum(1 / log2(1 + rank) for rank in range(1, min(total, 10) + 1))
    return [
        sum(precision) / total,
        1 / ranks[0],
        float(flags[0]),
        sum(flags[:5]) / 5,
        sum(1 / log2(1 + rank) for rank in ranks if rank <= 10) / ideal,
        sum(flags[:10]) / total,
    ]


def every_order(scores: NDArray[np.float64], relevant: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mean of the figures over all orders that the scores allow; those of equal flags count once."""
    groups = [relevant[scores == score] for score in sorted(set(scores.tolist()), reverse=True)]
    ways = [
        [[i in places for i in range(len(group))] for places in combinations(range(len(group)), int(group.sum()))]
        for group in groups
    ]
    return np.mean([one_order([*chain(*parts)]) for parts in product(*ways)], axis=0)


def drawn(count: int, size: int, levels: int | None = None, seed: int = 0) -> list[Pair]:
    rng = np.random.default_rng(seed)
    pairs: list[Pair] = []
    while len(pairs) < count:
        scores = rng.normal(size=size) if levels is None else rng.integers(0, levels, size).astype(float)
        relevant = rng.uniform(size=size) < 0.3
        if relevant.any():
            pairs.append((scores, relevant))
    return pairs


@pytest.mark.parametrize(("levels", "size"), [(1, 6), (2, 7), (3, 13)])
def test_ties_are_the_mean_over_all_their_orders(levels: int, size: int) -> None:
    for scores, relevant in drawn(8, size, levels, seed=levels):
        np.testing.assert_allclose(ranking_row(scores, relevant), every_order(scores, relevant), atol=1e-12)


def test_without_ties_they_are_those_of_scikit_learn() -> None:
    pairs = drawn(30, 25)
    scores, relevant = map(np.array, zip(*pairs, strict=True))
    metrics = ranking_metrics(scores, relevant)
    assert metrics["map"] == pytest.approx(label_ranking_average_precision_score(relevant, scores))
    assert metrics["ndcg_at_10"] == pytest.approx(ndcg_score(relevant, scores, k=10))
    assert (metrics["queries"], metrics["left_out"]) == (30, 0)


# Our names, and those of other packages.
PYTREC_EVAL = dict(zip(LABELS, ("map", "recip_rank", "P_1", "P_5", "ndcg_cut_10", "recall_10"), strict=True))
RANX = dict(zip(LABELS, ("map", "mrr", "precision@1", "precision@5", "ndcg@10", "recall@10"), strict=True))


def as_records(pairs: list[Pair]) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Which texts are similar to which query, and the scores of its list, by name."""
    known = {f"q{i}": {f"d{j}": 1 for j in np.flatnonzero(flags)} for i, (_, flags) in enumerate(pairs)}
    lists = {f"q{i}": {f"d{j}": float(score) for j, score in enumerate(row)} for i, (row, _) in enumerate(pairs)}
    return known, lists


@pytest.mark.parametrize("size", [3, 25])
def test_without_ties_they_are_those_of_pytrec_eval(size: int) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    pairs = drawn(30, size)
    known, lists = as_records(pairs)
    asked = {"map", "recip_rank", "P.1,5", "ndcg_cut.10", "recall.10"}
    found = pytrec_eval.RelevanceEvaluator(known, asked).evaluate(lists)
    for i, pair in enumerate(pairs):
        assert ranking_row(*pair) == pytest.approx([found[f"q{i}"][name] for name in PYTREC_EVAL.values()])


@pytest.mark.filterwarnings("ignore::Warning")  # of the compiler behind it
def test_without_ties_they_are_those_of_ranx() -> None:
    ranx = pytest.importorskip("ranx")
    pairs = drawn(30, 25)
    known, lists = as_records(pairs)
    found = ranx.evaluate(ranx.Qrels(known), ranx.Run(lists), [*RANX.values()])
    scores, relevant = zip(*pairs, strict=True)
    metrics = ranking_metrics(scores, relevant)
    assert {name: metrics[name] for name in RANX} == pytest.approx({name: found[RANX[name]] for name in RANX})


def test_tied_gains_are_those_of_scikit_learn() -> None:
    scores, relevant = map(np.array, zip(*drawn(20, 8, levels=3), strict=True))
    assert ranking_metrics(scores, relevant)["ndcg_at_10"] == pytest.approx(ndcg_score(relevant, scores, k=10))


def test_queries_without_a_similar_text_are_left_out_and_counted() -> None:
    scores, relevant = [[3.0, 2.0, 1.0], [1.0, 0.0]], [[False, True, True], [False, False]]
    metrics = ranking_metrics(scores, relevant, "some_")
    assert (metrics["some_queries"], metrics["some_left_out"]) == (1, 1)
    assert metrics["some_map"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert metrics["some_p_at_5"] == pytest.approx(2 / 5)
    statistics = ranking_statistics(scores, relevant)
    assert {len(statistic) for statistic in statistics.values()} == {2}
    assert list(statistics) == list(LABELS)
    assert ranking_metrics([], [])["map"] == 0.0
    assert np.isnan(ranking_row([], [])).all()


def test_the_whole_corpus_is_searched_but_for_the_query() -> None:
    queries = [Query(0, (2,)), Query(1, (0, 5))]
    searchable = np.array([0, 1, 2, 5])
    rows = [[9.0, 3.0, 2.0, 1.0], [1.0, 9.0, 2.0, 3.0]]
    found = corpus_statistics(queries, searchable, rows)
    assert found["corpus_map"].value == pytest.approx((1 / 2 + (1 + 2 / 3) / 2) / 2)
    assert found["corpus_mrr"].value == pytest.approx((1 / 2 + 1) / 2)


def test_relevance_is_read_off_the_positives() -> None:
    [flags] = relevance([Query(3, (7, 1))], [np.array([0, 7, 1, 2])])
    assert flags.tolist() == [False, True, True, False]


def test_intervals_and_tests_are_over_queries() -> None:
    pairs = drawn(40, 12)
    relevant = [flags for _, flags in pairs]
    good = ranking_statistics([scores + flags for scores, flags in pairs], relevant)
    poor = ranking_statistics([scores for scores, _ in pairs], relevant)
    low, high = intervals({"map": good["map"]}, draws=200)["map"]
    assert low < good["map"].value < high
    assert paired_test(good["map"], poor["map"], draws=500).p < 0.01
    assert paired_test(good["map"], good["map"], draws=500).p == 1.0


@pytest.mark.parametrize(
    ("scores", "relevant", "message"),
    [([1.0, 2.0], [True], "a flag for every score"), ([float("nan")], [True], "is not a number")],
)
def test_scores_that_cannot_be_ranked(scores: list[float], relevant: list[bool], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ties_of(scores, relevant)


def test_average_precision_of_random_order_is_that_of_all_orders() -> None:
    assert average_precision([0.0] * 4, [True, False, False, False]) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert np.isnan(average_precision([1.0], [False]))
