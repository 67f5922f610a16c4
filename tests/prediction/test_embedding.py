"""Vectors of texts are those of the words that the model keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from pyro_rationale.errors import ConfigError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.models import RankingModel
from pyro_rationale.prediction.decoding import padded
from pyro_rationale.prediction.embedding import ModelEmbedder, check_ranking, embed
from pyro_rationale.prediction.index import index_of, make_index
from pyro_rationale.prediction.options import DecodeOptions, PredictOptions
from pyro_rationale.prediction.pairs import explain_pairs
from pyro_rationale.prediction.retrieval import text_record
from pyro_rationale.tasks import TargetSpec, task_of
from tests.support.planted_pairs import planted_pairs
from tests.support.read_vectors import read_documents
from tests.support.untrained_pairs import untrained_pairs, untrained_run

DOCUMENTS = list(planted_pairs().test)


@pytest.mark.parametrize(("words", "masks"), [("kept", "mode"), ("all", "full"), ("others", "rest")])
def test_vectors_are_those_of_the_fit(words: str, masks: str) -> None:
    fitted = untrained_pairs()
    assert isinstance(fitted.model, RankingModel)
    expected = read_documents(fitted.model, fitted.guide, fitted.batches(DOCUMENTS, 5).ordered(), masks)
    found = embed(fitted, DOCUMENTS, words, batch_size=3)
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-6)
    assert [mask.tolist() for mask in found.masks] == [mask.tolist() for mask in expected.masks]
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1.0, atol=1e-6)
    assert found.marked(DOCUMENTS)[0].mask == tuple(found.masks[0].tolist())


def test_documents_are_read_whole_where_the_fit_did() -> None:
    fitted = untrained_pairs(match="full")
    embedder = ModelEmbedder(fitted)
    assert all(mask.all() for mask in embedder.encode(DOCUMENTS).masks)
    query = embedder.encode(DOCUMENTS, query=True)
    assert not all(mask.all() for mask in query.masks)
    assert embedder.encode([]).vectors.shape == (0, query.vectors.shape[1])


@pytest.mark.parametrize("match", ["masked", "full"])
def test_titles_that_are_always_read_are_marked_and_not_counted(match: str, tmp_path: Path) -> None:
    """Alike in a search, in an index, in memory and on disk, beside other texts, and in figures."""
    fitted = untrained_pairs(keep_title=True, match=match)
    titled = [replace(document, title=3) for document in DOCUMENTS[:4]]
    embedder = ModelEmbedder(fitted)
    for query in (True, False):
        embedded = embedder.encode(titled, query)
        for mask, text in zip(embedded.masks, embedded.marked(titled), strict=True):
            assert text.mask == (True, True, True, *mask[3:].tolist())
            assert not mask[:3].any()
            assert text.words_kept == mask.sum() == text_record(text)["words_kept"]
            assert text.share == pytest.approx(mask.mean())
    held = index_of(embedder, titled)
    stored = make_index(embedder, iter(titled), tmp_path / "index", "titled")
    assert list(stored.entries) == list(held.entries)
    assert stored.facts["kept"] == held.facts["kept"] == sum(mask.sum() for mask in embedded.masks)
    if match == "masked":
        compared = explain_pairs(fitted, titled[0], titled[1:], PredictOptions(samples=3))
        assert [pair.text.marked for pair in compared.pairs] == embedded.marked(titled)[1:]


def test_a_title_that_is_always_read_is_not_among_the_words_that_are_dropped() -> None:
    """The figures "from the other words" were once of texts that were read with their titles."""
    fitted = untrained_pairs(keep_title=True)
    titled = [replace(document, title=3) for document in DOCUMENTS[:4]]
    kept, others = (embed(fitted, titled, words) for words in ("kept", "others"))
    for one, other in zip(kept.masks, others.masks, strict=True):
        assert not (one | other)[:3].any() and (one ^ other)[3:].all()  # noqa: PT018
    bodies = [
        replace(one, tokens=one.tokens[3:], offsets=one.offsets[3:], gold=None, opinion=None, title=0) for one in titled
    ]
    batch = replace(fitted.encode(bodies), titles=None)
    masks = [mask[3:].tolist() for mask in others.masks]
    with torch.no_grad():
        expected = fitted.model.embed(batch, padded(masks, bodies, batch.tokens))
    np.testing.assert_allclose(others.vectors, expected.numpy(), atol=1e-6)


def test_the_digest_tells_models_and_rules_apart() -> None:
    fitted = untrained_pairs()
    same = ModelEmbedder(FittedModel.load(untrained_run()))
    assert ModelEmbedder(fitted).digest == same.digest
    assert ModelEmbedder(fitted, DecodeOptions("mode")).digest == same.digest  # that of indexes of older versions
    assert ModelEmbedder(fitted, DecodeOptions("threshold")).digest != same.digest
    assert ModelEmbedder(untrained_pairs(hidden=5)).digest != same.digest
    assert 0.01 < same.temperature < 1


def test_other_models_are_refused() -> None:
    rated = SimpleNamespace(name="run", task=task_of(TargetSpec("regression", ("y",), ranges=((0.0, 1.0),))))
    with pytest.raises(ConfigError, match="does not rank texts; fit one with --task ranking"):
        check_ranking(cast(FittedModel, rated))
