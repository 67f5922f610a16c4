"""Objective (2) and identity (3) by enumeration, and the report's terms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceGraph_ELBO
from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.distributions import ChainPrior
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.objective_report import objective_report, objective_terms
from pyro_rationale.fitted import FittedModel
from pyro_rationale.guides import RationaleGuide, own_guides
from pyro_rationale.inference import Estimate, MaskELBO, TemperedTraceGraph
from pyro_rationale.models import NormalLikelihood, RationaleModel
from tests.support.grids import each_value
from tests.support.oracle import Oracle, changes
from tests.support.tiny import LENGTHS, SPECS, WORDS, Exact, exact, replicate, texts, tiny_guide, tiny_model

EVERY = pytest.mark.parametrize("name", own_guides())  # weights of hardkuma: tests/distributions/test_hardkuma.py
WEIGHTS = [(1.0, 1.0), (1.0, 0.0), (6.0, 0.3), (6.0, 2.0)]  # kappa, tau
COPIES = 4_000


def guide_for(name: str) -> RationaleGuide:
    """The relaxed guide with hard samples: soft ones change the reconstruction's value, and say so."""
    return tiny_guide(name, straight_through=True)


def mask_elbo(name: str, particles: int = 4, tau: float = 1.0, penalties: str = "exact") -> MaskELBO:
    """With the guide's default estimator; the value of the objective is the same for all."""
    estimator = "muprop" if penalties == "exact" else "rloo"
    return MaskELBO("straight-through" if name == "relaxed" else estimator, particles, tau, penalties)


def values(
    objective: MaskELBO | TemperedTraceGraph, model: RationaleModel, guide: RationaleGuide, batch: Batch
) -> Estimate:
    """Every document many times in one pass; fields `(copies, B)`."""
    with torch.no_grad():
        found = objective.estimate(model, guide, replicate(batch, COPIES))
    parts = {k: v.unflatten(0, (COPIES, len(batch))) for k, v in vars(found).items() if k != "surrogate"}
    return Estimate(found.surrogate, **parts)


def check_mean(found: Tensor, expected: Tensor) -> None:
    """Means of the copies within 4 standard errors, or equal where there is no noise."""
    error = found.std(0) / len(found) ** 0.5
    distance = (found.mean(0) - expected).abs()
    assert (distance <= 4 * error + 1e-9).all(), (distance / error).tolist()


def objectives(documents: Sequence[Exact], tau: float) -> Tensor:
    return torch.stack([one.objective(tau) for one in documents]).detach()


# Objective (2).


@each_value("name,weights", own_guides(), WEIGHTS)
def test_objective_is_the_enumerated_one(name: str, weights: tuple[float, float]) -> None:
    kappa, tau = weights
    model, guide = tiny_model(kappa=kappa), guide_for(name)
    found = values(mask_elbo(name, tau=tau), model, guide, texts(padding=1))
    documents = exact(model, guide, texts())
    check_mean(found.objective(tau), objectives(documents, tau))
    check_mean(found.kl, torch.stack([one.q.kl(one.p) for one in documents]).detach())
    check_mean(found.entropy, torch.stack([one.q.entropy for one in documents]).detach())
    check_mean(found.kept, torch.stack([one.q.mean.sum() for one in documents]).detach())
    check_mean(found.changes, torch.stack([one.q.expect(changes(one.q.masks)) for one in documents]).detach())
    assert float(found.reconstruction.std(0)[0]) > 0


@each_value("kind,penalties", list(SPECS), ["exact", "sampled"])
def test_objective_of_every_target(kind: str, penalties: str) -> None:
    model, guide = tiny_model(kind, 2.0), tiny_guide("chain")
    found = values(mask_elbo("chain", 4, 0.5, penalties), model, guide, texts(kind=kind))
    check_mean(found.objective(0.5), objectives(exact(model, guide, texts(kind=kind)), 0.5))


