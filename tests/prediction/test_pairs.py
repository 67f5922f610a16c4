"""The posterior of a query and other texts: draws of all masks, seen as scores and probabilities."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pyro_rationale.models import RankingModel
from pyro_rationale.prediction.embedding import ModelEmbedder, embed
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.prediction.pairs import explain_pairs
from tests.support.planted_pairs import planted_pairs
from tests.support.untrained_pairs import untrained_pairs

DOCUMENTS = list(planted_pairs().test)[:4]


def test_shown_scores_are_those_of_a_search() -> None:
    fitted = untrained_pairs()
    found = explain_pairs(fitted, DOCUMENTS[0], DOCUMENTS[1:], PredictOptions(samples=8))
    embedder = ModelEmbedder(fitted)
    vectors = embedder.encode(DOCUMENTS).vectors
    scores = vectors[1:] @ vectors[0]
    np.testing.assert_allclose([pair.score for pair in found.pairs], scores, atol=1e-6)
    weights = np.exp(scores / embedder.temperature)
    np.testing.assert_allclose([pair.probability_shown for pair in found.pairs], weights / weights.sum(), atol=1e-5)
    assert sum(pair.probability for pair in found.pairs) == pytest.approx(1.0)
    assert all(low <= pair.mean <= high for pair in found.pairs for low, high in [pair.interval])
    assert found.query.marked.mask == tuple(embedder.encode(DOCUMENTS[:1]).masks[0].tolist())


def test_means_are_those_over_all_masks_of_both_texts() -> None:
    """Enumeration of the masks of a query of three words and of a text of two."""
    fitted = untrained_pairs()
    query, text = fitted.documents(["kind1a filler3 part2b", "kind1b filler7"])
    assert isinstance(fitted.model, RankingModel)
    with torch.no_grad():
        sides = []
        for document in (query, text):
            batch = fitted.encode([document])
            words = len(document.tokens)
            masks = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * words)[:, None]
            q = fitted.guide.posterior(batch).discrete().log_prob(masks).exp()[:, 0]
            sides.append((q, fitted.model.embed(batch, masks)[:, 0]))
        (q, asked), (p, found) = sides
        expected = float(q @ (asked @ found.T) @ p)
        square = float(q @ (asked @ found.T) ** 2 @ p)
    made = explain_pairs(fitted, query, [text], PredictOptions(samples=4000)).pairs[0]
    sd = (square - expected**2) ** 0.5
    assert made.mean == pytest.approx(expected, abs=5 * sd / 4000**0.5)
    assert made.sd == pytest.approx(sd, rel=0.1)
    assert made.probability == 1.0


def test_a_query_alone_is_explained() -> None:
    found = explain_pairs(untrained_pairs(), DOCUMENTS[0], [], PredictOptions(samples=8))
    assert found.pairs == ()
    assert len(found.query.inclusion) == len(DOCUMENTS[0].tokens)
    record = json.loads(json.dumps(found.record()))
    assert record["texts"] == []
    assert record["query"]["mask"] == [int(flag) for flag in found.query.marked.mask]


def test_whole_texts_have_no_posterior() -> None:
    found = explain_pairs(untrained_pairs(match="full"), DOCUMENTS[0], DOCUMENTS[1:], PredictOptions(samples=8))
    assert all(all(pair.text.marked.mask) and set(pair.text.inclusion) == {1.0} for pair in found.pairs)
    assert not all(found.query.marked.mask)


def test_draws_are_of_the_share_that_is_shown() -> None:
    fitted, options = untrained_pairs(), PredictOptions("share", share=0.6, samples=200)
    found = explain_pairs(fitted, DOCUMENTS[0], DOCUMENTS[1:], options)
    shown = embed(fitted, DOCUMENTS, decode_options=options).masks
    for text, mask in zip([found.query, *(pair.text for pair in found.pairs)], shown, strict=True):
        assert list(text.marked.mask) == mask.tolist()
        assert np.mean(text.inclusion) == pytest.approx(mask.mean(), abs=0.15)
