"""Batches of queries and lists of candidates: who is whose candidate, and that both are the same every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pyro_rationale.data.document import make_document
from pyro_rationale.data.pair_batches import PairBatches, RankingLists
from pyro_rationale.data.pairs import SPEC, PairCorpus, Query, pair_corpus
from pyro_rationale.data.ranking_batch import RankingBatch
from pyro_rationale.data.vocabulary import Vocabulary
from tests.support.planted_pairs import planted_pairs

DOCUMENTS = [make_document(f"text {i}", [f"word{i}", f"word{i % 3}", "all"]) for i in range(9)]
QUERIES = (Query(0, (1, 2), (1, 5, 6, 7)), Query(1, (0,), (0, 8)), Query(3, (4,)))


def small_corpus() -> PairCorpus:
    return pair_corpus("small", DOCUMENTS, {"train": QUERIES, "dev": (), "test": ()})


def made(
    negatives: int = 2, in_batch: bool = True, batch_size: int = 3, corpus: PairCorpus | None = None
) -> PairBatches:
    corpus = small_corpus() if corpus is None else corpus
    vocabulary = Vocabulary.build(corpus.documents, 1, 1000)
    return PairBatches(corpus, vocabulary, SPEC, batch_size, 0, None, negatives, in_batch)


def candidates(batch: RankingBatch) -> dict[int, tuple[int, set[int]]]:
    """The similar text and all candidates of each query, by indices of the corpus."""
    assert batch.index is not None
    assert batch.positive is not None
    index = batch.index.tolist()
    rows = zip(batch.queries.tolist(), batch.positive.tolist(), batch.allowed, strict=True)
    return {index[q]: (index[p], {index[j] for j in row.nonzero()[:, 0].tolist()}) for q, p, row in rows}


def test_candidates_are_all_but_the_query_and_its_other_similar_texts() -> None:
    for number in range(6):
        (batch,) = made().epoch(number)
        index = batch.index.tolist() if batch.index is not None else []
        assert len(set(index)) == len(index)
        found = candidates(batch)
        positive, own = found[0]
        assert positive in (1, 2)
        assert positive in own
        assert own.isdisjoint({0, 1, 2} - {positive})
        assert own >= set(index) - {0, 1, 2}
        assert len(own & {5, 6, 7}) >= 2
        assert found[1][0] == 0
        assert 1 not in found[1][1]
        assert found[3] == (4, set(index) - {3})


def test_every_similar_text_is_drawn_in_some_epoch() -> None:
    drawn = {candidates(batch)[0][0] for number in range(12) for batch in made().epoch(number)}
    assert drawn == {1, 2}


def test_alone_a_query_has_its_own_candidates_and_random_ones_where_too_few_are_given() -> None:
    for number in range(20):
        (batch,) = made(negatives=3, in_batch=False).epoch(number)
        found = candidates(batch)
        assert [len(found[query][1]) for query in (0, 1, 3)] == [4, 4, 4]
        assert found[0][1] - {1, 2} == {5, 6, 7}
        assert 8 in found[1][1]
        assert 3 not in found[3][1]


def test_of_a_small_corpus_all_others_are_candidates() -> None:
    (batch,) = made(negatives=50, in_batch=False).epoch(0)
    found = candidates(batch)
    assert found[3] == (4, set(range(9)) - {3})
    assert found[1] == (0, set(range(9)) - {1})


def test_epochs_hold_every_query_once_and_repeat_by_number() -> None:
    corpus = planted_pairs()
    batches = made(batch_size=7, corpus=corpus)
    rows = [sorted(q for batch in batches.epoch(number) for q in candidates(batch)) for number in (0, 1)]
    assert rows[0] == rows[1] == sorted(query.document for query in corpus.queries["train"])
    first, again, other = (next(batches.epoch(number)) for number in (0, 0, 1))
    assert torch.equal(first.tokens, again.tokens)
    assert torch.equal(first.allowed, again.allowed)
    assert first.tokens.shape != other.tokens.shape or not torch.equal(first.tokens, other.tokens)


def test_copies_of_a_batch_are_no_candidates_of_each_other() -> None:
    (batch,) = made().epoch(0)
    many = batch.repeated(2)
    size = len(batch)
    assert torch.equal(many.allowed[: len(batch.queries), size:], torch.zeros_like(batch.allowed))
    assert torch.equal(many.tokens[many.queries[len(batch.queries) :]], batch.tokens[batch.queries])
    assert many.positive is not None
    assert batch.positive is not None
    assert torch.equal(many.positive[len(batch.queries) :], batch.positive + size)


def test_lists_hold_similar_texts_and_others() -> None:
    lists = RankingLists.of(planted_pairs(), "test")
    corpus = planted_pairs()
    assert len(lists.queries) == len(corpus.queries["test"])
    for query, row, similar, place in zip(
        corpus.queries["test"], lists.candidates, lists.similar, lists.queries, strict=True
    ):
        assert lists.documents[place] == corpus.documents[query.document]
        assert {lists.documents[i].id for i in row[similar]} == {corpus.documents[i].id for i in query.positives}
    assert len(RankingLists.of(corpus, "test", most=3).queries) == 3


def test_log_probability_of_a_list_is_the_mean_over_its_similar_texts() -> None:
    lists = RankingLists(DOCUMENTS, np.array([0]), [np.array([1, 2, 5, 6])], [np.array([True, True, False, False])])
    vectors = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    cosines = (vectors @ vectors[0]) / 0.5
    expected = [cosines[i] - np.log(np.exp(cosines[[i, 5, 6]]).sum()) for i in (1, 2)]
    assert lists.log_probs(vectors, 0.5)[0] == pytest.approx(np.mean(expected), rel=1e-5)
    whole = replace(lists).log_probs(vectors, 0.5, vectors[::-1])
    assert whole[0] != pytest.approx(np.mean(expected), rel=1e-3)
