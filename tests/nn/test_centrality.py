"""How central a word is to its text: by hand, whatever the padding, and all that its generator reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.nn import GENERATORS
from pyro_rationale.nn.centrality import MEASURES, Centrality
from pyro_rationale.nn.features import make_features
from tests.support.tiny_bert import make_tiny_bert

TOKENS = torch.tensor([[2, 3, 4, 2, 5, 6], [4, 2, 0, 0, 0, 0]])


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Centrality:
    folder = make_tiny_bert(tmp_path_factory.mktemp("bert"))
    options = Config().settled().changed(pretrained=str(folder), generator="stacked").model
    return Centrality(make_features(options, OpenVocabulary(("good", "bad", "film", "the", "a"))))


def of_first(features: Centrality, tokens: Tensor = TOKENS) -> Tensor:
    return features(tokens)[0, :6]


def test_measures_are_those_of_the_text(features: Centrality) -> None:
    plain = features.features(TOKENS)[0]
    found = of_first(features)
    assert found.shape == (6, features.embedding_dim) == (6, MEASURES)
    own = F.cosine_similarity(plain, plain.mean(0)[None])
    around = torch.stack([plain[max(0, i - 2) : i + 3].mean(0) for i in range(6)])
    size, place = plain.norm(dim=1), torch.arange(6.0)
    expected = [
        own, (own - own.mean()) / own.std(correction=0), None, None, (size - size.mean()) / size.std(correction=0),
        (-place / 8).exp(), place / 6,
    ]  # fmt: skip
    near = F.cosine_similarity(around, plain.mean(0)[None])
    expected[2:4] = [near, (near - near.mean()) / near.std(correction=0)]
    for i, values in enumerate(expected):
        assert values is not None
        assert torch.allclose(found[:, i], values, atol=0.03), i


def test_padding_and_other_texts_make_no_difference(features: Centrality) -> None:
    padded = F.pad(TOKENS[:1], (0, 5))
    assert torch.allclose(of_first(features, padded), of_first(features), atol=1e-3)
    assert not features(TOKENS)[1, 2:].any()


def test_words_without_padding_are_those_of_the_grid(features: Centrality) -> None:
    grid = features(TOKENS)
    every = (TOKENS > 0).flatten().nonzero()[:, 0]
    assert torch.allclose(features.words(TOKENS, every), grid.flatten(0, 1)[every], atol=1e-6)


def test_its_generator_reads_nothing_else(tmp_path: Path) -> None:
    options = Config().settled().changed(pretrained=str(make_tiny_bert(tmp_path)), generator="central", hidden=4).model
    words = OpenVocabulary(("good", "bad", "film", "the", "a"))
    made = GENERATORS["central"].from_config(options, torch.nn.Embedding(2, 3), 0, vocabulary=words)  # type: ignore[call-arg]
    assert made.forwards[0].input_size == MEASURES
    lengths = torch.tensor([6, 2])
    alone, padded = made.eval()(TOKENS, lengths), made(F.pad(TOKENS, (0, 3)), lengths)
    assert alone.shape == (2, 6, 8)
    assert torch.allclose(alone, padded[:, :6], atol=2e-3)
