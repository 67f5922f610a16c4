"""Gradients through transformers on both sides of the ELBO, against enumeration of all masks of eight words.

The generator's transformer decides which words are kept, the encoder's reads them; the last layer of both is tuned. In
double precision, and in random directions of the parameters of each part.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.guides import GUIDES, RationaleGuide
from pyro_rationale.inference import MaskELBO, TemperedTraceGraph
from pyro_rationale.inference.estimators import ESTIMATORS
from pyro_rationale.models import NormalLikelihood, RationaleModel
from pyro_rationale.nn import ENCODERS, GENERATORS
from tests.support.estimator_checks import Objective, z_scores
from tests.support.tiny import PRIOR, SPECS, TARGETS, exact, replicate
from tests.support.tiny_bert import make_tiny_bert

TEXTS = ("the film was so good a cheap film", "bad film the")
WORDS = ("the", "film", "was", "good", "a", "bad")  # one piece each; so and cheap are spelt in letters
TAU = 0.3
RUNS, COPIES, DIRECTIONS = 30, 8, 4
PARTS = ("encoder.transformer", "encoder.output", "guide.generator", "guide.rest")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("bert"), WORDS, positions=32)


@cache
def pair(bert: Path, name: str) -> tuple[RationaleModel, RationaleGuide, Batch]:
    """A model whose outputs move well with the mask, a guide that is neither flat nor certain, and two texts."""
    vocabulary = OpenVocabulary(WORDS)
    own = {"pretrained": str(bert), "encoder": "transformer", "tune_encoder": "top:1", "tune_generator": "top:1"}
    options = Config().settled().changed(generator="transformer", **own).model
    torch.manual_seed(3)
    read: Any = ENCODERS["transformer"]
    encoder = read.from_config(options, torch.nn.Embedding(2, 3), 2, vocabulary=vocabulary)
    write: Any = GENERATORS["transformer"]
    generator = write.from_config(options, torch.nn.Embedding(2, 3), 0, vocabulary=vocabulary)
    guide: Any = GUIDES[name](generator)
    model = RationaleModel(encoder, NormalLikelihood(SPECS["regression"].names, 0.5), PRIOR, 4.0)
    with torch.no_grad():
        encoder.output.weight.mul_(3.0)
        for part, parameter in guide.named_parameters():
            if part.startswith(("head", "joint", "cell")):
                parameter.add_(0.15 * torch.randn_like(parameter))
    model.double().eval()
    guide.double().eval()
    rows = [torch.tensor(vocabulary.encode(text.split())) for text in TEXTS]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    batch = Batch(tokens, torch.tensor([len(row) for row in rows]), TARGETS["regression"][: len(rows)])
    if name != "recurrent":
        with torch.no_grad():
            guide.head.bias.sub_(guide.head(generator(tokens, batch.lengths)).mean())
    return model, guide, batch


def parts(model: RationaleModel, guide: RationaleGuide) -> list[list[Tensor]]:
    """Parameters with gradients, in the order of `PARTS`."""
    below = list(guide.generator.parameters())
    aside = set() if guide.baseline is None else {id(part) for part in guide.baseline.parameters()}
    rest = [part for part in guide.parameters() if id(part) not in aside.union(map(id, below))]
    encoder: Any = model.encoder
    return [list(encoder.transformer.parameters()), list(encoder.output.parameters()), below, rest]


def projected(loss: Tensor, model: RationaleModel, guide: RationaleGuide) -> Tensor:
    """The gradient of each part in a few random directions, `(PARTS * DIRECTIONS,)`."""
    groups = parts(model, guide)
    slopes = iter(torch.autograd.grad(loss, [part for group in groups for part in group]))
    generator = torch.Generator().manual_seed(11)
    found = []
    for group in groups:
        flat = torch.cat([next(slopes).flatten() for _ in group])
        directions = torch.randn(DIRECTIONS, len(flat), dtype=flat.dtype, generator=generator)
        found.append(directions @ flat)
    return torch.cat(found)


def enumerated(model: RationaleModel, guide: RationaleGuide, batch: Batch) -> Tensor:
    """The exact gradient, from a table of the guide and of what the encoder says to each mask."""
    return projected(-torch.stack([one.objective(TAU) for one in exact(model, guide, batch)]).sum(), model, guide)


@cache
def expected(bert: Path, name: str) -> Tensor:
    return enumerated(*pair(bert, name))


CASES: list[tuple[str, str, Objective]] = [
    ("chain", "reinforce", MaskELBO("reinforce", 2, TAU)),
    ("chain", "rloo", MaskELBO("rloo", 4, TAU)),
    ("recurrent", "rloo", MaskELBO("rloo", 4, TAU, "sampled")),
    ("recurrent", "muprop", MaskELBO("muprop", 4, TAU)),
    ("chain", "sum-and-sample", MaskELBO("sum-and-sample", 4, TAU)),
    ("chain", "gauss-newton", MaskELBO("gauss-newton", 4, TAU)),
    ("independent", "disarm", MaskELBO("disarm", 4, TAU)),
    ("independent", "nvil", MaskELBO("nvil", 2, TAU)),
    ("chain", "tracegraph", TemperedTraceGraph(1, TAU)),
]


@pytest.mark.parametrize(("name", "estimator", "objective"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_unbiased_estimators_are_so_through_transformers(
    bert: Path, name: str, estimator: str, objective: Objective
) -> None:
    model, guide, batch = pair(bert, name)
    wanted = expected(bert, name)
    torch.manual_seed(7)
    baseline = ESTIMATORS[estimator].make_baseline(guide.generator.width, 3)
    guide.baseline = None if baseline is None else baseline.double().eval()
    copies = replicate(batch, COPIES)
    runs = [projected(objective.differentiable_loss(model, guide, copies), model, guide) / COPIES for _ in range(RUNS)]
    assert wanted.abs().min() > 0
    assert z_scores(torch.stack(runs), wanted).abs().max() < 4


@pytest.mark.parametrize("estimator", ["sum-and-sample", "gauss-newton"])
def test_a_sum_over_all_masks_is_exact(bert: Path, estimator: str) -> None:
    """Where three words of a text may be kept, one draw of 16 masks sums all 8 there are."""
    model, guide, batch = pair(bert, "independent")
    guide.baseline = None
    excluded = torch.zeros_like(batch.tokens, dtype=torch.uint8)
    excluded[0, 1:6] = 1
    batch = replace(batch, excluded=excluded)
    torch.manual_seed(5)
    found = projected(MaskELBO(estimator, 16, TAU).differentiable_loss(model, guide, batch), model, guide)
    torch.testing.assert_close(found, enumerated(model, guide, batch), rtol=1e-6, atol=1e-6)
