"""The judge of `--judge mcd`: the guide follows a reader of whole texts and nothing else, the encoder the labels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from pyro import poutine
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.errors import ConfigError
from pyro_rationale.inference import MaskELBO
from pyro_rationale.inference.objectives.judge import ReaderJudge
from pyro_rationale.models import NormalLikelihood, OrdinalLikelihood, RationaleModel
from tests.support import estimator_checks
from tests.support.estimator_checks import DIRECTIONS, HARD, directions, gradients, z_scores
from tests.support.grids import each_value
from tests.support.small_fit import small
from tests.support.tiny import exact, texts, tiny_guide, tiny_model

ESTIMATORS = ("reinforce", "rloo", "muprop", "sum-and-sample", "straight-through")
KINDS = ("regression", "binary", "multiclass", "ordinal")
EIGHT = texts((8, 3), padding=1)


def reader_outputs(model: RationaleModel, documents: int = 3) -> Tensor:
    """Outputs of a reader: any that are not those of the model."""
    generator = torch.Generator().manual_seed(5)
    return torch.randn(documents, model.likelihood.width, dtype=torch.float64, generator=generator)


def judged(objective: MaskELBO, outputs: Tensor) -> MaskELBO:
    """The objective with a judge; the documents may be repeated."""
    objective.judge = ReaderJudge(lambda batch: outputs.repeat(len(batch) // len(outputs), 1))
    return objective


def levels_by_hand(points: Tensor, outputs: Tensor) -> Tensor:
    """Probabilities `(N, L)` of levels between cutpoints `(L - 1,)`, from outputs `(N,)`."""
    below = torch.sigmoid(points - outputs[:, None])
    return torch.cat([below, torch.ones_like(outputs)[:, None]], 1).diff(dim=1, prepend=0 * outputs[:, None])


def hand_divergence(model: RationaleModel, read: Tensor, outputs: Tensor, target: Tensor) -> Tensor:
    """KL(r || p) of one document, `(N,)`, from outputs `(W,)` of the reader and `(N, W)` of the model."""
    if target.dim() == 0:
        chance = read.softmax(-1)
        return (chance * (read.log_softmax(-1) - outputs.log_softmax(-1))).sum(-1)
    total = outputs.new_zeros(len(outputs))
    for d, value in enumerate(target.tolist()):
        if math.isnan(value):
            continue
        if isinstance(model.likelihood, NormalLikelihood):
            total = total + (read[d] - outputs[:, d]) ** 2 / (2 * float(model.likelihood.sigma) ** 2)
        elif isinstance(model.likelihood, OrdinalLikelihood):
            points = model.likelihood.cutpoints[d, : model.likelihood.levels[d] - 1]
            own, other = (levels_by_hand(points, f) for f in (read[d].expand(len(outputs)), outputs[:, d]))
            total = total + (own * (own / other).log()).sum(-1)
        else:
            yes, said = torch.sigmoid(read[d]), torch.sigmoid(outputs[:, d])
            total = total + yes * (yes / said).log() + (1 - yes) * ((1 - yes) / (1 - said)).log()
    return total


def exact_gradient(model: RationaleModel, guide: Any, batch: Batch, read: Tensor, tau: float) -> Tensor:
    """By enumeration: of the guide's loss projected in the features, and of the encoder's in the output bias."""
    features = []
    for row, length in enumerate(batch.lengths.tolist()):
        words = batch.tokens[row : row + 1, :length]
        features.append(guide.generator(words, torch.tensor([length])).detach().requires_grad_())
    tables = exact(model, guide, batch, features)
    assert batch.targets is not None
    followed = torch.tensor(0.0, dtype=torch.float64)
    for row, one in enumerate(tables):
        kl = hand_divergence(model, read[row], one.outputs, batch.targets[row]).detach()
        followed = followed + one.q.expect(one.kappa * kl) + one.q.cross_energy(one.p) - tau * one.q.entropy
    slopes = torch.autograd.grad(followed, features, retain_graph=True)
    labels = -torch.stack([one.reconstruction for one in tables]).sum()
    (bias,) = torch.autograd.grad(labels, [model.encoder.output.bias])
    projected = torch.zeros(DIRECTIONS, dtype=torch.float64)
    for row, slope in enumerate(slopes):
        projected += (directions(guide.generator.width, batch)[:, row, : slope.shape[1]] * slope[0]).sum((-1, -2))
    return torch.cat([projected, bias])


@each_value("name,estimator", HARD, ["rloo", "muprop", "sum-and-sample"])
def test_gradients_by_enumeration(name: str, estimator: str) -> None:
    """All masks of eight words: each estimator's mean gradient is that of the two objectives."""
    model, guide = tiny_model(kappa=1.5), tiny_guide(name)
    read = reader_outputs(model, len(EIGHT))
    objective = judged(MaskELBO(estimator, 4, 0.3), read)
    found = gradients(objective, model, guide, 8_000, EIGHT)
    assert float(z_scores(found, exact_gradient(model, guide, EIGHT, read, 0.3)).abs().max()) < 4
    # The labels' objective is another one, which this many draws tell apart.
    assert float(z_scores(found, estimator_checks.exact_gradient(model, guide, 0.3, EIGHT)).abs().max()) > 8


