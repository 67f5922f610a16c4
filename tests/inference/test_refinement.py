"""The amortization gap: refined chains against log evidence and against the guide, by enumeration."""

from __future__ import annotations

import pyro
import pytest
import torch

from pyro_rationale.distributions import LinearChain
from pyro_rationale.guides import GUIDES
from pyro_rationale.inference.posterior import refinement as room
from pyro_rationale.inference.posterior.evidence import enumerate_masks
from pyro_rationale.inference.posterior.log_joint import CachedLogJoint
from pyro_rationale.inference.posterior.refinement import amortization_gap, chain_parameters, refine
from tests.support.grids import each_value, some
from tests.support.tiny import exact, texts, tiny_guide, tiny_model


@some("kind,tau", [("regression", 1.0), ("binary", 0.5)], [("multiclass", 1.0)])
def test_on_two_words_any_posterior_is_a_chain_and_refining_finds_it(kind: str, tau: float) -> None:
    model, batch = tiny_model(kind).eval(), texts((2, 2, 1), padding=1, kind=kind)
    scorer = CachedLogJoint(model, batch, kappa=2.0)
    q = tiny_guide("chain").posterior(batch).discrete()
    found = refine(model, q, batch, tau, kappa=2.0, steps=150)
    gap = amortization_gap(scorer, q, found, tau)
    table = enumerate_masks(model, batch, kappa=2.0)
    best = tau * torch.logsumexp(table.log_joint / tau, 0)  # the maximum of E[log joint] + tau H
    assert bool((gap.refined <= best + 1e-9).all())
    assert float((best - gap.refined).max()) < 2e-3
    assert float((best - gap.amortized).max()) > 0.05  # there was something to find
    torch.testing.assert_close(gap.gap, gap.refined - gap.amortized)


def test_where_the_target_says_nothing_the_refined_chain_is_the_prior() -> None:
    model, batch = tiny_model(kappa=1e-9).eval(), texts()
    q = tiny_guide("independent").posterior(batch).discrete()
    found = refine(model, q, batch, steps=150)
    prior = model.prior.distribution(batch.lengths, 5, torch.float64)
    torch.testing.assert_close(found.mean, prior.mean, atol=5e-3, rtol=0)
    torch.testing.assert_close(found.change, prior.change, atol=5e-3, rtol=0)


@some("name", ["chain", "recurrent"], [name for name in GUIDES if name not in ("chain", "recurrent")])
def test_refining_comes_between_the_guide_and_the_evidence(name: str) -> None:
    model, batch, guide = tiny_model(kappa=2.0).eval(), texts(padding=1), tiny_guide(name)
    q = guide.posterior(batch).discrete()
    scorer = CachedLogJoint(model, batch)
    gap = amortization_gap(scorer, q, refine(model, q, batch, steps=60))
    for row, one in enumerate(exact(model, guide, batch)):
        torch.testing.assert_close(gap.amortized[row], one.objective(1.0).detach())
    assert bool((gap.gap > -1e-3).all())  # a document of one word may be right already
    assert bool((gap.gap[:2] > 0.05).all())
    assert bool((gap.refined <= enumerate_masks(model, batch).evidence + 1e-9).all())
    assert float(gap.error.abs().sum()) == 0


@each_value("name,tau", list(GUIDES), [1.0, 0.3])
def test_gaps_from_draws_are_the_exact_ones(name: str, tau: float, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = tiny_model(kappa=2.0).eval(), texts(padding=1)
    q = tiny_guide(name).posterior(batch).discrete()
    scorer = CachedLogJoint(model, batch)
    refined = refine(model, q, batch, tau, steps=20)
    truth = amortization_gap(scorer, q, refined, tau)
    monkeypatch.setattr(room, "LONGEST", 0)
    found = amortization_gap(scorer, q, refined, tau, samples=5000)
    assert float(((found.gap - truth.gap) / found.error).abs().max()) < 4.5


def test_draws_of_both_laws_come_from_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = tiny_model(kappa=2.0).eval(), texts()
    scorer = CachedLogJoint(model, batch)
    monkeypatch.setattr(room, "LONGEST", 0)
    for name in ("chain", "independent"):
        q = tiny_guide(name).posterior(batch).discrete()
        same = amortization_gap(scorer, q, LinearChain(*chain_parameters(q), batch.lengths), samples=50)
        assert float(same.gap.abs().max()) < 1e-9
        assert float(same.error.max()) < 1e-9


def test_a_start_that_is_no_chain_has_the_words_log_odds() -> None:
    batch = texts(padding=2)
    q = tiny_guide("independent").posterior(batch).discrete()
    fields, coupling = chain_parameters(q)
    torch.testing.assert_close(torch.sigmoid(fields) * batch.mask, q.mean)
    assert float(fields[~batch.mask].abs().sum()) == float(coupling.abs().sum()) == 0


def test_one_refinement_knows_nothing_of_another() -> None:
    model, batch = tiny_model(kappa=2.0).eval(), texts()
    laws = [tiny_guide("chain", seed).posterior(batch).discrete() for seed in (2, 5)]
    for law in laws:
        torch.manual_seed(1)
        found = refine(model, law, batch, steps=2, learning_rate=1e-3)
        torch.testing.assert_close(found.fields, law.fields, atol=5e-3, rtol=0)
    assert not list(pyro.get_param_store().keys())


def test_the_model_is_left_as_it_was() -> None:
    model, batch = tiny_model(kappa=2.0).eval(), texts()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    refine(model, tiny_guide("chain").posterior(batch).discrete(), batch, kappa=0.5, steps=3)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
