"""Masks of each target: rows, plates and prices against enumeration of all masks of texts of at most five words."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any, cast

import pyro
import pytest
import torch
from pyro import poutine
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.errors import ConfigError
from pyro_rationale.guides import GUIDES, MixtureGuide, RationaleGuide, TargetContext
from pyro_rationale.inference.objectives.decomposition import Setting, batch_terms, residual
from pyro_rationale.inference.objectives.elbo import MaskELBO, make_objective, shared_words
from pyro_rationale.inference.posterior.evidence import enumerate_masks
from pyro_rationale.inference.posterior.log_joint import log_joint
from pyro_rationale.models import EnsembleModel, RationaleModel
from pyro_rationale.models.program import local_parameters
from tests.support.oracle import all_masks
from tests.support.tiny import SPECS, Exact, exact, in_sentences, texts, tiny_guide
from tests.support.two_targets import PRIORS, two_heads, two_targets

NAMES = tuple(GUIDES)


def of_target(guide: RationaleGuide, aspect: int) -> RationaleGuide:
    """The ordinary guide that has the parameters of one target's head; differentiable in them."""
    name = next(name for name in NAMES if type(guide) is GUIDES[name])
    alone = tiny_guide(name)
    alone.generator, alone.nonempty, alone.whole_units = guide.generator, guide.nonempty, guide.whole_units

    def part(values: Tensor) -> Tensor:
        return values.unflatten(0, (2, -1))[aspect]

    for module in ("head", "joint"):
        if hasattr(alone, module):
            _set(getattr(alone, module), *(part(getattr(getattr(guide, module), key)) for key in ("weight", "bias")))
    if name == "recurrent":
        for module in ("inputs", "direct"):
            own = getattr(guide.cell, module)
            _set(getattr(alone.cell, module), part(own.weight), part(own.bias))
        alone.cell.output = guide.cell.output
        for key in ("decision", "recurrent"):
            delattr(alone.cell, key)
            setattr(alone.cell, key, getattr(guide.cell, key))
    return alone


def _set(layer: torch.nn.Linear, weight: Tensor, bias: Tensor) -> None:
    del layer.weight, layer.bias
    layer.weight, layer.bias = weight, bias  # type: ignore[assignment]


def of_both(model: RationaleModel, guide: RationaleGuide, batch: Batch) -> list[tuple[int, Exact]]:
    """Every row of the batch by enumeration, aspect after aspect, without rows whose target is unknown."""
    found = []
    assert batch.targets is not None
    for aspect in range(2):
        alone = copy.copy(model)
        alone = RationaleModel(model.encoder, model.likelihood, PRIORS.chains[aspect], float(model.kappa)).double()
        alone.nonempty = model.nonempty
        targets = torch.full_like(batch.targets, math.nan)
        targets[:, aspect] = batch.targets[:, aspect]
        tables = exact(alone, of_target(guide, aspect), replace(batch, targets=targets))
        known = (~batch.targets[:, aspect].isnan()).tolist()
        found += [(aspect, table) for table, rated in zip(tables, known, strict=True) if rated]
    return found


def masks_of(length: int, size: int) -> Tensor:
    """All masks of a text of so many words, padded, `(2^n, size)`."""
    return torch.nn.functional.pad(all_masks(length), (0, size - length))


def test_rows_are_the_known_targets_of_each_document() -> None:
    """Aspect after aspect, with one known target each; texts are read once."""
    rows = texts().by_aspect(2)
    assert rows.targets is not None
    assert rows.aspects is not None
    assert rows.aspects.tolist() == [0, 0, 1, 1]
    assert rows.lengths.tolist() == [5, 1, 5, 3]
    assert (~rows.targets.isnan()).sum(-1).tolist() == [1, 1, 1, 1]
    assert rows.targets.nan_to_num(0.0).sum(-1).tolist() == pytest.approx([0.9, 0.4, 0.1, 0.7])
    assert rows.texts.lengths[rows.owners].tolist() == rows.lengths.tolist()
    assert len(rows.texts) == 3
    assert len(texts(kind=None).by_aspect(2)) == 6