def once(objective: MaskELBO, model: RationaleModel, guide: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Gradients of guide and encoder from the same random numbers."""
    for parameter in (*model.parameters(), *guide.parameters()):
        parameter.grad = None
    torch.manual_seed(0)
    objective.differentiable_loss(model, guide, batch).backward()
    return slopes_of(guide), slopes_of(model.encoder)


def slopes_of(module: nn.Module) -> Tensor:
    """The gradients of its parameters, in a row."""
    return torch.cat([part.grad.flatten().clone() for part in module.parameters() if part.grad is not None])


@each_value(
    "pair,kind", [("relaxed", "relaxed"), *((name, estimator) for name in HARD for estimator in ESTIMATORS)], KINDS
)
def test_the_guide_follows_the_judge_and_the_encoder_the_labels(pair: tuple[str, str], kind: str) -> None:
    name, estimator = pair
    batch, model, guide = texts(kind=kind), tiny_model(kind), tiny_guide(name)
    assert batch.targets is not None
    targets = (batch.targets + 1) % 3 if kind == "multiclass" else 1.0 - batch.targets
    read = reader_outputs(model, len(batch))
    objective = MaskELBO(estimator, 4)
    guides, encoders = once(judged(objective, read), model, guide, batch)
    same, other = once(objective, model, guide, replace(batch, targets=targets))
    assert torch.equal(guides, same)
    assert not torch.allclose(encoders, other)
    changed, still = once(judged(objective, -read), model, guide, batch)
    assert not torch.allclose(guides, changed)
    assert torch.equal(encoders, still)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_that_carry_gradients(kind: str) -> None:
    """The pathwise gradient is that of the divergence at the samples; what two judges have in common cancels."""
    batch, model, guide = texts(kind=kind), tiny_model(kind, kappa=1.5), tiny_guide("relaxed")
    read = reader_outputs(model, len(batch))
    one, _ = once(judged(MaskELBO("relaxed", 1), read), model, guide, batch)
    other, _ = once(judged(MaskELBO("relaxed", 1), -read), model, guide, batch)
    guide.zero_grad()
    torch.manual_seed(0)
    z = poutine.trace(guide).get_trace(batch).nodes["z"]["value"]
    outputs = model.encoder(batch.tokens, z, batch.lengths)
    assert batch.targets is not None
    loss = outputs.new_zeros(())
    for sign in (1.0, -1.0):
        for row in range(len(batch)):
            one_row = outputs[row][None]
            loss = loss + sign * 1.5 * hand_divergence(model, sign * read[row], one_row, batch.targets[row]).sum()
    loss.backward()
    slopes, difference = slopes_of(guide), one - other
    assert torch.allclose(difference[difference != 0], slopes[slopes != 0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_those_of_the_objective(kind: str) -> None:
    """A judge changes what the guide is fitted to, and not what is reported."""
    batch, model, guide = texts(kind=kind), tiny_model(kind), tiny_guide("chain")
    objective = MaskELBO("rloo", 4)
    torch.manual_seed(0)
    plain = objective.estimate(model, guide, batch)
    torch.manual_seed(0)
    other = judged(objective, reader_outputs(model, len(batch))).estimate(model, guide, batch)
    assert torch.equal(plain.reconstruction, other.reconstruction)
    assert torch.equal(plain.objective(0.3), other.objective(0.3))


def test_an_estimator_of_its_own_objective_is_refused() -> None:
    with pytest.raises(ConfigError, match="--judge mcd does not go with --estimator tracegraph; take rloo"):
        small(guide="chain", estimator="tracegraph", judge="mcd")
