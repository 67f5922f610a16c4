"""Quality of rankings: how early the similar texts stand in lists of candidates, or in the whole corpus.

Texts of equal scores count as every order of them does (see :mod:`pyro_rationale.data.ranks`). Queries without a
similar text in their list say nothing and are left out; `left_out` counts them. P@5 is over five places for shorter
lists too, as is usual.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyro_rationale.data.pairs import Query
from pyro_rationale.data.ranks import (
    average_precision_of,
    discounted_gain_within,
    discounts,
    found_within,
    reciprocal_rank_of,
    ties_of,
)
from pyro_rationale.evaluation.metrics._base import Metric, MetricFamily
from pyro_rationale.evaluation.statistic import Metrics, Numbers, Statistics, average, values_of

LABELS = {
    "map": "MAP",
    "mrr": "MRR",
    "p_at_1": "P@1",
    "p_at_5": "P@5",
    "ndcg_at_10": "nDCG@10",
    "recall_at_10": "R@10",
}
CORPUS = "corpus_"  # before the names of figures for the whole corpus


def ranking_row(scores: ArrayLike, relevant: ArrayLike) -> tuple[float, ...]:
    """The figures of :data:`LABELS`, in their order, for one query; NaN if nothing in its list is similar."""
    ties = ties_of(scores, relevant)
    total = int(ties.relevant.sum())
    if not total:
        return (float("nan"),) * len(LABELS)
    ideal = discounts(10)[min(total, 10)]
    return (
        average_precision_of(ties),
        reciprocal_rank_of(ties),
        found_within(ties, 1),
        found_within(ties, 5) / 5,
        discounted_gain_within(ties, 10) / float(ideal),
        found_within(ties, 10) / total,
    )


def ranking_statistics(scores: Iterable[ArrayLike], relevant: Iterable[ArrayLike], prefix: str = "") -> Statistics:
    """MAP, MRR, P@1, P@5, nDCG@10 and R@10, as means over the queries that have a similar text in their list.

    Args:
        scores: of the texts in each query's list; gone through once, so that they need not all be held.
        relevant: which of them are similar.
        prefix: put before each name.

    Raises:
        ValueError: they are not of the same queries, or lists differ in length.
    """
    rows = [ranking_row(*pair) for pair in zip(scores, relevant, strict=True)]
    return statistics_of(rows, prefix)


def statistics_of(rows: Sequence[Sequence[float]], prefix: str = "") -> Statistics:
    """The figures of :func:`ranking_row` for each query, as statistics over queries."""
    table = np.array(rows, dtype=float).reshape(-1, len(LABELS))
    known = ~np.isnan(table[:, 0])
    columns = np.where(known[:, None], table, 0.0).T
    return {prefix + name: average(column, known) for name, column in zip(LABELS, columns, strict=True)}


def ranking_metrics(scores: Iterable[ArrayLike], relevant: Iterable[ArrayLike], prefix: str = "") -> Metrics:
    """The figures of :func:`ranking_statistics` as numbers, with the numbers of `queries` that count and `left_out`."""
    rows = [ranking_row(*pair) for pair in zip(scores, relevant, strict=True)]
    counted = sum(row[0] == row[0] for row in rows)
    counts = {f"{prefix}queries": counted, f"{prefix}left_out": len(rows) - counted}
    return values_of(statistics_of(rows, prefix)) | counts


def relevance(queries: Sequence[Query], lists: Sequence[ArrayLike]) -> list[NDArray[np.bool_]]:
    """Which texts of each query's list, given by their indices, are similar to it."""
    return [np.isin(own, query.positives) for query, own in zip(queries, lists, strict=True)]


def over_corpus(
    queries: Sequence[Query], searchable: NDArray[np.int64], rows: Iterable[ArrayLike]
) -> Iterator[tuple[Numbers, NDArray[np.bool_]]]:
    """Scores and relevance of all texts that a search may find, but the query itself, for each query.

    Args:
        queries: `Q` of them.
        searchable: indices of the texts, `(S,)`.
        rows: their scores for each query, `(S,)` each.
    """
    for query, row in zip(queries, rows, strict=True):
        others = searchable != query.document
        yield np.asarray(row, dtype=float)[others], np.isin(searchable[others], query.positives)


def corpus_statistics(
    queries: Sequence[Query], searchable: NDArray[np.int64], rows: Iterable[ArrayLike]
) -> Statistics:
    """The figures of :func:`ranking_statistics` for a search of the whole corpus; see :func:`over_corpus`."""
    return statistics_of([ranking_row(*pair) for pair in over_corpus(queries, searchable, rows)], CORPUS)


# Others that people look for, MRR, P@1 and the MAP among all texts, stand in the table of baselines.
_METRICS = tuple(
    Metric(name, label, ".3f", "higher", tested=name == "map", main=name == "map") for name, label in LABELS.items()
)
_MORE = (
    Metric("list_log_loss", "log loss on lists of candidates", ".3f", "lower"),
    Metric("list_elbo", "ELBO on lists of candidates (nats per query)", ".4g", "higher"),
    Metric("full_map", "MAP from all words", ".3f", "higher", main=True),
    Metric("map_share", "MAP, as a share of that from all words", ".3f", "higher", main=True),
    Metric("rest_map", "MAP from the other words", ".3f", "lower", main=True),
    *(
        Metric(CORPUS + name, f"{label}, whole corpus", ".3f", "higher") for name, label in LABELS.items()
    ),
    Metric("oracle_map", "MAP of an oracle that knows the topics", ".3f", main=True),
    Metric("queries", "queries", "d", main=True),
    Metric("left_out", "queries left out", "d"),
    Metric("list_size", "candidates of a query"),
)
# They are measured by `pyro_rationale.evaluation.ranking`, from pairs of documents: nothing is computed of single ones.
REGISTERED = MetricFamily((*_METRICS, *_MORE), lambda inputs: {}, needs=())
