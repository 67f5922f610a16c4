"""The model as an ordinary Pyro program: its densities by hand, and Pyro's own inference on it and on every guide."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Importance, Predictive, Trace_ELBO, TraceGraph_ELBO
from pyro.infer.importance import vectorized_importance_weights
from pyro.optim import PyroOptim
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import ChainPrior, Constraint
from pyro_rationale.guides import GUIDES, RationaleGuide
from pyro_rationale.inference import MaskELBO, TemperedTraceGraph
from pyro_rationale.models import (
    RationaleModel,
)
from pyro_rationale.models.program import local_parameters, unregistered
from tests.support.oracle import Oracle
from tests.support.tiny import LENGTHS, SPECS, document, exact, hand_log_likelihood, texts, tiny_guide, tiny_model

KINDS = pytest.mark.parametrize("kind", list(SPECS))
EVERY = pytest.mark.parametrize("name", list(GUIDES))
Objective = Trace_ELBO | TraceGraph_ELBO | MaskELBO | TemperedTraceGraph


def traced(model: RationaleModel, batch: Batch, z: Tensor | None = None) -> dict[str, Any]:
    """The sites of one run, with log probabilities; `z` fixed if given."""
    program: Callable[..., Any] = model if z is None else poutine.condition(model, data={"z": z})
    trace = poutine.trace(program).get_trace(batch)
    trace.compute_log_prob()
    return dict(trace.nodes)


# Densities.


@KINDS
@pytest.mark.parametrize("kappa", [1.0, 7.0])
@pytest.mark.parametrize("padding", [0, 2])
def test_log_probabilities_by_hand(kind: str, kappa: float, padding: int) -> None:
    """Prior and likelihood of each document by itself; kappa weighs y only, unrated aspects count for nothing."""
    model, batch = tiny_model(kind, kappa), texts(padding=padding, kind=kind)
    assert batch.targets is not None
    sites = traced(model, batch)
    assert [name for name, site in sites.items() if site["type"] == "sample"] == ["documents", "z", "y"]
    z = sites["z"]["value"]
    assert z.shape == (3, 5 + padding)
    assert sites["z"]["log_prob"].shape == sites["y"]["log_prob"].shape == (3,)
    for row, length in enumerate(LENGTHS):
        prior = Oracle.penalty(model.prior.alpha, model.prior.gamma, length)
        torch.testing.assert_close(sites["z"]["log_prob"][row], prior.log_prob(z[row, :length]))
        one = document(batch, row)
        outputs = model.encoder(one.tokens, z[row : row + 1, :length], one.lengths)
        expected = kappa * hand_log_likelihood(model, outputs, batch.targets[row])[0]
        torch.testing.assert_close(sites["y"]["log_prob"][row], expected)


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_a_document_without_any_rating_weighs_nothing(kind: str) -> None:
    model, batch = tiny_model(kind), texts(kind=kind)
    assert batch.targets is not None
    nothing = replace(batch, targets=torch.full_like(batch.targets, float("nan")))
    site = traced(model, nothing)["y"]
    assert not site["log_prob"].any()
    site["log_prob"].sum().backward()
    assert not any(p.grad.isnan().any() for p in model.parameters() if p.grad is not None)


@KINDS
def test_particles_broadcast(kind: str) -> None:
    """K masks in one pass give what they give one by one."""
    model, batch = tiny_model(kind, 2.0), texts(kind=kind)
    with pyro.plate("particles", 4, dim=-2):
        sites = traced(model, batch)
    assert sites["y"]["log_prob"].shape == (4, 3)
    for z, expected in zip(sites["z"]["value"], sites["y"]["log_prob"], strict=True):
        torch.testing.assert_close(traced(model, batch, z)["y"]["log_prob"], expected)


@KINDS
def test_unobserved_targets_are_sampled(kind: str) -> None:
    """From p(y | x, z), not raised to kappa."""
    model, batch = tiny_model(kind, 5.0), texts(kind=None)
    copies = 4_000
    with pyro.plate("particles", copies, dim=-2):
        sites = traced(model, batch)
    y = sites["y"]["value"]
    law = model.predictive(batch, sites["z"]["value"])
    assert not sites["y"]["is_observed"]
    if kind == "multiclass":
        assert y.shape == (copies, 3)
        shares = torch.stack([(y == c).double().mean() for c in range(3)])
        expected = law.probs.mean((0, 1))
        error = (law.probs * (1 - law.probs)).mean((0, 1)) / (3 * copies)
        assert ((shares - expected) / error.sqrt()).abs().max() < 4
    else:
        assert y.shape == (copies, 3, 2)
        standard = (y - law.mean) / law.variance.sqrt()
        assert (standard.mean(0) * copies**0.5).abs().max() < 4
        assert ((standard.square().mean(0) - 1).abs() < 0.3).all()


def test_aspects_are_independent_given_the_mask() -> None:
    model, batch = tiny_model(), texts()
    law = model.predictive(batch, batch.mask.double())
    assert (law.batch_shape, law.event_shape) == ((3,), (2,))
    two = texts(kind="binary")
    law = tiny_model("binary").predictive(two, two.mask.double())
    assert (law.batch_shape, law.event_shape) == ((3,), (2,))


# Parts.


def test_gain_is_nats_per_unit_of_the_papers_cost() -> None:
    """kappa log p falls by gain times the squared error, or by kappa times the cross entropy."""
    assert tiny_model(kappa=3.0).gain == pytest.approx(3.0 / (2 * 0.5**2))
    assert tiny_model("binary", 3.0).gain == 3.0
    assert tiny_model("multiclass", 3.0).gain == 3.0
    model = tiny_model(kappa=3.0)
    target = torch.tensor([0.3, 0.9], dtype=torch.float64)
    outputs = torch.tensor([[0.1, 0.8], [0.3, 0.9]], dtype=torch.float64)
    off, right = 3.0 * hand_log_likelihood(model, outputs, target)
    assert float(right - off) == pytest.approx(model.gain * (0.2**2 + 0.1**2))


def test_the_prior_is_part_of_the_state() -> None:
    model = tiny_model()
    prior = ChainPrior(1.25, -0.5)
    model.prior = prior
    assert model.prior == prior
    twin = tiny_model(kappa=4.0)
    twin.load_state_dict(model.state_dict())
    assert twin.prior == prior
    assert float(twin.kappa) == 1.0
    z = texts().mask.double()
    expected = [Oracle.penalty(1.25, -0.5, length).log_prob(torch.ones(length)) for length in LENGTHS]
    torch.testing.assert_close(traced(model, texts(), z)["z"]["log_prob"], torch.stack(expected))


def test_the_constraint_is_state_beside_the_prior() -> None:
    model, batch = tiny_model(), texts()
    before, chain = model.prior, ChainPrior(2.5, 0.25)
    assert model.constraint == Constraint(0.0, 0.0)
    model.steering = chain
    assert model.prior == model.in_force == before
    assert model.constraint == Constraint(2.5 - before.alpha, 0.25 - before.gamma)
    z = torch.ones(3, 5, dtype=torch.float64) * batch.mask
    for context, law in ((nullcontext(), before), (model.constrained(), chain)):
        with context:
            assert model.in_force == law
            found = traced(model, batch, z)["z"]["log_prob"]
            torch.testing.assert_close(found, law.distribution(batch.lengths, 5, torch.float64).log_prob(z))
    twin = tiny_model()
    twin.load_state_dict(model.state_dict())
    assert (twin.prior, twin.steering) == (before, chain)


def test_state_of_older_versions_has_its_constraint_in_the_prior() -> None:
    state = dict(tiny_model().state_dict()) | {"prior_fields": torch.tensor([1.5, 0.5], dtype=torch.float64)}
    del state["steering_fields"]
    model = tiny_model()
    model.load_state_dict(state)
    assert model.prior == model.steering == ChainPrior(1.5, 0.5)
    assert model.constraint == Constraint(0.0, 0.0)
    assert "steering_fields" not in state


def test_single_precision_too() -> None:
    model, guide = tiny_model().float(), tiny_guide("chain").float()
    batch = texts()
    assert batch.targets is not None
    batch = replace(batch, targets=batch.targets.float())
    assert traced(model, batch)["z"]["value"].dtype == torch.float32
    assert torch.isfinite(MaskELBO().differentiable_loss(model, guide, batch))


# Pyro's own tools.


@KINDS
@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("name", [None, *GUIDES])
def test_predictive(kind: str, parallel: bool, name: str | None) -> None:
    model, batch = tiny_model(kind), texts(kind=kind)
    guide = None if name is None else tiny_guide(name)
    samples = Predictive(model, guide=guide, num_samples=6, parallel=parallel)(batch.without_targets())
    assert samples["z"].shape == (6, 3, 5)
    assert samples["y"].shape == ((6, 3) if kind == "multiclass" else (6, 3, 2))
    assert not samples["z"][:, ~batch.mask].any()
    assert len(samples["z"].unique(dim=0)) > 1


def test_predictive_uses_the_guides_masks() -> None:
    model, guide, batch = tiny_model(), tiny_guide("chain"), texts(kind=None)
    with torch.no_grad():
        guide.get_parameter("head.bias").fill_(30.0)
    z = Predictive(model, guide=guide, num_samples=20)(batch)["z"]
    assert torch.equal(z, batch.mask.double().expand(20, 3, 5))


@pytest.mark.parametrize("name", ["independent", "relaxed", "recurrent", "chain"])
def test_importance_weights_give_the_evidence(name: str) -> None:
    """log p(y | x) of one document, from Pyro's own importance sampler with each guide as the proposal."""
    model, guide = tiny_model(kappa=2.0), tiny_guide(name, straight_through=True)
    batch = document(texts(), 0)
    one = exact(model, guide, batch)[0]
    evidence = torch.logsumexp(one.p.log_probs + 2.0 * one.log_likelihood, 0)
    draws = 20_000
    log_weights, _, _ = vectorized_importance_weights(model, guide, batch, num_samples=draws, max_plate_nesting=1)
    ratios = (log_weights - evidence).exp().detach()
    assert abs(float((ratios.mean() - 1) / (ratios.std() / draws**0.5))) < 4
    run = Importance(model, guide, num_samples=30).run(batch)
    assert torch.isfinite(run.get_log_normalizer())
    assert run().nodes["z"]["value"].shape == (1, 5)


