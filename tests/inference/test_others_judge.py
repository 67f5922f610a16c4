"""The judge of `--judge others`: the guide is paid for what the other targets of a text do not say already."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.inference import MaskELBO
from pyro_rationale.inference.objectives.judge import OthersJudge
from pyro_rationale.models import RationaleModel
from pyro_rationale.models.given_others import LEAST_LEFT, SPEED, GivenOthers
from pyro_rationale.models.program import local_parameters
from pyro_rationale.training.auxiliary_losses import reading_loss, salient_words
from tests.support.oracle import all_masks
from tests.support.tiny import texts
from tests.support.two_targets import two_heads, two_targets

KINDS = ("regression", "binary", "ordinal")
SIGMA = 0.5  # noise of the small model of ratings


def informed(kind: str = "regression") -> RationaleModel:
    """A model of two targets that is told the other one, by a layer which is not where it starts."""
    model = two_targets(kind)
    model.given_others = GivenOthers(model.encoder.output).double()
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.given_others.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        model.given_others.gain.copy_(torch.tensor([1.5, 2.0]))
    return model.train()


def judged(estimator: str = "muprop", samples: int = 4, tau: float = 1.0) -> MaskELBO:
    objective = MaskELBO(estimator, samples, tau)
    objective.judge = OthersJudge()
    return objective


def rows_of(batch: Batch) -> Batch:
    """A row for each known target."""
    rows = batch.by_aspect(2)
    assert rows.others is not None
    return rows


def shifted_by_hand(model: RationaleModel, rows: Batch) -> Tensor:
    """Addition of the other target to each row's own output, `(B,)`, word by word of the definition."""
    layer = model.given_others
    assert layer is not None
    assert rows.aspects is not None
    assert rows.others is not None
    added = []
    for row, own in enumerate(rows.aspects.tolist()):
        other = float(rows.others[row, 1 - own])
        known = (float(layer.centre[1 - own]) if math.isnan(other) else other) - 0.5
        added.append(SPEED * known * layer.weights[1 - own, own])
    return torch.stack(added)


def test_rows_know_the_other_targets_of_their_document_and_not_their_own() -> None:
    batch = texts()
    rows = rows_of(batch)
    assert rows.targets is not None
    assert rows.others is not None
    assert not bool((~rows.targets.isnan() & ~rows.others.isnan()).any())
    whole = torch.where(rows.others.isnan(), rows.targets, rows.others)
    documents = torch.tensor([0, 2, 0, 1])  # of the first target, and of the second
    assert batch.targets is not None
    torch.testing.assert_close(whole, batch.targets[documents], equal_nan=True)
    assert batch.by_aspect(2).without_targets().others is None
    assert replace(batch, targets=None).by_aspect(2).others is None
    assert rows.texts.others is None


def test_outputs_given_the_other_target_by_hand() -> None:
    model, rows = informed(), rows_of(texts())
    layer, mask = model.given_others, rows.mask.double()
    assert layer is not None
    plain, own = model.read(rows, mask)
    assert own is not None
    pooled = model.encoder(rows.tokens, mask, rows.lengths, head=lambda states: states)
    torch.testing.assert_close(plain, model.encoder.output(pooled))
    assert rows.aspects is not None
    at = rows.aspects[:, None]
    by_hand = layer.output(pooled).gather(1, at)[:, 0] + shifted_by_hand(model, rows)
    torch.testing.assert_close(own.gather(1, at)[:, 0], by_hand)
    once = model.read(rows, rows.texts.mask.double())  # each text read once for all of its rows
    torch.testing.assert_close(torch.stack([plain, own]), torch.stack([part for part in once if part is not None]))
    assert model.eval().read(rows, mask)[1] is None  # nobody knows the others when a text is read


