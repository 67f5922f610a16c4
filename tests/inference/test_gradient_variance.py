"""The variance of gradient estimators from many draws: against a closed form, and against whole gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pyro_rationale.guides import RationaleGuide
from pyro_rationale.inference import MaskELBO, TemperedTraceGraph
from pyro_rationale.inference.variance import (
    GRADIENTS,
    BatchSpread,
    DocumentMoments,
    Gradient,
    batch_spread,
    cost,
    cost_ratio,
    given_features,
    guide_parameters,
    settled,
)
from pyro_rationale.models import RationaleModel
from tests.support.estimator_checks import DOCUMENTS, settled_pair
from tests.support.grids import each_value, some
from tests.support.target_guides import target_guide
from tests.support.tiny import exact, tiny_model
from tests.support.whole_gradients import gradient_spread

TAU = 0.3


def reinforce_by_enumeration(name: str, gradient: Gradient) -> float:
    """Var of one draw of reinforce-1 with exact penalties: -f(z) d log q(z), plus what no draw changes."""
    model, guide = settled_pair(name)
    total = 0.0
    for row, one in enumerate(exact(model, guide, DOCUMENTS)):
        length = int(DOCUMENTS.lengths[row])
        words = DOCUMENTS.tokens[row : row + 1, :length]
        features = guide.generator(words, torch.tensor([length])).detach().requires_grad_()
        if gradient == "features":
            inputs: list[Tensor] = [features]
            table = exact(model, guide, DOCUMENTS, _with(model, guide, row, features))[row].q
        else:
            inputs, table = list(guide_parameters(guide)), one.q
        reward = (one.kappa * one.log_likelihood).detach()
        found = torch.stack(
            [
                torch.cat([g.flatten() for g in torch.autograd.grad(f * log_q, inputs, retain_graph=True,
                                                                    allow_unused=True, materialize_grads=True)])
                for f, log_q in zip(reward, table.log_probs, strict=True)
            ]
        )
        probs = table.probs.detach()
        mean = probs @ found
        total += float(probs @ (found - mean).square().sum(-1))
    return total / len(DOCUMENTS)


def _with(model: RationaleModel, guide: RationaleGuide, row: int, features: Tensor) -> list[Tensor]:
    """Features of all documents, those of one given."""
    found = []
    for i, length in enumerate(DOCUMENTS.lengths.tolist()):
        words = DOCUMENTS.tokens[i : i + 1, :length]
        found.append(features if i == row else guide.generator(words, torch.tensor([length])).detach())
    return found


@each_value("name,gradient", ["independent", "chain"], list(GRADIENTS))
def test_against_enumeration(name: str, gradient: Gradient) -> None:
    """One mask, no baseline: the variance of a table with 2^n rows."""
    model, guide = settled_pair(name)
    right = reinforce_by_enumeration(name, gradient)
    found = [
        batch_spread(MaskELBO("reinforce", 1, TAU), model, guide, DOCUMENTS, 600, 20, gradient).variance
        for _ in range(8)
    ]
    sample = torch.tensor(found, dtype=torch.float64)
    assert abs(float(sample.mean()) - right) < 4 * float(sample.std()) / math.sqrt(8)
    assert float(sample.std()) < 0.3 * right


CONTENDERS: dict[str, MaskELBO | TemperedTraceGraph] = {
    "reinforce, sampled": MaskELBO("reinforce", 1, TAU, "sampled"),
    "rloo": MaskELBO("rloo", 2, TAU),
    "muprop": MaskELBO("muprop", 2, TAU),
    "tracegraph": TemperedTraceGraph(1, TAU),
    "sum-and-sample": MaskELBO("sum-and-sample", 2, TAU),
}


@some(
    "name,estimator",
    [
        *(("independent", "reinforce, sampled"), ("recurrent", "rloo")),
        *(("chain", "tracegraph"), ("chain", "sum-and-sample")),
    ],
    [("chain", "muprop"), ("independent", "sum-and-sample"), ("recurrent", "sum-and-sample")],
)
def test_parameters_vary_as_they_do_in_whole_steps(name: str, estimator: str) -> None:
    model, guide = settled_pair(name)
    agrees_with_steps(CONTENDERS[estimator], model, guide)


def test_a_guide_that_reads_the_target_does_so_here() -> None:
    model, guide = tiny_model(kappa=1.5), target_guide("chain")
    settled(model)
    settled(guide)
    agrees_with_steps(CONTENDERS["rloo"], model, guide)


def agrees_with_steps(objective: MaskELBO | TemperedTraceGraph, model: RationaleModel, guide: RationaleGuide) -> None:
    whole = gradient_spread(objective, model, guide, [DOCUMENTS.repeated(20)], 80)
    found = torch.tensor(
        [batch_spread(objective, model, guide, DOCUMENTS, 320, 20, "parameters").variance for _ in range(5)]
    )
    error = math.hypot(float(found.std()) / math.sqrt(len(found)), whole.error)
    assert abs(float(found.mean()) - whole.variance) < 4 * error
    assert error < 0.3 * whole.variance


def test_masks_are_counted_as_the_encoder_reads_them() -> None:
    """Two masks hold 2 - sum q^2 distinct ones in the mean; Pyro's own objective reads them one after the other."""
    model, guide = settled_pair("independent")
    distinct = [2 - float(one.q.probs.detach().square().sum()) for one in exact(model, guide, DOCUMENTS)]
    expected = sum(distinct) / len(distinct)
    draws = 4000  # a document's count varies by 1/4 at most
    for objective, slope in ((MaskELBO("rloo", 2, TAU), 0), (MaskELBO("muprop", 2, TAU), 1)):
        found = batch_spread(objective, model, guide, DOCUMENTS, draws, 500).evaluations
        assert abs(found - slope - expected) < 4 * math.sqrt(0.25 / draws / len(DOCUMENTS))
    assert batch_spread(MaskELBO("reinforce", 1, TAU), model, guide, DOCUMENTS, 4, 2).evaluations == 1
    assert batch_spread(TemperedTraceGraph(3, TAU), model, guide, DOCUMENTS, 4, 2).evaluations == 3


