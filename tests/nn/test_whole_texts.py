"""Whole texts as a pretrained encoder reads them, and the runs of words that together say most of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.nn import ENCODERS
from pyro_rationale.nn.encoders.transformer import TransformerEncoder
from pyro_rationale.nn.whole_texts import WholeTexts
from tests.support.tiny_bert import make_tiny_bert

WORDS = ("good", "bad", "wonderful", "film", "the", "a", "was", "cheap")
BATCH = Batch(torch.tensor([[2, 3, 4, 5, 6, 7, 8, 9, 2, 4, 6, 8], [5, 4, 3, 2, 7, 0, 0, 0, 0, 0, 0, 0]]),
              torch.tensor([12, 5]))  # fmt: skip


@pytest.fixture(scope="module", params=["none", "top:1"])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TransformerEncoder:
    """A frozen one, and one of which a layer is trained."""
    folder: Path = make_tiny_bert(tmp_path_factory.mktemp("bert"))
    torch.manual_seed(0)
    made = {"pretrained": str(folder), "encoder": "transformer", "pooling": "mean", "tune_encoder": request.param}
    options = Config().settled().changed(**made).model
    kind = ENCODERS["transformer"]
    result = kind.from_config(options, torch.nn.Embedding(2, 3), 32, vocabulary=OpenVocabulary(WORDS))  # type: ignore
    assert isinstance(result, TransformerEncoder)
    return result.eval()


def pooled(encoder: TransformerEncoder, mask: Tensor, row: int) -> Tensor:
    read = encoder(BATCH.tokens[row : row + 1], mask[None].float(), BATCH.lengths[row : row + 1], head=lambda s: s)
    return torch.as_tensor(read[0].detach())


def test_states_are_those_before_training(encoder: TransformerEncoder) -> None:
    whole = WholeTexts(encoder)
    before = [pooled(encoder, BATCH.mask[row], row) for row in range(2)]
    first = whole(BATCH.tokens[:1], BATCH.lengths[:1])
    tuned = [parameter for parameter in encoder.transformer.parameters() if parameter.requires_grad]
    with torch.no_grad():
        for parameter in tuned:
            parameter.add_(0.3)
    found = whole(BATCH.tokens, BATCH.lengths)
    with torch.no_grad():
        for parameter in tuned:
            parameter.sub_(0.3)
    assert torch.equal(found[0], first[0])  # it is not read again
    assert torch.allclose(found, torch.stack(before), atol=1e-4)
    assert not found.requires_grad
    assert all(parameter.requires_grad for parameter in tuned)


def test_the_first_run_says_most_and_the_next_ones_add_to_it(encoder: TransformerEncoder) -> None:
    """By trying all runs, one after the other."""
    whole, row, size = WholeTexts(encoder), 0, 4
    chosen = whole.extracts(BATCH, 0.7, float(size))[row]
    target = F.normalize(pooled(encoder, BATCH.mask[row], row), dim=0)
    runs = [torch.tensor([begin <= i < begin + size for i in range(12)]) for begin in range(0, 12 - size + 1, 2)]
    vectors = [F.normalize(pooled(encoder, run, row), dim=0) for run in runs]
    kept, total = torch.zeros(12, dtype=torch.bool), torch.zeros(32)
    while True:
        scores = [
            float(F.normalize(total + vector, dim=0) @ target)
            if 0 < int((run & ~kept).sum()) <= 0.7 * 12 - int(kept.sum()) else -np.inf
            for run, vector in zip(runs, vectors, strict=True)
        ]  # fmt: skip
        if max(scores) == -np.inf:
            break
        best = int(np.argmax(scores))
        kept, total = kept | runs[best], total + vectors[best]
    assert torch.equal(chosen, kept)
    assert 0.3 * 12 < int(kept.sum()) <= 0.7 * 12


def test_a_short_text_keeps_one_run(encoder: TransformerEncoder) -> None:
    found = WholeTexts(encoder).extracts(BATCH, 0.05, 3.0)
    assert found.sum(-1).tolist() == [3, 3]
    assert not found[1, 5:].any()


def test_runs_are_those_that_the_prior_allows(encoder: TransformerEncoder) -> None:
    kinds = torch.zeros_like(BATCH.tokens, dtype=torch.uint8)
    kinds[0, [0, 3, 5, 8]] = 1  # no run begins or ends there
    kinds[0, 6] = 2  # no run goes across it
    kinds[1, :5] = 1  # nothing to begin with
    found = WholeTexts(encoder).extracts(replace(BATCH, excluded=kinds), 0.6, 4.0)
    assert not found[0, 6]
    edges = F.pad(found[0].int(), (1, 1)).diff()
    begins, ends = (edges == 1).nonzero()[:, 0].tolist(), ((edges == -1).nonzero()[:, 0] - 1).tolist()
    assert begins
    assert not {*begins, *ends} & {0, 3, 5, 8}
    assert found[1].any()


def test_masks_over_sentences_keep_sentences(encoder: TransformerEncoder) -> None:
    units = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3], [0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]])
    starts = torch.tensor([[0, 3, 7, 9], [0, 2, 0, 0]])
    whole = WholeTexts(encoder)
    found = whole.extracts(replace(BATCH, units=units, unit_starts=starts), 0.5, 1.0)
    assert found.shape == (2, 4)
    assert found.sum(-1).tolist() == [2, 1]
    target = F.normalize(whole(BATCH.tokens, BATCH.lengths)[1], dim=0)
    alone = [float(F.normalize(pooled(encoder, (units[1] == i) & BATCH.mask[1], 1), dim=0) @ target) for i in (0, 1)]
    assert found[1, :2].tolist() == [alone[0] > alone[1], alone[1] >= alone[0]]