@each_value("name,tau", ["independent", "recurrent", "chain"], [1.0, 0.3])
def test_tracegraph_has_the_same_objective(name: str, tau: float) -> None:
    model, guide = tiny_model(kappa=2.0), tiny_guide(name)
    found = values(TemperedTraceGraph(1, tau), model, guide, texts())
    documents = exact(model, guide, texts())
    check_mean(found.objective(tau), objectives(documents, tau))
    check_mean(found.kl, torch.stack([one.q.kl(one.p) for one in documents]).detach())
    check_mean(found.entropy, torch.stack([one.q.entropy for one in documents]).detach())
    check_mean(found.kept, torch.stack([one.q.mean.sum() for one in documents]).detach())
    check_mean(found.changes, torch.stack([one.q.expect(changes(one.q.masks)) for one in documents]).detach())


@pytest.mark.parametrize("name", ["independent", "chain", "relaxed"])
def test_closed_terms_have_no_noise(name: str) -> None:
    model, guide = tiny_model(), tiny_guide(name)
    found = MaskELBO("relaxed" if name == "relaxed" else "reinforce", 1).estimate(model, guide, texts())
    for row, one in enumerate(exact(model, guide, texts())):
        torch.testing.assert_close(found.kl[row], one.q.kl(one.p).detach())
        torch.testing.assert_close(found.entropy[row], one.q.entropy.detach())
        torch.testing.assert_close(found.kept[row], one.q.mean.sum().detach())


@pytest.mark.parametrize("name", ["independent", "recurrent", "chain"])
def test_the_elbo_is_pyros_elbo(name: str) -> None:
    """kappa = tau = 1: the mean over many masks of what `Trace_ELBO` computes in its own way, and below log p(y)."""
    model, guide = tiny_model(), tiny_guide(name)
    documents = exact(model, guide, texts())
    elbo = float(objectives(documents, 1.0).sum())
    draws = torch.tensor(
        [
            -Trace_ELBO(num_particles=2_000, max_plate_nesting=1, vectorize_particles=True).loss(model, guide, texts())
            for _ in range(20)
        ]
    )
    assert abs(float((draws.mean() - elbo) / (draws.std() / 20**0.5))) < 4
    evidence = sum(float(torch.logsumexp(one.p.log_probs + one.log_likelihood, 0).detach()) for one in documents)
    assert elbo < evidence


def test_a_guide_that_is_the_posterior_reaches_the_evidence() -> None:
    """With nothing to see in the targets the posterior is the prior, a member of the chain family: objective 0."""
    model, guide = tiny_model(), tiny_guide("chain")
    with torch.no_grad():
        for part in ("head", "joint"):
            guide.get_parameter(f"{part}.weight").zero_()
        guide.get_parameter("head.bias").fill_(-model.prior.alpha)
        guide.get_parameter("joint.bias").fill_(model.prior.gamma)
    batch = texts()
    assert batch.targets is not None
    empty = Batch(batch.tokens, batch.lengths, torch.full_like(batch.targets, float("nan")))
    objective = MaskELBO("rloo", 2)
    assert float(objective.estimate(model, guide, empty).objective(1.0).abs().max()) < 1e-12
    objective.differentiable_loss(model, guide, empty).backward()
    assert all(p.grad is None or float(p.grad.abs().max()) < 1e-9 for p in guide.parameters())


# The three doors of a Pyro objective.