def test_models_condition_and_block_like_any_other() -> None:
    model, batch = tiny_model(), texts()
    fixed = traced(model, batch, batch.mask.double())
    assert torch.equal(fixed["z"]["value"], batch.mask.double())
    hidden = poutine.trace(poutine.block(model, hide=["z"])).get_trace(batch)
    assert "z" not in hidden.nodes
    scaled = poutine.trace(poutine.scale(model, 0.5)).get_trace(batch)
    scaled.compute_log_prob()
    assert scaled.nodes["y"]["log_prob"].shape == (3,)


# Learning by SVI.


def everything(model: nn.Module, guide: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters of both."""
    parts = (("model", model), ("guide", guide))
    return {f"{part}.{k}": v.detach().clone() for part, module in parts for k, v in module.named_parameters()}


def adam() -> PyroOptim:
    return PyroOptim(torch.optim.Adam, {"lr": 0.01})


def objectives(name: str) -> list[Objective]:
    """All that serve this guide."""
    hard = ["muprop", "rloo", "reinforce", "straight-through"]
    fitting = {"relaxed": ["relaxed", "straight-through"], "hardkuma": ["relaxed"]}.get(name, hard)
    ours: list[Objective] = [MaskELBO(estimator, 2, 0.5) for estimator in fitting]
    if name not in ("relaxed", "hardkuma"):
        ours.append(TemperedTraceGraph(1, 0.5))
    return [*ours, TraceGraph_ELBO(), TraceGraph_ELBO(num_particles=2), Trace_ELBO(max_plate_nesting=1)]


@EVERY
def test_svi_moves_every_parameter_of_model_and_guide(name: str) -> None:
    """With Pyro's objectives and ours; what the parameter store holds is neither lost nor shared."""
    batch = texts((5, 4, 3))
    for objective in objectives(name):
        pyro.clear_param_store()
        straight_through = isinstance(objective, MaskELBO) and objective.estimator == "straight-through"
        model, guide = tiny_model(), tiny_guide(name, straight_through=straight_through)
        before = everything(model, guide)
        svi = SVI(model, guide, adam(), objective)
        losses = [svi.step(batch) for _ in range(3)]
        after = everything(model, guide)
        assert all(isinstance(loss, float) and loss == loss for loss in losses)
        unmoved = [key for key in before if torch.equal(before[key], after[key])]
        assert not unmoved, f"{type(objective).__name__}"
        assert len(list(pyro.get_param_store().keys())) == len(before)
        assert isinstance(svi.evaluate_loss(batch), float)


@EVERY
def test_names_do_not_collide(name: str) -> None:
    """Pyro's store knows parameters by name: a name in model and guide would train one of the two only."""
    names = [{k.split(".")[0] for k, _ in part.named_modules() if k} for part in (tiny_model(), tiny_guide(name))]
    assert not names[0] & names[1]


@pytest.mark.parametrize("name", ["independent", "recurrent", "chain"])
def test_neural_baseline_learns_with_the_rest(name: str) -> None:
    """TraceGraph_ELBO finds it in the guide; it starts nowhere and comes to predict the cost."""
    model, guide, batch = tiny_model(), tiny_guide(name, baseline=True), texts()
    before = everything(model, guide)
    svi = SVI(model, guide, adam(), TraceGraph_ELBO())
    for _ in range(3):
        svi.step(batch)
    after = everything(model, guide)
    assert not [key for key in before if torch.equal(before[key], after[key])]
    assert any(key.startswith("guide.baseline") for key in before)


@EVERY
@pytest.mark.parametrize("baseline", [False, True])
def test_a_smaller_last_batch(name: str, baseline: bool) -> None:
    """Down to a single document, for all objectives in turn, on the same model, guide and optimiser."""
    model, guide = tiny_model(), tiny_guide(name, baseline=baseline)
    for objective in objectives(name):
        svi = SVI(model, guide, adam(), objective)
        for batch in (texts((5, 3, 1)), texts((5, 3)), texts((5,)), texts((1,))):
            svi.step(batch)


def fit(model: RationaleModel, guide: RationaleGuide, steps: int = 3) -> dict[str, Tensor]:
    """The trainer's way: torch's optimiser, and a parameter store of its own."""
    optimizer = torch.optim.Adam([*model.parameters(), *guide.parameters()], lr=0.05)
    torch.manual_seed(0)
    for _ in range(steps):
        optimizer.zero_grad()
        with local_parameters():
            loss = MaskELBO("rloo", 2).differentiable_loss(model, guide, texts())
        loss.backward()
        optimizer.step()
    return everything(model, guide)


def test_two_fits_in_one_process() -> None:
    """The second is not touched by the first, nor does either leave anything in Pyro's store."""
    alone = fit(tiny_model(seed=4), tiny_guide("chain", seed=5))
    fit(tiny_model(seed=6), tiny_guide("chain", seed=7))
    after = fit(tiny_model(seed=4), tiny_guide("chain", seed=5))
    assert alone.keys() == after.keys()
    for key, value in alone.items():
        assert torch.equal(value, after[key]), key
    assert not list(pyro.get_param_store().keys())


def test_without_a_store_of_its_own_the_second_fit_meets_the_first() -> None:
    """Why `local_parameters` is there: plain SVI finds the first model's parameters under the same names."""
    first, second = tiny_model(seed=4), tiny_model(seed=6)
    first(texts())
    assert torch.equal(
        dict(pyro.get_param_store().items())["encoder$$$output.bias"], first.encoder.output.bias
    )
    with local_parameters():
        second(texts())
        assert pyro.get_param_store()["encoder$$$output.bias"] is second.encoder.output.bias
    assert pyro.get_param_store()["encoder$$$output.bias"] is not second.encoder.output.bias


def test_programs_can_keep_their_parameters_to_themselves() -> None:
    """Which changes nothing but what Pyro's store hears."""
    model, guide, batch = tiny_model(seed=4), tiny_guide("chain", seed=5), texts()
    losses = []
    for silent in (True, False):
        torch.manual_seed(0)
        with unregistered() if silent else nullcontext():
            losses.append(MaskELBO("rloo", 2).differentiable_loss(model, guide, batch))
        assert bool(list(pyro.get_param_store().keys())) != silent
    one, other = (torch.autograd.grad(loss, [*model.parameters(), *guide.parameters()]) for loss in losses)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_masks_of_another_family_can_stand_in_for_the_guide() -> None:
    """Any program with the site z will do, as for every Pyro model."""
    model, batch = tiny_model(), texts()

    def guide(batch: Batch) -> None:
        with pyro.plate("documents", len(batch), dim=-1):
            pyro.sample("z", dist.Bernoulli(0.5 * batch.mask.double()).to_event(1))

    with pyro.plate("particles", 3, dim=-2):
        trace = poutine.trace(guide).get_trace(batch)
        replayed = poutine.trace(poutine.replay(model, trace=trace)).get_trace(batch)
    replayed.compute_log_prob()
    assert replayed.nodes["y"]["log_prob"].shape == (3, 3)


# Words that the encoder passes over in training.


def test_words_are_passed_over_in_training_only() -> None:
    """All masks of a text miss the same words; without the option no random number is drawn."""
    model = tiny_model()
    z = (torch.rand(3, 40, 50, dtype=torch.float64) < 0.7).double()
    assert model.thinned(z) is z
    model.word_dropout = 0.3
    assert model.eval().thinned(z) is z
    thinned = model.train().thinned(z)
    missed = 1.0 - thinned.sum() / z.sum()
    assert float(missed) == pytest.approx(0.3, abs=0.03)
    assert bool((thinned <= z).all())
    both = (z[0] == 1) & (z[1] == 1)
    assert torch.equal(thinned[0][both], thinned[1][both])


def test_passes_of_a_step_miss_the_same_words() -> None:
    model, z = tiny_model().train(), torch.ones(6, 9).double()
    model.word_dropout = 0.5
    with model.missing_words_once():
        first = model.thinned(z)
        assert torch.equal(model.thinned(z.expand(2, 6, 9))[1], first)
    with model.missing_words_once():
        assert not torch.equal(model.thinned(z), first)
    assert not torch.equal(model.thinned(z), model.thinned(z))


def test_saying_a_thing_twice_is_worth_more_to_an_encoder_that_misses_words() -> None:
    """One of two equal words is as good as both, until one of them may be passed over."""
    model, batch = tiny_model(kappa=20.0), texts((2,), kind="regression")
    batch = replace(batch, tokens=torch.tensor([[3, 3]]))
    once, twice = torch.tensor([[[1.0, 0.0]]]).double(), torch.tensor([[[1.0, 1.0]]]).double()
    targets = model.encoder(batch.tokens, once[0], batch.lengths)
    batch = replace(batch, targets=targets.detach())

    def gained() -> float:
        less, more = (traced(model, many, z.expand(1, 400, 2))["y"]["log_prob"].mean() for z in (once, twice))
        return float((more - less).detach())

    many = batch.repeated(400)
    torch.manual_seed(0)
    before = gained()
    model.word_dropout = 0.4
    assert gained() > before