@pytest.mark.parametrize("nonempty", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_masks_priors_and_likelihoods_of_rows_are_those_of_each_target(name: str, nonempty: bool) -> None:
    """Terms of every mask: log q, log p(z) and log p(y | x, z), and gradients of the objective in all parameters."""
    model, guide, batch = two_targets(), two_heads(name), texts()
    if nonempty and not guide.can_be_nonempty():
        return
    model.nonempty = guide.nonempty = nonempty
    rows = batch.by_aspect(2)
    q, p = guide.posterior(rows).discrete(), model.mask_prior(rows, torch.float64)
    total = wanted = torch.zeros((), dtype=torch.float64)
    for row, (_, table) in enumerate(of_both(model, guide, batch)):
        length = int(rows.lengths[row])
        z = masks_of(length, 5)[:, None].expand(-1, len(rows), -1)
        z = torch.where(torch.arange(len(rows))[:, None] == row, z, q.mode.detach())
        with torch.no_grad():
            joint = log_joint(model, rows, z)[:, row]
        some = table.p.log_probs > -1e6
        log_q, log_p = q.log_prob(z)[:, row], p.log_prob(z)[:, row]
        torch.testing.assert_close(log_q[some], table.q.log_probs[some])
        torch.testing.assert_close(log_p[some], table.p.log_probs[some])
        known = (table.kappa * table.log_likelihood + table.p.log_probs)[some]
        torch.testing.assert_close(joint[some], known.detach())
        total = total + (log_q.exp() * (joint - log_q))[some].sum()
        wanted = wanted + table.objective(1.0)
    torch.testing.assert_close(total, wanted)
    parameters = [p for p in guide.parameters() if p.requires_grad]
    mine = torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
    theirs = torch.autograd.grad(wanted, parameters, allow_unused=True)
    for one, other in zip(mine, theirs, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ["chain", "independent", "recurrent"])
def test_objective_of_a_batch_adds_up_its_rated_aspects(name: str) -> None:
    """Value and gradient of the estimate, on average over many copies, are those of the tables."""
    model, guide = two_targets(), two_heads(name)
    batch = texts()
    copies = 500
    with local_parameters():
        torch.manual_seed(0)
        estimate = MaskELBO("muprop", 4).estimate(model, guide, batch.by_aspect(2).repeated(copies))
    tables = [table for _, table in of_both(model, guide, batch)]
    wanted = torch.stack([table.objective(1.0) for table in tables])
    found = estimate.objective(1.0).view(copies, len(tables))
    error = found.std(0) / copies**0.5
    assert bool(((found.mean(0) - wanted).abs() < 5 * error + 1e-9).all())
    own = [guide.head.weight] if name != "recurrent" else [guide.cell.direct.weight]
    mine = torch.autograd.grad(-estimate.surrogate / copies, own)[0]
    theirs = torch.autograd.grad(wanted.sum(), own)[0]
    torch.testing.assert_close(mine, theirs, atol=0.1 * float(theirs.abs().max()), rtol=0.2)


def test_an_ordinary_batch_is_estimated_row_by_row() -> None:
    """The objective makes rows itself, and unrated aspects have none."""
    model, guide = two_targets(), two_heads("chain")
    estimate = MaskELBO("rloo", 2).estimate(model, guide, texts())
    tables = [table for _, table in of_both(model, guide, texts())]
    kl = [(t.q.probs * (t.q.log_probs - t.p.log_probs)).sum() for t in tables]
    torch.testing.assert_close(estimate.kl, torch.stack(kl).detach())
    entropy = [-(t.q.probs * t.q.log_probs).sum() for t in tables]
    torch.testing.assert_close(estimate.entropy, torch.stack(entropy).detach())


@pytest.mark.parametrize("sentences", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_programs_have_a_plate_of_aspects(name: str, sentences: bool) -> None:
    """Sites of shape (aspects, documents), whose log probabilities are those of rows; unrated ones count nothing."""
    model, guide, batch = two_targets(), two_heads(name), texts()
    guide.whole_units = sentences
    batch = in_sentences(batch) if sentences else batch
    guide_trace = poutine.trace(guide).get_trace(batch)
    z: Any = guide_trace.nodes["z"]["value"]
    trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(batch)
    assert z.shape == (2, 3, 5)
    sites: dict[str, Any] = dict(trace.nodes)
    assert sites["z"]["fn"].batch_shape == sites["y"]["fn"].batch_shape == (2, 3)
    assert "aspects" in trace.format_shapes()
    rows = batch.by_aspect(2)
    assert batch.targets is not None
    kept = ~(batch.targets.T.isnan())
    hard = z[kept].detach()
    torch.testing.assert_close(trace.log_prob_sum(), log_joint(model, rows, hard).sum())
    torch.testing.assert_close(guide_trace.log_prob_sum(), guide.posterior(rows).log_prob(z[kept]).sum())
    free: dict[str, Any] = dict(poutine.trace(model).get_trace(batch.without_targets()).nodes)
    assert free["y"]["value"].shape == (2, 3, 2)


def test_members_have_the_plates_of_one_fit() -> None:
    """Model and guide of an ensemble go together on an ordinary batch; an unrated target counts nothing."""
    models, guides, batch = [two_targets(), two_targets()], [two_heads("chain"), two_heads("independent")], texts()
    model, guide = EnsembleModel(models), MixtureGuide(guides)
    guide_trace = poutine.trace(guide).get_trace(batch)
    trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(batch)
    z: Tensor = cast(Any, guide_trace.nodes["z"]["value"])
    rows = batch.by_aspect(2)
    assert z.shape == (2, 3, 5)
    assert batch.targets is not None
    hard = z[~batch.targets.T.isnan()]
    torch.testing.assert_close(guide_trace.log_prob_sum(), guide.posterior(rows).log_prob(hard).sum())
    torch.testing.assert_close(trace.log_prob_sum(), log_joint(model, rows, hard).sum())


def test_pyros_own_elbo_agrees() -> None:
    """Many particles of `Trace_ELBO` on the program with both plates."""
    model, guide, batch = two_targets(), two_heads("independent"), texts()
    with local_parameters():
        torch.manual_seed(1)
        elbo = pyro.infer.Trace_ELBO(500, max_plate_nesting=2, vectorize_particles=True)
        loss = elbo.loss(model, guide, batch)
    wanted = sum(float(table.objective(1.0).detach()) for _, table in of_both(model, guide, batch))
    assert -loss == pytest.approx(wanted, abs=0.6)


def test_price_of_shared_words_is_exact() -> None:
    """The expected number of words that both masks keep, by all pairs of masks, and its part in the objective."""
    model, guide, batch = two_targets(), two_heads("chain"), texts(kind=None)
    rows = batch.by_aspect(2)
    q = guide.posterior(rows)
    total = 0.0
    for document in range(3):
        first, second = ({0: document, 1: 3 + document}[a] for a in range(2))
        z = masks_of(int(batch.lengths[document]), 5)
        probabilities = [q.log_prob(z[:, None].expand(-1, 6, -1))[:, row].exp() for row in (first, second)]
        total += float(torch.einsum("i,j,it,jt->", *probabilities, z, z).detach())
    assert float(shared_words(q, rows).detach()) == pytest.approx(total)
    known = texts()
    plain, dear = (make_objective("rloo", 2, 1.0, overlap=price) for price in (0.0, 3.0))
    torch.manual_seed(0)
    without = plain.estimate(model, guide, known).surrogate
    torch.manual_seed(0)
    with_price = dear.estimate(model, guide, known).surrogate
    shared = shared_words(guide.posterior(known.by_aspect(2)), known.by_aspect(2))
    assert float((with_price - without).detach()) == pytest.approx(3.0 * float(shared.detach()))
    with pytest.raises(ConfigError, match="no exact marginals"):
        shared_words(two_heads("recurrent").posterior(rows), rows)


def test_price_of_shared_words_follows_the_weights_of_documents() -> None:
    guide, plain = two_heads("chain"), texts(kind=None)
    each = [replace(plain, weights=torch.eye(3)[i]).by_aspect(2) for i in range(3)]
    heavy = replace(plain, weights=torch.tensor([2.0, 1.0, 0.5])).by_aspect(2)
    prices = [shared_words(guide.posterior(rows), rows) for rows in each]
    torch.testing.assert_close(shared_words(guide.posterior(heavy), heavy), 2 * prices[0] + prices[1] + 0.5 * prices[2])
    torch.testing.assert_close(sum(prices), shared_words(guide.posterior(plain.by_aspect(2)), plain.by_aspect(2)))


@pytest.mark.parametrize("name", NAMES)
def test_cost_and_objective_are_one_with_a_prior_for_each_target(name: str) -> None:
    """Equation (3), row by row, under p(z) and under what training charges."""
    model, guide = two_targets(), two_heads(name)
    rows = texts().by_aspect(2)
    terms = batch_terms(model, guide.posterior(rows), rows, 6)
    assert residual(terms, Setting.of(model, 1.0)).worst < 1e-9
    with model.constrained():
        setting = Setting.of(model, 1.0)
    assert residual(terms.under(setting.prior), setting).worst < 1e-9


def test_evidence_of_each_target() -> None:
    """log p(y | x) of every row by enumeration."""
    model, guide = two_targets(), two_heads("chain")
    rows = texts().by_aspect(2)
    found = enumerate_masks(model, rows)
    wanted = [table.p.log_probs + table.kappa * table.log_likelihood for _, table in of_both(model, guide, texts())]
    torch.testing.assert_close(found.evidence, torch.stack([row.logsumexp(0) for row in wanted]).detach())


def test_a_guide_that_reads_targets_sees_the_one_of_its_row() -> None:
    """q(z | x, y) of a row moves with its own target and with no other."""
    guide = two_heads("chain")
    guide.target = TargetContext(SPECS["regression"])
    guide.generator.context = torch.nn.Linear(4, 3, bias=False).double()
    batch = texts()
    assert batch.targets is not None
    other = replace(batch, targets=batch.targets + torch.tensor([0.0, 0.05]))
    before, after = (guide.posterior(b.by_aspect(2), see_target=True).mean for b in (batch, other))
    moved = (before - after).abs().sum(-1) > 1e-6
    assert moved.tolist() == [False, False, True, True]


