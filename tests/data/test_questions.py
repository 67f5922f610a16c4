"""Planted questions: what they say is known, their rationales are, and counting common words misleads."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import chain

import numpy as np
import pytest

from pyro_rationale.data import DataOptions, load_corpus
from pyro_rationale.data.bm25 import BM25
from pyro_rationale.data.corpora import _questions_grammar as grammar
from pyro_rationale.data.corpora.questions import LONGEST, SHORTEST, WORDINGS, _triples
from pyro_rationale.data.pairs import SPLITS, PairCorpus, fixed_lists
from pyro_rationale.data.ranks import average_precision
from pyro_rationale.data.tokenizers.unicode import tokenize

MEANING = {
    wording: (slot, number)
    for slot, items in enumerate(WORDINGS)
    for number, wordings in enumerate(items)
    for wording in wordings
}


@cache
def made(documents: int = 160, **more: float) -> PairCorpus:
    corpus = load_corpus(DataOptions(data="questions", documents=documents, **more))  # type: ignore[arg-type]
    assert isinstance(corpus, PairCorpus)
    return corpus


def said(corpus: PairCorpus, number: int) -> set[tuple[int, int]]:
    """The meaning of the gold words of a question, read off the words alone."""
    document = corpus.documents[number]
    assert document.gold is not None
    words = [word if keep else "|" for word, keep in zip(document.tokens, document.gold, strict=True)]
    runs = f" {' '.join(words)} "
    return {meaning for wording, meaning in MEANING.items() if f" {wording} " in runs}


def test_no_two_wordings_share_a_word_and_nothing_else_holds_one() -> None:
    counts = Counter(word for wording in MEANING for word in set(wording.split()))
    assert max(counts.values()) == 1
    tables = (grammar.TITLES, grammar.STATEMENTS, grammar.TRIED)
    lists = (*(patterns for table in tables for patterns in table.values()), grammar.FINE, grammar.ASIDES,
             grammar.GREETINGS, grammar.MACHINE, grammar.FILLERS, grammar.THANKS)  # fmt: skip
    others = {word for pattern in chain(*lists) for word in pattern.split()}
    assert not others & counts.keys()


def test_the_text_is_cut_into_the_words_that_it_was_made_of() -> None:
    for document in made().documents[:40]:
        assert tokenize(document.text) == (document.tokens, document.offsets)
        title, _ = document.text.split("\n")
        assert tokenize(title)[0] == document.tokens[: document.title]
        assert SHORTEST <= len(document.tokens) - document.title <= LONGEST
        assert len(title.split()) <= document.title


def test_the_same_options_make_the_same_questions() -> None:
    first, second = (load_corpus(DataOptions(data="questions", documents=20)) for _ in range(2))
    assert isinstance(first, PairCorpus)
    assert isinstance(second, PairCorpus)
    assert first.documents == second.documents
    assert first.queries == second.queries
    other = load_corpus(DataOptions(data="questions", documents=20, split_seed=1))
    assert first.train != other.train


def test_similar_questions_say_the_same_three_things_in_their_gold_words() -> None:
    corpus = made()
    for split in SPLITS:
        for query in corpus.queries[split]:
            mine = said(corpus, query.document)
            assert sorted(slot for slot, _ in mine) == [0, 1, 2]
            assert all(said(corpus, other) == mine for other in query.positives)
            assert all(said(corpus, other) != mine for other in query.negatives)


def test_held_out_questions_are_about_other_triples_than_training_ones() -> None:
    corpus = made()
    triples = [{frozenset(said(corpus, i)) for i in corpus.members[split]} for split in SPLITS]
    assert not triples[0] & (triples[1] | triples[2])
    assert not triples[1] & triples[2]
    assert [len(getattr(corpus, split)) for split in SPLITS] == [160, 40, 40]


def test_most_candidates_share_two_of_three_and_some_the_other_part() -> None:
    corpus = made()
    shared: Counter[int] = Counter()
    for query in corpus.queries["test"]:
        assert len(query.candidates) == len(set(query.candidates)) == 20
        assert set(query.positives) <= set(query.candidates)
        assert query.document not in query.candidates
        shared.update(len(said(corpus, query.document) & said(corpus, other)) for other in query.negatives)
    assert shared[2] > 0.4 * shared.total()
    assert not shared[3]


def test_gold_words_are_less_than_a_tenth_and_stand_in_title_and_body() -> None:
    documents = made().documents
    flags = [np.array(document.gold) for document in documents]
    assert 0.07 < sum(map(np.sum, flags)) / sum(map(len, flags)) < 0.1
    for document, gold in zip(documents, flags, strict=True):
        assert gold[: document.title].any()
        assert gold[document.title :].any()


def test_common_words_mislead_and_the_oracle_does_not_err() -> None:
    corpus = made()
    assert corpus.oracle == {"dev": 1.0, "test": 1.0}
    index = BM25(document.tokens for document in corpus.documents)
    queries = corpus.queries["test"]
    scores = index.scores(corpus.documents[query.document].tokens for query in queries)
    found = [
        average_precision(row[own], np.isin(own, query.positives))
        for row, own, query in zip(scores, fixed_lists(corpus, "test"), queries, strict=True)
    ]
    assert np.mean(found) < 0.6


def test_what_is_left_unsaid_is_missing_and_lowers_the_oracle() -> None:
    corpus = made(ambiguity=0.5)
    known = [len(said(corpus, i)) for i in range(len(corpus.documents))]
    assert set(known) == {2, 3}
    assert 0.35 < known.count(2) / len(known) < 0.65
    assert 0.5 < corpus.oracle["test"] < 0.97
    assert set(map(len, map(set, (made(ambiguity=1.0).queries[split] for split in SPLITS)))) == {160, 40}


def test_long_titles_and_short_cuts() -> None:
    corpus = made().cut_to(3)
    assert all(len(d.tokens) == 3 == len(d.gold or ()) and d.title == 3 for d in corpus.documents)
    direct = load_corpus(DataOptions(data="questions", documents=160, max_words=3))
    assert [replace(d, gold=None) for d in direct.test] == [replace(d, gold=None) for d in corpus.test]


@pytest.mark.parametrize("documents", [4, 30, 70])
def test_every_size_has_pairs_in_each_split(documents: int) -> None:
    corpus = made(documents)
    assert all(corpus.queries[split] for split in SPLITS)
    assert sum(map(len, corpus.queries.values())) + sum(corpus.left_out.values()) == len(corpus.documents)


@pytest.mark.parametrize("documents", [10, 1000, 3000, 10_000, 30_000])
def test_triples_are_divided_at_every_size(documents: int) -> None:
    held_out = min(documents // 4, 960)
    sizes = {"train": documents, "dev": held_out, "test": held_out}
    parts = _triples(DataOptions(data="questions"), sizes)
    every = [triple for part in parts.values() for triple in part]
    assert len(every) == len(set(every)) == min(sum(-(-size // 4) for size in sizes.values()), 2400)
    assert {device for device, *_ in parts["test"]}.isdisjoint(device for device, *_ in parts["dev"])