@pytest.mark.parametrize("estimator", ["rloo", "muprop", "sum-and-sample"])
def test_gradients_by_enumeration(estimator: str) -> None:
    """All masks of each row: the guide follows p(y_a | x, z_a, y_-a), the model both likelihoods."""
    model, guide, copies = informed(), two_heads("chain"), 3_000
    rows = rows_of(texts())
    q, p = guide.posterior(rows).discrete(), model.mask_prior(rows, torch.float64)
    assert rows.aspects is not None
    assert rows.targets is not None
    assert rows.others is not None
    followed = labels = torch.zeros((), dtype=torch.float64)
    for row, own in enumerate(rows.aspects.tolist()):
        length = int(rows.lengths[row])
        z = torch.nn.functional.pad(all_masks(length), (0, 5 - length))[:, None].expand(-1, len(rows), -1)
        z = torch.where(torch.arange(len(rows))[:, None] == row, z, q.mode.detach())
        plain, told = (part[:, row, own] for part in model.read(rows, z) if part is not None)
        log_q, log_p = q.log_prob(z)[:, row], p.log_prob(z)[:, row]
        y, kappa = rows.targets[row, own], float(model.kappa)
        reward = -kappa * (y - told) ** 2 / (2 * SIGMA**2)
        gain = 1.0 if bool(rows.others[row].isnan().all()) else (1.5, 2.0)[own]  # nothing is known that says something
        followed = followed + (log_q.exp() * (gain * reward.detach() + log_p - log_q)).sum()
        labels = labels + (log_q.exp().detach() * (reward - kappa * (y - plain) ** 2 / (2 * SIGMA**2))).sum()
    layer = model.given_others
    assert layer is not None
    places = [model.encoder.output.bias, layer.output.bias, layer.weights]
    wanted = [*torch.autograd.grad(followed, [guide.head.weight]), *torch.autograd.grad(labels, places)]
    torch.manual_seed(0)
    with local_parameters():
        estimate = judged(estimator).estimate(model, guide, rows.repeated(copies))
    found = torch.autograd.grad(-estimate.surrogate / copies, [guide.head.weight, *places])
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, atol=0.1 * float(theirs.abs().max()), rtol=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_guide_is_not_paid_for_what_the_other_target_says(kind: str) -> None:
    """Its gradient depends on the other target and on the layer that knows it, not on the plain outputs' layer."""
    rows = rows_of(texts(kind=kind))
    model, guide = informed(kind), two_heads("chain")
    assert rows.others is not None

    def slopes(batch: Batch) -> Tensor:
        guide.zero_grad()
        torch.manual_seed(0)
        judged("rloo").differentiable_loss(model, guide, batch).backward()
        return torch.cat([p.grad.flatten().clone() for p in guide.parameters() if p.grad is not None])

    before = slopes(rows)
    assert not torch.allclose(before, slopes(replace(rows, others=1.0 - rows.others)))
    with torch.no_grad():
        model.encoder.output.weight.mul_(-1.0)
    assert torch.equal(before, slopes(rows))


def test_gains_are_what_a_regression_on_the_others_leaves() -> None:
    """Targets of correlation r leave 1 - r^2 of each other; noise is not paid without bound, few rows say nothing."""
    layer = GivenOthers(torch.nn.Linear(3, 2))
    one = torch.randn(4_000, generator=torch.Generator().manual_seed(0))
    targets = torch.stack([one, 0.6 * one + 0.8 * torch.randn(4_000, generator=torch.Generator().manual_seed(1))], 1)
    layer.measure(targets)
    torch.testing.assert_close(layer.gain, torch.full((2,), 1.0 / (1.0 - 0.36)), atol=0.1, rtol=0.0)
    layer.measure(torch.stack([one, one + 0.1 * targets[:, 1]], 1))
    assert layer.gain.tolist() == pytest.approx([1.0 / LEAST_LEFT] * 2)
    assert not bool(layer.summary.any())
    layer = GivenOthers(torch.nn.Linear(3, 2))
    few = targets.clone()
    few[19:, 0] = math.nan
    layer.measure(few)
    assert layer.gain.tolist() == [1.0, 1.0]
    torch.testing.assert_close(layer.centre, few.nanmean(0))


def correlated(count: int, correlation: float) -> Tensor:
    """Targets that all correlate alike, `(4000, count)`."""
    generator = torch.Generator().manual_seed(2)
    common, own = (torch.randn(4_000, size, generator=generator) for size in (1, count))
    return correlation**0.5 * common + (1.0 - correlation) ** 0.5 * own