@EVERY
@pytest.mark.parametrize("penalties", ["exact", "sampled"])
def test_one_draw_one_loss(name: str, penalties: str) -> None:
    """`loss`, `differentiable_loss`, `loss_and_grads` and the module that the objective makes agree at one seed."""
    model, guide, batch = tiny_model(), guide_for(name), texts()
    objective = mask_elbo(name, 3, 0.4, penalties)

    def gradients() -> list[Tensor]:
        found = [p.grad.clone() for p in [*model.parameters(), *guide.parameters()] if p.grad is not None]
        model.zero_grad()
        guide.zero_grad()
        return found

    def seeded(function: Any) -> Any:
        pyro.set_rng_seed(1)
        return function(model, guide, batch)

    loss = seeded(objective.loss)
    found = seeded(objective.estimate)
    assert loss == pytest.approx(float(-found.objective(0.4).sum()))
    differentiable = seeded(objective.differentiable_loss)
    assert differentiable.detach().item() == pytest.approx(loss)
    differentiable.backward()
    first = gradients()
    assert seeded(objective.loss_and_grads) == pytest.approx(loss)
    second = gradients()
    seeded(objective.estimate).surrogate.backward()
    third = gradients()
    pyro.set_rng_seed(1)
    objective(model, guide)(batch).backward()
    fourth = gradients()
    assert len(first) > 10
    for others in (second, third, fourth):
        torch.testing.assert_close(others, first)


def test_tracegraph_is_pyros_at_tau_1() -> None:
    model, guide, batch = tiny_model(), tiny_guide("chain"), texts()
    found = []
    for objective in (TraceGraph_ELBO(max_plate_nesting=1), TemperedTraceGraph()):
        pyro.set_rng_seed(2)
        loss = objective.loss_and_grads(model, guide, batch)
        found.append((loss, [p.grad.clone() for p in guide.parameters() if p.grad is not None]))
        guide.zero_grad()
    assert found[0][0] == pytest.approx(found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])
    pyro.set_rng_seed(2)
    loss = TemperedTraceGraph().differentiable_loss(model, guide, batch)
    assert loss.detach().item() == pytest.approx(found[0][0])
    loss.backward()
    torch.testing.assert_close([p.grad for p in guide.parameters() if p.grad is not None], found[0][1])


# Identity (3).


def costs(model: RationaleModel, one: Exact, target: Tensor) -> tuple[Tensor, float, float]:
    """The error of each mask, `(2^n,)`, and the paper's lambdas."""
    lambda1, lambda2 = model.prior.lambdas(model.gain)
    if not isinstance(model.likelihood, NormalLikelihood):
        return -one.log_likelihood, lambda1, lambda2
    rated = ~target.isnan()
    return ((one.outputs - target)[:, rated] ** 2).sum(-1), lambda1, lambda2


@EVERY
@pytest.mark.parametrize("kappa", [1.0, 0.2, 50.0])
def test_identity_of_cost_and_objective(name: str, kappa: float) -> None:
    """E_q[cost] = (2 sigma^2 / kappa) (-objective(kappa, 1) + H(q) - log Z - kappa D/2 log(2 pi sigma^2)), exactly."""
    model, guide, batch = tiny_model(kappa=kappa), tiny_guide(name), texts()
    assert batch.targets is not None
    sigma = 0.5
    alpha, gamma = model.prior.alpha, model.prior.gamma
    for row, one in enumerate(exact(model, guide, batch)):
        error, lambda1, lambda2 = costs(model, one, batch.targets[row])
        assert lambda1 == pytest.approx(2 * sigma**2 * alpha / kappa)
        assert lambda2 == pytest.approx(2 * sigma**2 * gamma / kappa)
        rated = int((~batch.targets[row].isnan()).sum())
        constant = one.p.log_z + kappa * rated / 2 * math.log(2 * math.pi * sigma**2)
        right = (2 * sigma**2 / kappa) * (-one.objective(1.0) + one.q.entropy - constant)
        torch.testing.assert_close(one.q.expected_cost(error, lambda1, lambda2), right)
        torch.testing.assert_close(right, (2 * sigma**2 / kappa) * (-one.objective(0.0) - constant))


