"""How well a model finds similar texts, from the words it keeps, from all words, and from those it drops."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.document import Document
from pyro_rationale.data.pair_batches import RankingLists
from pyro_rationale.data.pairs import PairCorpus, Query, queries_with_lists, splits_of
from pyro_rationale.data.ranks import log_prob_of
from pyro_rationale.evaluation.evaluate import Evaluation
from pyro_rationale.evaluation.metrics.ranking import corpus_statistics, ranking_statistics, relevance
from pyro_rationale.evaluation.metrics.rationale import rationale_metrics
from pyro_rationale.evaluation.metrics.selection import selection_metrics
from pyro_rationale.evaluation.statistic import Metrics, Statistics, average, combined, ratio
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.embedding import Embedded, Flags, Floats, check_ranking, embed
from pyro_rationale.prediction.marked_text import MarkedText
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.prediction.retrieval import softmax
from pyro_rationale.training.pairs import MOST_QUERIES, DevLists, elbo_of_lists

MOST_SEARCHED = 20_000  # searchable texts up to which queries are also ranked among all of them
_BLOCK = 64  # queries compared with a whole corpus at once


@dataclass(frozen=True)
class RankedText:
    """A candidate of a query.

    Attributes:
        rank: 1 is the best.
        id: of the text.
        score: cosine with the query.
        probability: softmax over the candidates of the list.
        relevant: whether it is known to be similar.
        marked: the text with its kept words.
    """

    rank: int
    id: str
    score: float
    probability: float
    relevant: bool
    marked: MarkedText


@dataclass(frozen=True)
class RankedQuery:
    """A query with its candidates, best first.

    Attributes:
        id: of the text.
        precision: average precision of the ranking.
        marked: the text with its kept words.
        candidates: of the list.
    """

    id: str
    precision: float
    marked: MarkedText
    candidates: tuple[RankedText, ...]


@dataclass(frozen=True)
class Ranking:
    """Vectors of the queries of a split and of their candidates, read through the kept words.

    Attributes:
        corpus: what they are part of.
        split: train, dev, test, or all.
        queries: of the split.
        lists: candidates of each, as indices of the corpus's documents.
        temperature: of the softmax.
        asked: indices of the documents that are queries, each once, and `asked_as` their vectors.
        found: indices of the documents that are candidates, each once, and `found_as` their vectors.
    """

    corpus: PairCorpus
    split: str
    queries: tuple[Query, ...]
    lists: list[NDArray[np.int64]]
    temperature: float
    asked: NDArray[np.int64]
    asked_as: Embedded
    found: NDArray[np.int64]
    found_as: Embedded

    @cached_property
    def relevant(self) -> list[Flags]:
        """Which candidates are similar, list by list."""
        return relevance(self.queries, self.lists)

    @cached_property
    def scores(self) -> list[Floats]:
        """Cosines of each query with its candidates."""
        return self.scores_of(self.asked_as.vectors, self.found_as.vectors)

    def scores_of(self, asked: Floats, found: Floats) -> list[Floats]:
        """Cosines from other vectors of these documents, one row each, as in `asked` and `found`."""
        rows = np.searchsorted(self.asked, [query.document for query in self.queries])
        return [
            found[np.searchsorted(self.found, chosen)] @ asked[row]
            for row, chosen in zip(rows, self.lists, strict=True)
        ]

    @property
    def list_size(self) -> float:
        """Candidates of a query, on average; an integer if all have as many."""
        sizes = [len(own) for own in self.lists]
        return sizes[0] if len({*sizes}) == 1 else sum(sizes) / len(sizes)

    def documents(self, index: NDArray[np.int64]) -> list[Document]:
        """Some documents of the corpus."""
        return [self.corpus.documents[int(i)] for i in index]

    def ranked(self, most: int | None = None) -> Iterator[RankedQuery]:
        """The queries with their candidates as records for people, the best ranked query first.

        Args:
            most: so many of the best and so many of the worst; `None` for all.
        """
        precisions = self.statistics()["map"].table[:, 0]
        order = np.argsort(-precisions, kind="stable")
        if most is not None and 2 * most < len(order):
            order = np.concatenate([order[:most], order[-most:]])
        for i in order.tolist():
            query, chosen, scores = self.queries[i], self.lists[i], self.scores[i]
            shares = softmax(scores.astype(np.float64) / self.temperature)
            best = np.argsort(-scores, kind="stable")
            candidates = tuple(
                RankedText(
                    rank,
                    self.corpus.documents[int(chosen[j])].id,
                    float(scores[j]),
                    float(shares[j]),
                    bool(self.relevant[i][j]),
                    self._marked(self.found, self.found_as, int(chosen[j])),
                )
                for rank, j in enumerate(best.tolist(), 1)
            )
            marked = self._marked(self.asked, self.asked_as, query.document)
            yield RankedQuery(self.corpus.documents[query.document].id, float(precisions[i]), marked, candidates)

    def _marked(self, index: NDArray[np.int64], embedded: Embedded, document: int) -> MarkedText:
        row = int(np.searchsorted(index, document))
        return MarkedText.of(self.corpus.documents[document], embedded.masks[row], embedded.keep_title)

    def statistics(self) -> Statistics:
        """Metrics of the rankings on the lists, and the log loss there."""
        rows = zip(self.scores, self.relevant, strict=True)
        losses = np.array([-log_prob_of(scores.astype(np.float64) / self.temperature, flags) for scores, flags in rows])
        known = ~np.isnan(losses)
        return ranking_statistics(self.scores, self.relevant) | {"list_log_loss": average(np.nan_to_num(losses), known)}


def rank(
    fitted: FittedModel,
    corpus: PairCorpus,
    split: str = "test",
    decode: DecodeOptions | None = None,
    batch_size: int = 64,
) -> Ranking:
    """Rank the candidates of all queries of a split.

    Args:
        fitted: a ranking model.
        corpus: the queries.
        split: train, dev, test, or all.
        decode: how masks are made of q(z | x).
        batch_size: texts of like lengths to read at once.

    Raises:
        ConfigError: the model is one for another task.
        DataError: the split has no query.
    """
    check_ranking(fitted)
    queries, lists = queries_with_lists(corpus, split)
    asked, found = np.unique([query.document for query in queries]), np.unique(np.concatenate(lists))
    words = candidate_words(fitted)
    if words == "kept":  # the same on both sides: each text is read once
        both = np.union1d(asked, found)
        embedded = embed(fitted, [corpus.documents[int(i)] for i in both], "kept", decode, batch_size)
        sides = [_part(embedded, np.searchsorted(both, some)) for some in (asked, found)]
    else:
        sides = [
            embed(fitted, [corpus.documents[int(i)] for i in some], how, decode, batch_size)
            for some, how in ((asked, "kept"), (found, words))
        ]
    temperature = float(fitted.model.temperature)
    return Ranking(corpus, split, queries, lists, temperature, asked, sides[0], found, sides[1])


def evaluate_ranking(
    fitted: FittedModel,
    corpus: PairCorpus,
    split: str = "test",
    decode: DecodeOptions | None = None,
    batch_size: int = 64,
    most_searched: int = MOST_SEARCHED,
) -> Evaluation:
    """Evaluate rankings of the queries of a split; statistics are functions of sums over queries.

    Args:
        fitted: a ranking model.
        corpus: the queries.
        split: train, dev, test, or all.
        decode: how masks are made of q(z | x).
        batch_size: texts of like lengths to read at once.
        most_searched: searchable texts up to which queries are ranked among all of them as well.

    Returns:
        Metrics on lists of `list_size` candidates, `corpus_*` among all searchable texts, `full_map` and `rest_map` of
        the same encoder on all words and on those that are dropped, `map_share` of the first that the kept words reach,
        and words kept of all texts and on each side (`aspects`).
    """
    return evaluate_ranked(fitted, rank(fitted, corpus, split, decode, batch_size), decode, batch_size, most_searched)


def evaluate_ranked(
    fitted: FittedModel,
    ranking: Ranking,
    decode: DecodeOptions | None = None,
    batch_size: int = 64,
    most_searched: int = MOST_SEARCHED,
) -> Evaluation:
    """Evaluate rankings that were made already; see :func:`evaluate_ranking`.

    Args:
        fitted: the model that made them.
        ranking: of the queries of a split.
        decode: how masks were made of q(z | x).
        batch_size: texts of like lengths to read at once.
        most_searched: searchable texts up to which queries are ranked among all of them as well.
    """
    corpus, split, statistics = ranking.corpus, ranking.split, ranking.statistics()
    for name, words in (("full_map", "all"), ("rest_map", "others")):
        asked, found = (
            embed(fitted, ranking.documents(index), words, decode, batch_size).vectors
            for index in (ranking.asked, ranking.found)
        )
        statistics[name] = ranking_statistics(ranking.scores_of(asked, found), ranking.relevant)["map"]
    statistics["map_share"] = combined(ratio, statistics["map"], statistics["full_map"])
    if len(corpus.searchable) <= most_searched:
        statistics |= _whole(fitted, ranking, decode, batch_size)
    others: Metrics = {"queries": len(ranking.queries), "list_size": ranking.list_size}
    if (elbo := list_elbo(fitted, ranking)) is not None:
        others["list_elbo"] = elbo
    if left_out := sum(corpus.left_out.get(name, 0) for name in splits_of(split)):
        others["left_out"] = left_out
    if split in corpus.oracle:
        others["oracle_map"] = corpus.oracle[split]
    everything = np.union1d(ranking.asked, ranking.found)
    masks = dict(zip(ranking.found.tolist(), ranking.found_as.masks, strict=True))
    masks |= dict(zip(ranking.asked.tolist(), ranking.asked_as.masks, strict=True))
    others |= words_kept(ranking.documents(everything), [masks[i] for i in everything.tolist()])
    others["aspects"] = {
        "query": words_kept(ranking.documents(ranking.asked), ranking.asked_as.masks),
        "candidates": words_kept(ranking.documents(ranking.found), ranking.found_as.masks),
    }
    curves = {"average_precision": statistics["map"].table[:, 0].tolist()}
    return Evaluation(len(everything), statistics, others, curves)


def list_elbo(fitted: FittedModel, ranking: Ranking) -> float | None:
    """ELBO in nats per query, as after each epoch: of `MOST_QUERIES` queries at most; `None` if no list counts.

    It bounds the log probability of the similar texts of all lists, with the KL of each text once.
    """
    lists = RankingLists.with_candidates(ranking.corpus, ranking.queries, ranking.lists, MOST_QUERIES)
    if not len(lists.queries):
        return None
    return elbo_of_lists(fitted, DevLists.read_by(fitted, lists))


def words_kept(documents: Sequence[Document], masks: Sequence[Flags]) -> Metrics:
    """How many words masks keep, in how long runs, and how they agree with gold rationales where there are any."""
    flags = [mask.tolist() for mask in masks]
    return selection_metrics(flags) | rationale_metrics(documents, flags)


def candidate_words(fitted: FittedModel) -> str:
    """Which words of candidates the model reads: `kept`, or `all`."""
    return "all" if getattr(fitted.model, "match", "masked") == "full" else "kept"


def _part(embedded: Embedded, rows: NDArray[np.int64]) -> Embedded:
    return replace(embedded, vectors=embedded.vectors[rows], masks=[embedded.masks[int(row)] for row in rows])


def _whole(fitted: FittedModel, ranking: Ranking, decode: DecodeOptions | None, batch_size: int) -> Statistics:
    """Metrics of rankings of all searchable texts but the query itself."""
    searchable = np.sort(ranking.corpus.searchable)
    found = embed(fitted, ranking.documents(searchable), candidate_words(fitted), decode, batch_size).vectors
    rows = np.searchsorted(ranking.asked, [query.document for query in ranking.queries])

    def scores() -> Iterator[Floats]:
        for start in range(0, len(rows), _BLOCK):
            yield from ranking.asked_as.vectors[rows[start : start + _BLOCK]] @ found.T

    return corpus_statistics(ranking.queries, searchable, scores())


def worse_than_chance(ranking: Ranking) -> str:
    """In what rankings are worse than a guess among the candidates, in words; empty if they are not.

    A guess takes each similar text for as likely as each of the texts of its list that are not similar.
    """
    loss = ranking.statistics()["list_log_loss"].value
    guess = average([math.log(1 + np.sum(~flags)) for flags in ranking.relevant if flags.any()]).value
    return f"log loss {loss:.4g} against {guess:.4g} of a guess" if loss > guess else ""
