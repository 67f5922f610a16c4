"""Objectives, estimators and posterior tools where prior and guide give the empty mask no probability."""

from __future__ import annotations

import pytest
import torch

from pyro_rationale.distributions import NonEmptyMask
from pyro_rationale.errors import ConfigError
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.inference import MaskELBO, TemperedTraceGraph
from pyro_rationale.inference.objectives.decomposition import Setting, batch_terms, residual
from pyro_rationale.inference.posterior.gibbs import gibbs_posterior
from pyro_rationale.inference.posterior.log_joint import CachedLogJoint, draw_weighted
from pyro_rationale.inference.posterior.refinement import amortization_gap, refine
from pyro_rationale.models import RationaleModel
from tests.support.estimator_checks import Objective, exact_gradient, gradients, z_scores
from tests.support.grids import each_value
from tests.support.oracle import Oracle
from tests.support.tiny import exact, texts, tiny_guide, tiny_model

BOTH = pytest.mark.parametrize("name", ["chain", "independent"])


def pair(name: str, kind: str = "regression") -> tuple[RationaleModel, RationaleGuide]:
    model, guide = tiny_model(kind), tiny_guide(name)
    model.nonempty = guide.nonempty = True
    return model.eval(), guide.eval()


OBJECTIVES: dict[str, Objective] = {
    "rloo": MaskELBO("rloo", 4, 0.3),
    "rloo-sampled": MaskELBO("rloo", 4, 0.3, "sampled"),
    "muprop": MaskELBO("muprop", 4, 0.3),
    "sum-and-sample": MaskELBO("sum-and-sample", 8, 0.3),
    "tracegraph": TemperedTraceGraph(1, 0.3),
}


@each_value("name,estimator", ["chain", "independent"], list(OBJECTIVES))
def test_estimators_are_unbiased(name: str, estimator: str) -> None:
    model, guide = pair(name)
    found = gradients(OBJECTIVES[estimator], model, guide, 8_000)
    assert float(z_scores(found, exact_gradient(model, guide, 0.3)).abs().max()) < 4


@BOTH
@pytest.mark.parametrize("kind", ["regression", "multiclass"])
def test_elbo_and_expected_cost_agree(name: str, kind: str) -> None:
    model, guide = pair(name, kind)
    batch = texts(padding=2, kind=kind)
    terms, setting = batch_terms(model, guide.posterior(batch), batch, 4), Setting.of(model, 1.0)
    assert residual(terms, setting).worst < 1e-10
    torch.testing.assert_close(terms.under(setting.prior).kl, terms.kl)
    for row, document in enumerate(exact(model, guide, batch)):
        torch.testing.assert_close(terms.kl[row], document.q.kl(document.p).detach())
        torch.testing.assert_close(terms.log_normalizer[row], document.p.log_z)


@BOTH
def test_importance_weights_find_the_evidence(name: str) -> None:
    model, guide = pair(name)
    batch = texts()
    q = guide.posterior(batch)
    weights = torch.cat([weight for _, weight in draw_weighted(CachedLogJoint(model, batch), q, 20_000)])
    estimate = weights.logsumexp(0) - torch.tensor(20_000.0).log()
    for row, document in enumerate(exact(model, guide, batch)):
        expected = torch.logsumexp(document.p.log_probs + document.kappa * document.log_likelihood, 0)
        assert abs(float(estimate[row] - expected.detach())) < 0.05


def test_gibbs_never_visits_the_empty_mask_and_finds_the_posterior() -> None:
    model, guide = pair("chain")
    batch = texts()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        chains = gibbs_posterior(CachedLogJoint(model, batch), draws=400, guide=guide.posterior(batch))
    assert (chains.masks.sum(-1) > 0).all()
    for row, document in enumerate(exact(model, guide, batch)):
        weighted = document.kappa * document.log_likelihood.detach()
        truth = Oracle(document.p.log_probs + weighted).mean
        found = chains.inclusion.mean(0)[row, : len(truth)]
        torch.testing.assert_close(found, truth, atol=0.04, rtol=0)


def test_refinement_stays_without_empty_masks() -> None:
    model, guide = pair("chain")
    batch = texts()
    q = guide.posterior(batch)
    refined = refine(model, q, batch, steps=40)
    assert isinstance(refined, NonEmptyMask)
    gap = amortization_gap(CachedLogJoint(model, batch), q, refined)
    assert (gap.gap > -1e-6).all()
    assert gap.gap.sum() > 0.01


def test_disarm_needs_independent_words() -> None:
    model, guide = pair("independent")
    with pytest.raises(ConfigError, match="disarm"):
        MaskELBO("disarm", 4).differentiable_loss(model, guide, texts())
