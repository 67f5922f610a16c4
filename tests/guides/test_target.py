"""Guides that may read the target: what they read, when, and that nothing else ever does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from pyro import poutine
from torch import Tensor

from pyro_rationale.build import build_guide
from pyro_rationale.config import Config, ModelOptions
from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.guides import GUIDES, RationaleGuide, TargetContext
from pyro_rationale.inference import MaskELBO, TemperedTraceGraph
from pyro_rationale.models import RationaleModel
from pyro_rationale.nn import BiLSTM, make_embedding
from tests.support.grids import each_value, some
from tests.support.target_guides import tables, target_guide
from tests.support.tiny import NAN, SPECS, WORDS, replicate, texts, tiny_guide, tiny_model

EVERY = pytest.mark.parametrize("name", list(GUIDES))
KINDS = pytest.mark.parametrize("kind", list(SPECS))
OTHERS = {
    "regression": torch.tensor([[0.1, 0.8], [0.5, NAN], [NAN, NAN]], dtype=torch.float64),
    "binary": torch.tensor([[0.0, NAN], [1.0, 1.0], [NAN, 1.0]], dtype=torch.float64),
    "multiclass": torch.tensor([0, 1, 2]),
    "ordinal": torch.tensor([[0.0, 0.5], [1 / 3, 0.0], [NAN, NAN]], dtype=torch.float64),
}


def law(guide: RationaleGuide, batch: Batch) -> MaskDistribution:
    """The distribution that the program samples from."""
    trace = poutine.trace(guide).get_trace(batch)
    found = trace.nodes["z"]["fn"]
    assert isinstance(found, MaskDistribution)
    return found


# The context.


def test_contexts_by_hand() -> None:
    expected: dict[str, list[list[float]]] = {
        "regression": [[0.9, 0.1, 1, 1], [0, 0.7, 0, 1], [0.4, 0, 1, 0]],
        "binary": [[1, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1]],
        "multiclass": [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
    }
    for kind, rows in expected.items():
        context = TargetContext(SPECS[kind])
        found = context(texts(kind=kind))
        assert torch.equal(found.double(), torch.tensor(rows, dtype=torch.float64))
        assert found.shape[1] == context.size
        with pytest.raises(ValueError, match="expected a batch with targets"):
            context(texts(kind=None))


def test_the_context_meets_the_words_inside_the_network() -> None:
    """Not a shift that is the same for all words; a context of zeros is none; each document has its own."""
    torch.manual_seed(0)
    network = BiLSTM(make_embedding(WORDS, 3), 3, layers=2, context=2).double()
    batch = texts()
    bare = network(batch.tokens, batch.lengths)
    assert torch.equal(network(batch.tokens, batch.lengths, torch.zeros(3, 2, dtype=torch.float64)), bare)
    context = torch.tensor([[0.0, 0.0], [1.0, -1.0], [0.0, 0.0]], dtype=torch.float64)
    change = (network(batch.tokens, batch.lengths, context) - bare).detach()
    assert torch.equal(change[[0, 2]], torch.zeros_like(change[[0, 2]]))
    assert float(change[1, :3].std(0).mean()) > 1e-3
    with pytest.raises(ValueError, match="built without one"):
        BiLSTM(make_embedding(WORDS, 3), 3)(batch.tokens, batch.lengths, context.float())


# Who reads what.


@EVERY
@KINDS
def test_a_posterior_looks_at_no_target_unless_asked(name: str, kind: str) -> None:
    guide, batch = target_guide(name, kind), texts(kind=kind, padding=1)
    for training in (True, False):
        guide.train(training)
        blind = guide.posterior(batch.without_targets()).mean
        for other in (batch, replace(batch, targets=OTHERS[kind])):
            assert torch.equal(guide.posterior(other).mean, blind)
        seen = guide.posterior(batch, see_target=True).mean
        assert float((seen - blind).detach()[batch.mask].abs().min()) > 1e-6
        assert not torch.equal(guide.posterior(replace(batch, targets=OTHERS[kind]), see_target=True).mean, seen)


def test_unknown_targets_tell_nothing() -> None:
    guide = target_guide("chain")
    batch = replace(texts(), targets=OTHERS["regression"])
    blind, seen = guide.posterior(batch).mean, guide.posterior(batch, see_target=True).mean
    assert torch.equal(blind[2], seen[2])
    assert not torch.equal(blind[1], seen[1])


@EVERY
def test_a_guide_that_cannot_says_so(name: str) -> None:
    with pytest.raises(ValueError, match="--condition-on-target"):
        tiny_guide(name).posterior(texts(), see_target=True)
    with pytest.raises(ValueError, match="expected a batch with targets"):
        target_guide(name).posterior(texts(kind=None), see_target=True)


@EVERY
@KINDS
def test_the_program_reads_targets_where_there_are_some(name: str, kind: str) -> None:
    guide, batch = target_guide(name, kind).eval(), texts(kind=kind)
    assert torch.equal(law(guide, batch).mean, guide.posterior(batch, see_target=True).mean)
    assert torch.equal(law(guide, batch.without_targets()).mean, guide.posterior(batch).mean)


def test_half_of_the_targets_are_hidden_in_training() -> None:
    copies = 2000
    guide, batch = target_guide("independent").train(), texts()
    torch.manual_seed(1)
    mean = law(guide, replicate(batch, copies)).mean.unflatten(0, (copies, 3))[:, :, 0]
    blind = guide.posterior(batch).mean[:, 0]
    seen = guide.posterior(batch, see_target=True).mean[:, 0]
    hidden = torch.isclose(mean, blind, rtol=1e-12)
    assert bool((hidden ^ torch.isclose(mean, seen, rtol=1e-12)).all())
    share = hidden.double().mean(0)
    assert float((share - 0.5).abs().max()) < 4 * 0.5 / copies**0.5
    pairs = (hidden[:, 0] & hidden[:, 1]).double().mean()  # each document for itself
    assert abs(float(pairs) - 0.25) < 4 * (0.25 * 0.75 / copies) ** 0.5


@EVERY
def test_a_guide_without_the_option_draws_no_random_number_more(name: str) -> None:
    """Else every fit so far would come out otherwise."""
    guide, batch = tiny_guide(name, straight_through=True).train(), texts()
    q = guide.posterior(batch)
    torch.manual_seed(2)
    (q.rsample if q.has_rsample else q.sample)()
    expected = torch.get_rng_state()
    torch.manual_seed(2)
    guide(batch)
    assert torch.equal(torch.get_rng_state(), expected)


def test_a_built_guide_has_the_context_that_the_target_needs() -> None:
    for kind, spec in SPECS.items():
        for name in GUIDES:
            for asked in (False, True):
                options = ModelOptions(guide=name, hidden=3, embedding=3, condition_on_target=asked, masks="shared")
                config = Config(model=options)
                guide = build_guide(config, WORDS, None, 0.5, spec)
                assert any("context" in part for part, _ in guide.named_parameters()) == asked
                assert (guide.target is not None) == asked
                assert guide.double().eval()(texts(kind=kind)).shape == (3, 5)
    with pytest.raises(ValueError, match="pass spec"):
        build_guide(Config(model=ModelOptions(condition_on_target=True)), WORDS, None, 0.5)


# Gradients.

DOCUMENTS = texts((4, 2, 1), padding=1)
ROUNDS, COPIES = 50, 80


def exact_gradient(model: RationaleModel, guide: RationaleGuide, tau: float, shown: float) -> Tensor:
    """Gradient of minus the objective: in the map of the context, and in the bias of the encoder's output."""
    total: Tensor | float = 0.0
    for see_target, weight in ((True, shown), (False, 1.0 - shown)):
        if weight:
            documents = tables(model, guide, DOCUMENTS, see_target)
            total = total - weight * torch.stack([one.objective(tau) for one in documents]).sum()
    assert isinstance(total, Tensor)
    return flat_gradient(model, guide, total)


