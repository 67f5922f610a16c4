"""Weights of documents: a weight of 2 is the document twice, in Pyro's programs and in every estimator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from pyro import poutine
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.guides import own_guides
from pyro_rationale.inference import Estimate, MaskELBO, TemperedTraceGraph
from pyro_rationale.inference.objectives.judge import ReaderJudge
from pyro_rationale.training.auxiliary_losses import full_text_loss
from pyro_rationale.training.laplace import curvature_of
from tests.support.tiny import SPECS, exact, texts, tiny_guide, tiny_model

WEIGHTS = torch.tensor([2.0, 0.5, 3.0], dtype=torch.float64)
KINDS = pytest.mark.parametrize("kind", list(SPECS))
# Linear in the weights, and unbiased for weights of 1 (test_estimators): so unbiased, and as if rows were repeated.
WAYS = [
    ("chain", "sum-and-sample"), ("chain", "gauss-newton"), ("chain", "reinforce"), ("independent", "disarm"),
    ("recurrent", "muprop"), ("recurrent", "rloo"), ("relaxed", "relaxed"), ("hardkuma", "relaxed"),
]  # fmt: skip


def weighted(batch: Batch, weights: Tensor = WEIGHTS) -> Batch:
    return replace(batch, weights=weights)


def twice(batch: Batch) -> Batch:
    """The first document of a batch twice."""
    index = torch.tensor([0, 0, 1, 2])
    return batch._each(lambda part: part[index])


@KINDS
@pytest.mark.parametrize("name", ["chain", "recurrent"])
def test_a_weight_of_two_is_the_row_twice_in_the_programs(kind: str, name: str) -> None:
    model, guide = tiny_model(kind, 3.0), tiny_guide(name)
    plain = texts(kind=kind)
    heavy, rows = weighted(plain, torch.tensor([2.0, 1.0, 1.0])), twice(plain)
    torch.manual_seed(0)
    z = guide.posterior(plain).sample()
    for program in (model, guide):
        one, other = (
            poutine.trace(poutine.condition(program, data={"z": masks})).get_trace(batch).log_prob_sum()
            for batch, masks in ((heavy, z), (rows, z[[0, 0, 1, 2]]))
        )
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("name", "estimator"), WAYS)
def test_figures_are_weighted_and_counts_of_words_are_not(name: str, estimator: str) -> None:
    model, guide = tiny_model(kappa=3.0), tiny_guide(name)
    plain, heavy = (estimate(MaskELBO(estimator, 8), model, guide, batch) for batch in (texts(), weighted(texts())))
    for figure in ("reconstruction", "kl", "entropy"):
        torch.testing.assert_close(getattr(heavy, figure), WEIGHTS * getattr(plain, figure))
    torch.testing.assert_close((heavy.kept, heavy.changes), (plain.kept, plain.changes))


@pytest.mark.parametrize("name", own_guides())
def test_the_weighted_objective_is_the_enumerated_one(name: str) -> None:
    """In closed form but for the reconstruction, whose mean over masks it is."""
    model, guide = tiny_model(), tiny_guide(name, straight_through=True)
    way = "straight-through" if name == "relaxed" else "muprop"
    batch = weighted(texts()).repeated(400)
    torch.manual_seed(0)
    with torch.no_grad():
        found = MaskELBO(way, 4).estimate(model, guide, batch).objective(1.0).unflatten(0, (400, 3))
    expected = WEIGHTS * torch.stack([one.objective(1.0) for one in exact(model, guide, texts())]).detach()
    error = found.std(0) / len(found) ** 0.5
    assert ((found.mean(0) - expected).abs() <= 4.0 * error + 1e-9).all()


@pytest.mark.parametrize(("name", "estimator"), [way for way in WAYS if way[1] != "gauss-newton"])
def test_gradients_are_linear_in_the_weights(name: str, estimator: str) -> None:
    """Documents that count twice in turn, with the same masks: four times the gradient in which all count once."""
    model, guide = tiny_model(kappa=3.0), tiny_guide(name)
    turns = 1.0 + torch.eye(3, dtype=torch.float64)
    total = sum(gradient(MaskELBO(estimator, 8), model, guide, weighted(texts(), weights)) for weights in turns)
    torch.testing.assert_close(total, 4.0 * gradient(MaskELBO(estimator, 8), model, guide, texts()))


def test_pyros_own_objective() -> None:
    model, guide = tiny_model(kappa=2.0), tiny_guide("independent")
    plain, heavy = (estimate(TemperedTraceGraph(1, 0.5), model, guide, b) for b in (texts(), weighted(texts())))
    for figure in ("reconstruction", "kl", "entropy"):
        torch.testing.assert_close(getattr(heavy, figure), WEIGHTS * getattr(plain, figure))
    torch.testing.assert_close(heavy.kept, plain.kept)


def test_a_judge_and_whole_texts() -> None:
    model, guide = tiny_model(kappa=2.0), tiny_guide("chain")
    objective = MaskELBO("rloo", 4)
    objective.judge = ReaderJudge(lambda batch: torch.full((len(batch), 2), 0.4, dtype=torch.float64))
    turns = 1.0 + torch.eye(3, dtype=torch.float64)
    total = sum(gradient(objective, model, guide, weighted(texts(), weights)) for weights in turns)
    torch.testing.assert_close(total, 4.0 * gradient(objective, model, guide, texts()))
    losses = [full_text_loss(model, weighted(texts(), weights)).item() for weights in turns]
    assert sum(losses) == pytest.approx(4.0 * full_text_loss(model, texts()).item())


def test_the_curvature_of_the_output_layer() -> None:
    model, plain = tiny_model(), texts()
    masks = plain.mask.double()
    heavy = curvature_of(model, [(weighted(plain, torch.tensor([2.0, 1.0, 1.0])), masks)])
    torch.testing.assert_close(heavy, curvature_of(model, [(twice(plain), masks[[0, 0, 1, 2]])]))


def estimate(objective: Any, model: Any, guide: Any, batch: Batch) -> Estimate:
    torch.manual_seed(1)
    found: Estimate = objective.estimate(model, guide, batch)
    return found


def gradient(objective: Any, model: Any, guide: Any, batch: Batch) -> Tensor:
    """Gradient of the surrogate in all parameters, with the masks of seed 1."""
    parameters = [*model.parameters(), *guide.parameters()]
    surrogate = estimate(objective, model, guide, batch).surrogate
    parts = torch.autograd.grad(surrogate, parameters, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])
