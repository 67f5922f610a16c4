"""Pairs: divided by connected component, lists of candidates that never change."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from pyro_rationale.data.compact import CompactDocuments
from pyro_rationale.data.document import Document, make_document
from pyro_rationale.data.pairs import (
    SPLITS,
    PairCorpus,
    Query,
    check_queries,
    check_spec,
    components,
    fixed_lists,
    pair_corpus,
    pairs_of_groups,
    partners,
    queries_of,
    split_queries,
    warn_of_shared,
)
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.tasks._spec import TargetSpec
from tests.support.planted_pairs import linked_pairs


def texts(count: int) -> list[Document]:
    return [make_document(f"d{i}", f"question {i} about the thing {i // 3}") for i in range(count)]


def grouped(count: int = 90) -> PairCorpus:
    return pairs_of_groups(texts(count), [i // 3 for i in range(count)], seed=3)


def test_components_are_named_by_their_first_document() -> None:
    assert components(7, [(5, 2), (2, 6), (4, 1)]).tolist() == [0, 1, 2, 3, 1, 2, 2]


def test_groups_become_queries_of_each_other() -> None:
    corpus = grouped()
    assert [len(corpus.queries[split]) for split in SPLITS] == [72, 9, 9]
    for split in SPLITS:
        for query in corpus.queries[split]:
            others = {3 * (query.document // 3) + k for k in range(3)} - {query.document}
            assert set(query.positives) == others


def test_no_component_is_on_two_sides_and_each_document_on_one() -> None:
    links = [(i, i + 1) for i in range(0, 99) if i % 5 != 4]
    corpus = linked_pairs(texts(120), links, seed=1)
    part = np.full(120, -1)
    for number, split in enumerate(SPLITS):
        assert (part[corpus.members[split]] == -1).all()
        part[corpus.members[split]] = number
        assert [d.id for d in getattr(corpus, split)] == [f"d{i}" for i in corpus.members[split]]
    assert (part >= 0).all()
    assert all(part[one] == part[other] for one, other in links)
    assert (part[100:] == 0).all()  # in no pair: training documents
    assert all(len(corpus.queries[split]) for split in SPLITS)


def test_copies_of_a_text_are_on_one_side() -> None:
    documents = [make_document(f"d{i}", f"question {i // 2 * 2 % 58} {'' if i < 58 else 'again'}") for i in range(58)]
    queries = queries_of((2 * i, 2 * i + 29 if i % 2 else 2 * i + 1) for i in range(14))
    split = split_queries(queries, documents, seed=0)
    side: dict[str, set[str]] = {documents[i].text: set() for i in range(58)}
    for name, own in split.items():
        for query in own:
            for i in (query.document, *query.positives):
                side[documents[i].text].add(name)
    assert max(map(len, side.values())) == 1


def test_queries_are_gathered_in_order_and_a_pair_counts_once() -> None:
    queries = queries_of([(3, 1), (0, 2), (3, 1), (3, 0)], {3: [0, 5]})
    assert queries == (Query(3, (1, 0), (0, 5)), Query(0, (2,)))
    assert queries[0].negatives == (5,)


def test_partners_are_known_in_both_directions() -> None:
    assert partners(queries_of([(0, 1), (2, 1)])) == {0: {1}, 1: {0, 2}, 2: {1}}


def test_lists_have_the_similar_texts_first_and_the_nearest_others() -> None:
    corpus = grouped()
    lists = fixed_lists(corpus, "test")
    for query, own in zip(corpus.queries["test"], lists, strict=True):
        assert len(own) == len(set(own.tolist())) == 20
        assert tuple(own[:2]) == query.positives
        assert query.document not in own
    assert all(map(np.array_equal, lists, fixed_lists(corpus, "test")))


def test_given_candidates_are_the_list() -> None:
    corpus = pair_corpus("x", texts(9), {"test": [Query(0, (1,), (4, 1, 7)), Query(2, (3,))]})
    lists = fixed_lists(corpus, "test", size=4, most_positives=2)
    assert lists[0].tolist() == [4, 1, 7]
    assert len(lists[1]) == 4
    assert lists[1][0] == 3


def test_many_similar_texts_leave_room_for_others() -> None:
    corpus = pairs_of_groups(texts(40), [0] * 15 + [None] * 25)
    [first, *_] = fixed_lists(corpus, "train", size=6, most_positives=3)
    assert (first < 15).tolist() == [True] * 3 + [False] * 3
    with pytest.raises(ConfigError, match="no room"):
        fixed_lists(corpus, "train", size=3, most_positives=3)


def test_a_text_that_names_the_query_as_similar_is_no_wrong_candidate() -> None:
    queries = {"train": [Query(4, (0,))], "test": [Query(0, (1,))]}
    assert 4 not in fixed_lists(pair_corpus("x", texts(9), queries), "test")[0]
    assert sorted(fixed_lists(pair_corpus("x", texts(9), queries), "train")[0].tolist()) == [0, 1, 2, 3, 5, 6, 7, 8]


def test_only_what_may_be_found_is_listed() -> None:
    corpus = pair_corpus("x", texts(9), {"test": [Query(0, (5,))]}, searchable=[5, 6, 7])
    assert sorted(fixed_lists(corpus, "test")[0].tolist()) == [5, 6, 7]


@pytest.mark.parametrize("compact", [False, True])
def test_cutting_texts_keeps_the_splits_in_step(compact: bool) -> None:
    documents = texts(30)
    held = CompactDocuments(documents) if compact else documents
    cut = pairs_of_groups(held, [i // 3 for i in range(30)]).cut_to(2)
    assert {len(d.tokens) for split in SPLITS for d in getattr(cut, split)} == {2}
    assert [d.tokens for d in cut.documents] == [d.tokens[:2] for d in documents]
    assert [d.id for d in cut.test] == [f"d{i}" for i in cut.members["test"]]


def test_a_run_that_predicts_something_else_is_refused() -> None:
    check_spec("x", None)
    check_spec("x", TargetSpec("ranking", ("similar",)))
    with pytest.raises(DataError, match="the run predicts stars"):
        check_spec("x", TargetSpec("regression", ("stars",), ((1.0, 5.0),)))


def test_a_split_without_queries_is_named() -> None:
    with pytest.raises(DataError, match="no dev and no test query"):
        check_queries("x", {"train": [Query(0, (1,))]})


def test_texts_in_pairs_on_both_sides_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "pyro_rationale"):
        warn_of_shared(
            "x", {"train": [Query(0, (1,))], "dev": [Query(2, (3,))], "test": [Query(1, (4,)), Query(5, (6,))]}
        )
    assert [record.getMessage() for record in caplog.records] == [
        "x: 1 of 2 test queries have texts in pairs that are trained on"
    ]


def test_compact_documents_are_the_documents() -> None:
    documents = [
        make_document("a", "Title here\nand a body"),
        make_document("b", ""),
        make_document("c", "Title again"),
    ]
    held = CompactDocuments(documents)
    assert list(held) == documents
    assert held[-1] == documents[2]
    assert list(held[1:]) == documents[1:]
    assert list(held.taken([2, 0])) == [documents[2], documents[0]]
    assert held.lengths.tolist() == [len(document.tokens) for document in documents]
    assert Vocabulary.build(held, 1) == Vocabulary.build(documents, 1)
    with pytest.raises(IndexError):
        held[3]