def flat_gradient(model: RationaleModel, guide: RationaleGuide, loss: Tensor) -> Tensor:
    assert guide.generator.context is not None
    places = [guide.generator.context.weight, model.encoder.output.bias, guide.generator.embedding.weight]
    return torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, places)])


def worst(objective: Any, name: str, tau: float, training: bool, baseline: bool = False) -> float:
    """Largest z-score of the mean gradient against the exact one, over all entries that are not 0 by structure."""
    model, guide = tiny_model(kappa=1.5), target_guide(name, baseline=baseline).train(training)
    expected = exact_gradient(model, guide, tau, 0.5 if training else 1.0)
    torch.manual_seed(4)
    batch = replicate(DOCUMENTS, COPIES)
    rounds = []
    for _ in range(ROUNDS):
        loss = objective.differentiable_loss(model, guide, batch)
        rounds.append(flat_gradient(model, guide, loss) / COPIES)
    found = torch.stack(rounds)
    error = found.std(0) / ROUNDS**0.5
    assert float(error.max()) > 0
    return float(((found.mean(0) - expected) / error.clamp_min(1e-12)).abs().max())


@each_value("name,estimator,training", ["independent", "recurrent", "chain"], ["rloo", "muprop"], [True, False])
def test_estimators_stay_unbiased(name: str, estimator: str, training: bool) -> None:
    """In training the exact gradient is the mean of that with and that without the target."""
    assert worst(MaskELBO(estimator, 4, 0.3), name, 0.3, training) < 4.5


@some("training", [True], [False])
def test_pyros_tracegraph_stays_unbiased(training: bool) -> None:
    assert worst(TemperedTraceGraph(1, 0.3), "chain", 0.3, training, baseline=True) < 4.5


# What it is good for.


@some("name,share", [("chain", 0.3)], [("relaxed", 0.05)])
def test_reading_the_target_closes_some_of_the_gap(name: str, share: float) -> None:
    """Equal texts with two opposite ratings: q(z | x) must serve both. (Relaxed gradients are biased.)"""
    pair = texts((5, 3))
    ratings = torch.tensor([[0.9, NAN], [0.9, NAN], [0.1, NAN], [0.1, NAN]], dtype=torch.float64)
    batch = replace(replicate(pair, 2), targets=ratings)
    model, guide = tiny_model(kappa=10.0), target_guide(name)
    objective = MaskELBO("relaxed" if name == "relaxed" else "muprop", 1 if name == "relaxed" else 4)
    optimizer = torch.optim.Adam(guide.parameters(), lr=0.03)
    torch.manual_seed(5)
    for _ in range(120):
        optimizer.zero_grad()
        objective.differentiable_loss(model, guide.train(), replicate(batch, 4)).backward()
        optimizer.step()
    bounds = {}
    with torch.no_grad():
        for see_target in (False, True):
            documents = tables(model, guide.eval(), batch, see_target)
            bounds[see_target] = float(torch.stack([one.objective(1.0) for one in documents]).mean())
        weights = [one.kappa * one.log_likelihood + one.p.log_probs for one in documents]
        evidence = float(torch.stack([weight.logsumexp(0) for weight in weights]).mean())
    assert bounds[False] < evidence
    assert bounds[True] < evidence
    assert bounds[True] - bounds[False] > share * (evidence - bounds[False])
