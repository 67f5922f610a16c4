"""A search ranks by cosine, and says how likely each hit is and which words it rests on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pyro_rationale.errors import ConfigError
from pyro_rationale.prediction.index import index_of
from pyro_rationale.prediction.retrieval import search
from tests.support.word_embedder import WordEmbedder, corpus


def test_the_nearest_texts_come_first() -> None:
    embedder = WordEmbedder()
    index = index_of(embedder, corpus())
    queries = embedder.documents(["my phone: the screen is broken", "rice"])
    first, second = search(embedder, index, queries, top=3)
    assert {hit.id for hit in first[:2]} == {"a1", "a2"}
    assert second[0].id == "c1"
    assert [hit.rank for hit in first] == [1, 2, 3]
    assert first[0].query_explanation is first.query
    assert first.query.kept == "phone … screen … broken"
    assert second[0].document_explanation.kept == "how to cook rice"


def test_probabilities_are_shares_among_the_best_hundred() -> None:
    embedder = WordEmbedder(temperature=0.5)
    index = index_of(embedder, corpus())
    (hits,) = search(embedder, index, embedder.documents(["phone and rice"]), top=5)
    scores = np.array([hit.score for hit in hits])
    expected = np.exp(scores / 0.5) / np.exp(scores / 0.5).sum()
    np.testing.assert_allclose([hit.probability for hit in hits], expected, rtol=1e-5)
    (fewer,) = search(embedder, index, embedder.documents(["phone and rice"]), top=2)
    assert [hit.probability for hit in fewer] == [hit.probability for hit in hits[:2]]


def test_hits_show_both_sides() -> None:
    embedder = WordEmbedder()
    (hits,) = search(embedder, index_of(embedder, corpus()), embedder.documents(["<i>phone</i> of my"]), top=2)
    page = hits._repr_html_()
    assert page.count("<u") == len(hits.query.spans) + sum(len(hit.document_explanation.spans) for hit in hits) > 2
    assert "<i>" not in page
    assert str(hits).count("[") == page.count("<u")
    record = json.loads(json.dumps(hits.record()))
    assert record["query"]["text"] == "<i>phone</i> of my"
    assert [hit["id"] for hit in record["hits"]] == [hit.id for hit in hits]
    assert record["hits"][0]["words_kept"] == sum(hits[0].document_explanation.mask)
    assert "score" in str(hits[0])


def test_what_cannot_be_searched_is_told() -> None:
    embedder = WordEmbedder()
    index = index_of(embedder, corpus())
    assert search(embedder, index, []) == []
    with pytest.raises(ConfigError, match="text 1: no word in it"):
        search(embedder, index, embedder.documents([" "]))
    with pytest.raises(ConfigError, match="--top: expected 1 to 100"):
        search(embedder, index, embedder.documents(["rice"]), top=0)