def test_everything_is_put_back() -> None:
    model, guide = settled_pair("chain")
    before, generator = guide.posterior(DOCUMENTS).mean, guide.generator
    with given_features(guide, torch.zeros(3, 5, generator.width).double()):
        assert not torch.allclose(guide.posterior(DOCUMENTS).mean, before)
    assert guide.generator is generator
    torch.testing.assert_close(guide.posterior(DOCUMENTS).mean, before)
    read = model.encoder.rows_read
    model.predictive(DOCUMENTS, DOCUMENTS.mask.double())
    assert model.encoder.rows_read - read == len(DOCUMENTS)
    batch_spread(MaskELBO("rloo", 2, TAU), model, guide, DOCUMENTS, 4, 2)
    assert all(p.requires_grad for p in (*model.parameters(), *guide.parameters()))
    assert all(p.grad is None for p in (*model.parameters(), *guide.parameters()))


def test_moments_of_each_document() -> None:
    """Small variances beside large means; added in parts."""
    gradients = torch.randn(30, 3, 4, 2, dtype=torch.float64) * torch.tensor([0.0, 1e-3, 1.0])[:, None, None] + 1e4
    moments = DocumentMoments(3)
    for part in gradients.split(6):
        moments.add(part.reshape(18, 4, 2))
    torch.testing.assert_close(moments.variance, gradients.var(0).sum((-1, -2)), rtol=1e-6, atol=1e-12)


def test_costs_and_their_errors() -> None:
    """Over a unit that does not vary, the jackknife is the standard error of a mean; shared luck cancels."""
    variances = torch.tensor([3.0, 5.0, 1.0, 7.0], dtype=torch.float64)
    ours = [BatchSpread(v, 2.0) for v in variances.tolist()]
    assert cost(ours) == 8.0
    ratio = cost_ratio(ours, [BatchSpread(2.0, 1.0)] * 4)
    assert ratio.value == 4.0
    assert ratio.error == pytest.approx(float(variances.std()) / math.sqrt(4))
    shared = cost_ratio(ours, [BatchSpread(10 * s.variance, 1.0) for s in ours])
    assert shared.value == pytest.approx(0.2)
    assert shared.error == pytest.approx(0.0, abs=1e-12)
    alone = cost_ratio(ours[:1], [BatchSpread(1.0, 1.0)])
    assert alone.value == 6.0
    assert math.isnan(alone.error)
    assert math.isnan(cost_ratio(ours, [BatchSpread(0.0, 1.0)] * 4).value)
