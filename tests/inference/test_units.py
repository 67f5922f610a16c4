"""Objectives, estimators and posterior tools where masks keep or drop whole sentences."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pyro_rationale.distributions import UnitMask
from pyro_rationale.errors import ConfigError
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.inference import MaskELBO, TemperedTraceGraph
from pyro_rationale.inference.objectives.decomposition import Setting, batch_terms, residual
from pyro_rationale.inference.posterior.evidence import enumerate_masks
from pyro_rationale.inference.posterior.gibbs import gibbs_posterior
from pyro_rationale.inference.posterior.log_joint import CachedLogJoint, draw_weighted
from pyro_rationale.inference.posterior.refinement import amortization_gap, refine
from pyro_rationale.models import RationaleModel
from tests.support.estimator_checks import Objective, exact_gradient, gradients, z_scores
from tests.support.grids import some
from tests.support.oracle import Oracle
from tests.support.tiny import exact, in_sentences, texts, tiny_guide, tiny_model

DOCUMENTS = in_sentences(texts((6, 3, 1), padding=1))
FAMILIES = pytest.mark.parametrize("name", ["chain", "nonempty-chain", "independent", "recurrent", "relaxed"])


def pair(name: str, kind: str = "regression") -> tuple[RationaleModel, RationaleGuide]:
    model, guide = tiny_model(kind), tiny_guide(name.removeprefix("nonempty-"))
    model.nonempty = guide.nonempty = name.startswith("nonempty-")
    guide.whole_units = True
    return model.eval(), guide.eval()


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        ("chain", MaskELBO("rloo", 4, 0.3)),
        ("chain", MaskELBO("muprop", 4, 0.3)),
        ("chain", MaskELBO("sum-and-sample", 8, 0.3)),
        ("chain", TemperedTraceGraph(1, 0.3)),
        ("nonempty-chain", MaskELBO("rloo", 4, 0.3, "sampled")),
        ("nonempty-chain", MaskELBO("sum-and-sample", 8, 0.3)),
        ("independent", MaskELBO("disarm", 4, 0.3)),
        ("recurrent", MaskELBO("rloo", 4, 0.3)),
        ("recurrent", MaskELBO("muprop", 4, 0.3)),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "estimator", "tracegraph"),
)
def test_estimators_are_unbiased(name: str, objective: Objective) -> None:
    model, guide = pair(name)
    found = gradients(objective, model, guide, 8_000, DOCUMENTS)
    assert float(z_scores(found, exact_gradient(model, guide, 0.3, DOCUMENTS)).abs().max()) < 4


@FAMILIES
def test_terms_of_the_objective_are_those_of_the_table(name: str) -> None:
    model, guide = pair(name)
    q, p = guide.posterior(DOCUMENTS).discrete(), model.mask_prior(DOCUMENTS, torch.float64)
    table = enumerate_masks(model, DOCUMENTS, q)
    for row, document in enumerate(exact(model, guide, DOCUMENTS)):
        words = int(DOCUMENTS.lengths[row])
        torch.testing.assert_close(q.mean[row, :words].detach(), document.q.mean.detach())
        torch.testing.assert_close(q.entropy()[row].detach(), document.q.entropy.detach())
        torch.testing.assert_close(p.mean[row, :words], document.p.mean)
        joint = document.p.log_probs + document.kappa * document.log_likelihood.detach()
        torch.testing.assert_close(table.evidence[row], joint.logsumexp(0))
        torch.testing.assert_close(table.objective(0.3)[row], document.objective(0.3).detach())


@FAMILIES
@pytest.mark.parametrize("kind", ["regression", "multiclass"])
def test_elbo_and_expected_cost_agree(name: str, kind: str) -> None:
    """The paper's penalties are per kept sentence and per change between sentences."""
    model, guide = pair(name, kind)
    batch = in_sentences(texts((6, 3, 1), padding=2, kind=kind))
    terms, setting = batch_terms(model, guide.posterior(batch), batch, 4), Setting.of(model, 1.0)
    assert residual(terms, setting).worst < 1e-10
    torch.testing.assert_close(terms.under(setting.prior).log_normalizer, terms.log_normalizer)
    assert terms.words.tolist() == [4, 2, 1]
    for row, document in enumerate(exact(model, guide, batch)):
        torch.testing.assert_close(terms.log_normalizer[row], document.p.log_z)


@FAMILIES
def test_importance_weights_find_the_evidence(name: str) -> None:
    model, guide = pair(name)
    q = guide.posterior(DOCUMENTS).discrete()
    drawn = list(draw_weighted(CachedLogJoint(model, DOCUMENTS), q, 20_000))
    z = torch.cat([masks for masks, _ in drawn])
    assert torch.equal(q.over_words(q.unit_values(z)), z)
    estimate = torch.cat([weight for _, weight in drawn]).logsumexp(0) - torch.tensor(20_000.0).log()
    for row, document in enumerate(exact(model, guide, DOCUMENTS)):
        expected = torch.logsumexp(document.p.log_probs + document.kappa * document.log_likelihood, 0)
        assert abs(float(estimate[row] - expected.detach())) < 0.05


@some("name", ["chain"], ["nonempty-chain"])
def test_gibbs_redraws_sentences_and_finds_the_posterior(name: str) -> None:
    model, guide = pair(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        scorer = CachedLogJoint(model, DOCUMENTS)
        chains = gibbs_posterior(scorer, draws=400, guide=guide.posterior(DOCUMENTS))
    masks = chains.masks.double()
    assert torch.equal(scorer.prior.over_words(scorer.prior.unit_values(masks)), masks)
    for row, document in enumerate(exact(model, guide, DOCUMENTS)):
        truth = Oracle(document.p.log_probs + document.kappa * document.log_likelihood.detach()).mean
        torch.testing.assert_close(chains.mean[row, : len(truth)], truth, atol=0.04, rtol=0)


@pytest.mark.parametrize("name", ["chain", "nonempty-chain", "recurrent"])
def test_refinement_keeps_sentences_whole(name: str) -> None:
    model, guide = pair(name)
    q = guide.posterior(DOCUMENTS)
    refined = refine(model, q, DOCUMENTS, steps=40)
    assert isinstance(refined, UnitMask)
    gap = amortization_gap(CachedLogJoint(model, DOCUMENTS), q, refined)
    assert (gap.gap > -0.05).all()
    assert gap.gap.sum() > 0.01


@pytest.mark.parametrize("name", ["relaxed", "hardkuma"])
def test_weights_are_equal_within_a_sentence(name: str) -> None:
    model, guide = pair(name)
    z = guide.posterior(DOCUMENTS).sample((5,))
    starts: Any = DOCUMENTS.unit_starts
    assert torch.equal(z[:, 0, 0], z[:, 0, 1])
    assert not torch.equal(z[:, 0, 0], z[:, 0, 2])
    assert starts.shape == (3, 5)
    loss = MaskELBO("relaxed", 1, 0.3).differentiable_loss(model, guide, DOCUMENTS)
    loss.backward()
    assert any(bool((p.grad != 0).any()) for p in guide.parameters() if p.grad is not None)


def test_estimators_are_chosen_by_the_choices() -> None:
    model, guide = pair("chain")
    with pytest.raises(ConfigError, match="disarm"):
        MaskELBO("disarm", 4).differentiable_loss(model, guide, DOCUMENTS)


def test_a_batch_without_sentences_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a batch with units"):
        pair("chain")[1].posterior(texts())
