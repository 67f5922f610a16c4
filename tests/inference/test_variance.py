"""Variance and bias of gradient estimators: the measuring itself."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pyro_rationale.guides import GUIDES, RationaleGuide
from pyro_rationale.inference import MaskELBO, TemperedTraceGraph
from pyro_rationale.inference.variance import (
    Moments,
    exact_gradient,
    fit_baseline,
    gradient_bias,
    guide_parameters,
    plain_network,
)
from pyro_rationale.models import RationaleModel
from pyro_rationale.models.program import frozen
from pyro_rationale.nn.baseline import StandardisedBaseline
from tests.support.estimator_checks import DOCUMENTS, HARD, settled_pair, standardised
from tests.support.tiny import exact, tiny_guide, tiny_model
from tests.support.whole_gradients import gradient_spread, trace_error


def test_moments_are_the_sample_s() -> None:
    vectors = torch.randn(30, 5, dtype=torch.float64) * torch.arange(5) + 100.0
    moments = Moments()
    for vector in vectors:
        moments.add(vector)
    assert moments.mean is not None
    torch.testing.assert_close(moments.mean, vectors.mean(0))
    assert moments.trace == pytest.approx(float(vectors.var(0).sum()))
    assert 0 < trace_error(moments) < moments.trace


def enumerated(model: RationaleModel, guide: RationaleGuide, tau: float) -> Tensor:
    loss = -torch.stack([one.objective(tau) for one in exact(model, guide, DOCUMENTS)]).mean()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, guide_parameters(guide))])


@pytest.mark.parametrize("tau", [1.0, 0.3])
@pytest.mark.parametrize("name", HARD)
def test_the_exact_gradient_is_the_oracle_s(name: str, tau: float) -> None:
    """Documents of differing lengths, one of a single word."""
    model, guide = settled_pair(name)
    torch.testing.assert_close(exact_gradient(model, guide, DOCUMENTS, tau), enumerated(model, guide, tau))


def test_a_relaxed_guide_has_the_gradient_of_its_discrete_twin() -> None:
    model, relaxed = settled_pair("relaxed")
    twin = tiny_guide("independent")
    twin.load_state_dict(relaxed.state_dict())
    torch.testing.assert_close(
        exact_gradient(model, relaxed, DOCUMENTS, 0.3), exact_gradient(model, twin, DOCUMENTS, 0.3)
    )


@pytest.mark.parametrize("name", ["independent", "recurrent"])
def test_the_unbiased_are_told_from_the_biased(name: str) -> None:
    model, guide = settled_pair(name)
    right = exact_gradient(model, guide, DOCUMENTS, 0.3)
    fair = gradient_bias(MaskELBO("rloo", 4, 0.3), model, guide, DOCUMENTS, right, 20_000, 25)
    assert fair.draws >= 20_000
    assert fair.z < 4.5  # 24 degrees of freedom
    assert fair.relative < 3 * fair.noise
    wrong = gradient_bias(MaskELBO("straight-through", 1, 0.3), model, guide, DOCUMENTS, right, 5_000, 25)
    assert wrong.z > 8
    assert wrong.relative > 3 * wrong.noise


def test_the_spread_is_per_document() -> None:
    """Four samples have a quarter of one's, however many documents share a batch."""
    model, guide = settled_pair("chain")
    one, four, many = (
        gradient_spread(MaskELBO("reinforce", k), model, guide, [batch], 150)
        for k, batch in ((1, DOCUMENTS), (4, DOCUMENTS), (1, DOCUMENTS.repeated(5)))
    )
    assert abs(one.variance - 4 * four.variance) < 4 * math.hypot(one.error, 4 * four.error)
    assert abs(one.variance - many.variance) < 4 * math.hypot(one.error, many.error)
    assert one.variance > 5 * one.error
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", GUIDES)
def test_no_parameter_of_the_baseline_counts(name: str) -> None:
    guide = standardised(name)
    assert guide.baseline is not None
    ours = {id(p) for p in guide_parameters(guide)}
    assert not ours & {id(p) for p in guide.baseline.parameters()}
    assert len(ours) + len(list(guide.baseline.parameters())) == len(list(guide.parameters()))


def test_a_fitted_baseline_serves_nvil_and_tracegraph() -> None:
    """Only the baseline moves; the same predictions from a plain network; and less variance than none at all."""
    model, guide = settled_pair("chain")
    model.kappa.fill_(30.0)  # rewards far from 0
    baseline = StandardisedBaseline(guide.generator.width, 4).double()
    guide.baseline = baseline
    before = {k: v.clone() for k, v in guide.state_dict().items() if not k.startswith("baseline.")}
    fit_baseline(MaskELBO("nvil", 4, 0.3, "sampled"), model, guide, [DOCUMENTS], 120)
    assert all(torch.equal(v, before[k]) for k, v in guide.state_dict().items() if k in before)
    assert not baseline.training
    pooled = torch.randn(5, guide.generator.width, dtype=torch.float64)
    torch.testing.assert_close(plain_network(baseline)(pooled), baseline(pooled))
    ours = gradient_spread(MaskELBO("nvil", 1, 0.3, "sampled"), model, guide, [DOCUMENTS], 100)
    guide.baseline = plain_network(baseline)
    pyros = gradient_spread(TemperedTraceGraph(1, 0.3), model, guide, [DOCUMENTS], 100)
    guide.baseline = None
    none = gradient_spread(MaskELBO("reinforce", 1, 0.3, "sampled"), model, guide, [DOCUMENTS], 100)
    assert abs(ours.variance - pyros.variance) < 4 * math.hypot(ours.error, pyros.error)
    assert ours.variance < 0.7 * none.variance


def test_stillness_ends() -> None:
    model = tiny_model()
    with frozen(model):
        assert not any(p.requires_grad for p in model.parameters())
    assert all(p.requires_grad for p in model.parameters())