def test_lambdas_and_the_prior_are_two_names_of_one_thing() -> None:
    model = tiny_model(kappa=8.0)
    model.prior = ChainPrior.from_lambdas(3e-4, 6e-4, model.gain)
    assert model.prior.lambdas(model.gain) == pytest.approx((3e-4, 6e-4))
    assert model.prior.alpha == pytest.approx(8.0 / (2 * 0.25) * 3e-4)


# The report.


def fitted(kind: str, name: str, kappa: float = 2.0) -> FittedModel:
    words = Vocabulary(f"w{i}" for i in range(WORDS - 2))
    return FittedModel(
        Config(), SPECS[kind], words, tiny_model(kind, kappa), tiny_guide(name), torch.device("cpu")
    ).eval()


@each_value("kind,name", list(SPECS), own_guides())
def test_report_terms_of_a_batch(kind: str, name: str) -> None:
    """Every term against the table; the relaxed guide by its discrete masks, whatever it trains on."""
    run, batch = fitted(kind, name), texts(kind=kind, padding=2)
    assert batch.targets is not None
    found = objective_terms(run, replicate(batch, COPIES // 8), samples=8)
    terms = {key: value.unflatten(0, (-1, 3)) for key, value in found.items()}
    documents = exact(run.model, run.guide, texts(kind=kind))
    expected = {
        "kl": [one.q.kl(one.p) for one in documents],
        "entropy": [one.q.entropy for one in documents],
        "log_likelihood": [one.q.expect(one.log_likelihood) for one in documents],
        "cost": [
            one.q.expected_cost(*costs(run.model, one, batch.targets[row])) for row, one in enumerate(documents)
        ],
    }
    assert terms.keys() == expected.keys()
    for key, value in expected.items():
        check_mean(terms[key], torch.stack(value).detach())


def documents_of(batch: Batch, targets: Sequence[tuple[float, ...]]) -> list[Document]:
    """The tiny documents as words, so that the vocabulary gives their numbers back."""
    found = []
    for row, length in enumerate(batch.lengths.tolist()):
        tokens = tuple(f"w{int(i) - 2}" for i in batch.tokens[row, :length])
        found.append(Document(f"row {row}", " ".join(tokens), tokens, ((0, 1),) * length, targets[row]))
    return found


@pytest.mark.parametrize("name", ["recurrent", "chain"])
def test_objective_report(name: str) -> None:
    """Means over the documents that have a target, within what so many samples leave open."""
    run, batch = fitted("regression", name), texts()
    assert batch.targets is not None
    targets = [tuple(row) for row in batch.targets.tolist()]
    nan = float("nan")
    documents = [*documents_of(batch, targets), *documents_of(texts((2,)), [(nan, nan)])]
    tables = exact(run.model, run.guide, batch)
    found = objective_report(run, documents, samples=20_000, batch_size=2)
    state = torch.get_rng_state()
    again = objective_report(run, documents, samples=20_000, batch_size=2)
    assert found == again
    assert torch.equal(torch.get_rng_state(), state)
    error, cost = 0.0, 0.0
    for row, one in enumerate(tables):
        lost, lambda1, lambda2 = costs(run.model, one, batch.targets[row])
        total = lost + lambda1 * one.q.masks.sum(-1) + lambda2 * changes(one.q.masks)
        cost += float(one.q.expect(total).detach()) / 3
        spread = one.q.expect(total**2) - one.q.expect(total) ** 2
        error += float(spread.detach()) / 9 / 20_000
    assert abs(found["expected_cost"] - cost) < 4 * error**0.5
    elbo = sum(float((one.q.expect(one.log_likelihood) - one.q.kl(one.p)).detach()) for one in tables) / 3
    assert found["elbo"] == pytest.approx(elbo, abs=0.05)
    if name == "chain":
        assert found["kl"] == pytest.approx(sum(float(one.q.kl(one.p).detach()) for one in tables) / 3)
        assert found["entropy"] == pytest.approx(sum(float(one.q.entropy.detach()) for one in tables) / 3)


def test_objective_report_of_nothing() -> None:
    assert objective_report(fitted("regression", "chain"), documents_of(texts((2,)), [(math.nan, math.nan)])) == {}
    assert objective_report(fitted("regression", "chain"), []) == {}


def test_the_reports_cost_is_the_objectives() -> None:
    """Identity (3) on the report's own figures of one document, to rounding.

    The likelihood and the cost rest on the same draws; the KL is exact, so that the draws' own counts stand in for it.
    """
    run = fitted("regression", "chain", kappa=4.0)
    batch = texts((5,))
    q = run.guide.posterior(batch)
    pyro.set_rng_seed(8)
    terms = objective_terms(run, batch, samples=50)
    pyro.set_rng_seed(8)
    z = q.sample((50,))[:, 0]
    sigma, kappa = 0.5, 4.0
    alpha, gamma = run.model.prior.alpha, run.model.prior.gamma
    log_z = float(Oracle.penalty(alpha, gamma, 5).log_z)
    kept, flips = (float(chances.detach()[0].sum()) for chances in (q.mean, q.change))
    assert float(terms["kl"] + terms["entropy"]) == pytest.approx(alpha * kept + gamma * flips + log_z)
    drawn = alpha * float(z.sum(-1).mean()) + gamma * float(changes(z).mean()) + log_z  # E[-log p(z)] of the draws
    objective = kappa * float(terms["log_likelihood"]) - drawn  # without the entropy: objective(kappa, 0)
    constant = log_z + kappa * math.log(2 * math.pi * sigma**2)
    assert float(terms["cost"]) == pytest.approx(2 * sigma**2 / kappa * (-objective - constant))


@EVERY
def test_expected_counts(name: str) -> None:
    guide, batch = tiny_guide(name), texts(padding=1)
    q = guide.posterior(batch)
    kept, flips = q.mean.sum(-1), q.change.sum(-1)
    for row, one in enumerate(exact(tiny_model(), guide, texts())):
        torch.testing.assert_close(kept[row], one.q.mean.sum())
        torch.testing.assert_close(flips[row], one.q.change.sum())
    assert not guide.posterior(texts((1, 1))).change.any()
    assert LENGTHS[-1] == 1


# What is refused.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "magic"}, r"--estimator: expected one of reinforce, .*, gauss-newton, disarm, nvil, relaxed"),
        ({"estimator": "tracegraph"}, "--estimator: expected one of"),
        ({"estimator": "rloo", "num_particles": 1}, "--samples: rloo .* at least 2 .*, got 1"),
        ({"estimator": "reinforce", "num_particles": 0}, "--samples: expected at least 1, got 0"),
        ({"estimator": "muprop", "num_particles": 1}, "--samples: muprop .* at least 2 .*, got 1"),
        ({"estimator": "disarm", "num_particles": 3}, "--samples: disarm .* even number, got 3"),
        ({"estimator": "muprop", "penalties": "sampled"}, "--penalties sampled .* muprop"),
        ({"tau": -0.1}, "--tau: .* 0 or more, got -0.1"),
        ({"tau": float("nan")}, "--tau: .* 0 or more, got nan"),
        ({"penalties": "some"}, "--penalties: expected exact, sampled or constant, got 'some'"),
    ],
)
def test_refused_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        MaskELBO(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tau", [0.0, -1.0, float("nan")])
def test_tracegraph_takes_no_temperature_of_0(tau: float) -> None:
    with pytest.raises(ConfigError, match=r"--tau: .*--estimator rloo"):
        TemperedTraceGraph(tau=tau)


def test_nothing_observed() -> None:
    with pytest.raises(ValueError, match="expected a batch with targets"):
        MaskELBO().estimate(tiny_model(), tiny_guide("chain"), texts(kind=None))


def test_pyros_own_loop_is_not_used() -> None:
    with pytest.raises(TypeError, match="estimate"):
        MaskELBO()._get_trace(None, None, (), {})