def test_no_target_is_a_summary_where_none_stands_out() -> None:
    """However much the targets go together, all of them are told apart then."""
    for count, correlation in ((2, 0.92), (4, 0.9), (4, 0.85), (3, 0.97)):
        layer = GivenOthers(torch.nn.Linear(3, count))
        layer.measure(correlated(count, correlation))
        assert not bool(layer.summary.any())
        assert bool((layer.gain > 2.0).all())
        assert float(layer.gain.max()) <= 1.0 / LEAST_LEFT + 1e-4


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("parts", [2, 4])
def test_a_summary_of_other_targets_is_read_as_if_these_were_unknown(parts: int, noise: float) -> None:
    """Only noise is left of an overall rating, which others make up: it is paid for itself; they are, without it."""
    targets = correlated(parts, 0.5)
    overall = targets.mean(1) + noise * torch.randn(len(targets), generator=torch.Generator().manual_seed(1))
    layer = GivenOthers(torch.nn.Linear(3, parts + 1))
    layer.measure(torch.cat([overall[:, None], targets], 1))
    assert layer.summary.tolist() == [True] + [False] * parts
    assert layer.gain[0] == 1.0
    assert bool((layer.gain[1:] > 1.2).all())
    width = parts + 1
    both, others = torch.randn(5, 2 * width), torch.rand(5, width)
    layer.weights.data.fill_(0.3)
    plain, own = layer(both, others)
    assert torch.equal(own[:, 0], both[:, 0])
    assert torch.equal(plain, both[:, :width])
    assert not torch.isclose(own[:, 1:], both[:, width + 1 :]).any()
    better = others.clone()
    better[:, 0] += 0.5  # nobody is told the summary
    assert torch.equal(layer(both, better)[1], own)
    nothing = torch.full_like(others, math.nan)
    nothing[:, 0] = 0.5
    assert not bool(layer.told(nothing).any())
    assert bool(layer.told(others).all())


def test_unknown_targets_count_as_average() -> None:
    layer = GivenOthers(torch.nn.Linear(3, 3))
    layer.measure(torch.tensor([[0.9, 0.2, math.nan], [0.7, math.nan, 0.4]]))
    layer.weights.data.normal_()
    both = torch.randn(2, 6)
    unknown = torch.tensor([[math.nan, 0.1, math.nan], [math.nan, math.nan, 0.3]])
    filled = torch.tensor([[math.nan, 0.1, 0.4], [math.nan, 0.2, 0.3]])
    torch.testing.assert_close(layer(both, unknown)[1], layer(both, filled)[1])


def test_figures_stay_those_of_the_labels_alone() -> None:
    model, guide, rows = informed(), two_heads("chain"), rows_of(texts())
    torch.manual_seed(0)
    told = judged("rloo").estimate(model, guide, rows)
    torch.manual_seed(0)
    plain = MaskELBO("rloo", 4).estimate(model, guide, rows)
    torch.testing.assert_close(told.reconstruction, plain.reconstruction)
    torch.testing.assert_close(told.kl, plain.kl)


def test_a_warm_up_trains_both_layers_and_looks_for_words_that_say_something_new() -> None:
    model, rows = informed(), rows_of(texts())
    layer = model.given_others
    assert layer is not None
    reading_loss(model, rows, rows.mask).backward()
    trained: list[Any] = [model.encoder.output.weight, layer.output.weight, layer.weights]
    assert all(float(parameter.grad.abs().sum()) > 0 for parameter in trained)
    with torch.no_grad():
        before = salient_words(model, rows, 0.4, 1.0)
        layer.output.weight.copy_(torch.randn_like(layer.output.weight) * 3.0)
        torch.manual_seed(0)
        assert bool((before & ~rows.mask).sum() == 0)
        plain = salient_words(model.eval(), rows, 0.4, 1.0)
        assert not torch.equal(salient_words(model.train(), rows, 0.4, 1.0), plain)
