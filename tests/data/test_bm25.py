"""BM25 against its formula, word by word."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from pyro_rationale.data.bm25 import BM25, TfIdf

TEXTS = ["the cat sat on the mat", "a dog and the cat", "", "mat mat mat", "dogs bark at night at the moon"]


def by_hand(query: str, texts: list[str], k1: float, b: float) -> list[float]:
    words = [text.split() for text in texts]
    mean = sum(map(len, words)) / len(words)
    scores = []
    for own in words:
        score = 0.0
        for word in query.split():
            df = sum(word in other for other in words)
            idf = math.log(1 + (len(words) - df + 0.5) / (df + 0.5)) if df else 0.0
            tf = own.count(word)
            score += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(own) / mean))
        scores.append(score)
    return scores


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.4), (2.0, 0.0)])
def test_scores_are_those_of_the_formula(k1: float, b: float) -> None:
    index = BM25((text.split() for text in TEXTS), k1, b)
    queries = ["the cat", "mat mat unknown", "", "night"]
    expected = [by_hand(query, TEXTS, k1, b) for query in queries]
    np.testing.assert_allclose(index.scores(query.split() for query in queries), expected, atol=1e-12)


def test_the_best_come_first_and_of_equals_the_first() -> None:
    index = BM25(text.split() for text in TEXTS)
    [cat, nothing] = index.top([["cat"], ["unknown"]], 3)
    assert cat.tolist() == [1, 0, 2]
    assert nothing.tolist() == [0, 1, 2]
    assert [order.tolist() for order in index.top([["mat"]], 99)] == [[3, 0, 1, 2, 4]]


def test_nothing_to_search() -> None:
    assert BM25([]).scores([["cat"]]).shape == (1, 0)
    assert BM25([[]]).scores([["cat"]]).tolist() == [[0.0]]


def test_tf_idf_is_that_of_scikit_learn() -> None:
    vectorizer = TfidfVectorizer(analyzer=str.split)
    documents = vectorizer.fit_transform(TEXTS)
    queries = ["the cat sat", "mat night mat", "unknown"]
    expected = (vectorizer.transform(queries) @ documents.T).toarray()
    np.testing.assert_allclose(TfIdf(map(str.split, TEXTS)).scores(map(str.split, queries)), expected, atol=1e-12)


def test_rare_words_have_a_high_idf_and_unknown_ones_none() -> None:
    index = BM25(text.split() for text in TEXTS)
    assert index.idf("moon") > index.idf("the") > index.idf("unknown") == 0.0
