"""Equation (3) of the design, term by term against enumeration, and what its residual catches."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.distributions import ChainPrior, LinearChain, MaskDistribution
from pyro_rationale.fitted import FittedModel
from pyro_rationale.guides import GUIDES
from pyro_rationale.inference.objectives.decomposition import (
    Setting,
    Terms,
    batch_terms,
    cost_from_objective,
    direct_cost,
    objective,
    residual,
    stepwise_kl,
)
from pyro_rationale.inference.terms import best_terms
from pyro_rationale.models import RationaleModel
from tests.support.grids import each_pair, each_value
from tests.support.oracle import changes
from tests.support.tiny import LENGTHS, SPECS, WORDS, Exact, exact, replicate, texts, tiny_guide, tiny_model

EVERY = pytest.mark.parametrize("name", list(GUIDES))
EVERY_WITH_A_KIND = each_value("name,kind", list(GUIDES), list(SPECS))
CLOSED = pytest.mark.parametrize("name", [name for name in GUIDES if name != "recurrent"])
COPIES = 4_000


def terms_of(name: str, model: RationaleModel, batch: Batch, samples: int = 4) -> Terms:
    return batch_terms(model, tiny_guide(name).posterior(batch), batch, samples)


def exact_terms(document: Exact, model: RationaleModel, target: Tensor) -> dict[str, Tensor]:
    """The terms from tables of all masks."""
    q, p = document.q, document.p
    if isinstance(Setting.of(model, 1.0).sigma, float):
        errors = (document.outputs - target).square().nansum(-1)
    else:
        errors = -document.log_likelihood
    known = 1 if target.dim() == 0 else int((~target.isnan()).sum())
    return {
        "error": q.expect(errors),
        "kept": q.expect(q.masks.sum(-1)),
        "changes": q.expect((q.masks[:, 1:] - q.masks[:, :-1]).abs().sum(-1)),
        "log_likelihood": q.expect(document.log_likelihood),
        "kl": q.kl(p),
        "entropy": q.entropy,
        "log_normalizer": p.log_z,
        "rated": torch.tensor(float(known)),
        "words": torch.tensor(float(q.n)),
    }


@EVERY_WITH_A_KIND
def test_every_term_against_enumeration(name: str, kind: str) -> None:
    """Within 4 standard errors where it is an average of draws, equal where it is exact."""
    model, guide, batch = tiny_model(kind, kappa=6.0), tiny_guide(name), texts(LENGTHS, 2, kind)
    many = replicate(batch, COPIES)
    found = batch_terms(model, guide.posterior(many), many, 1)
    assert batch.targets is not None
    for row, document in enumerate(exact(model, guide, batch)):
        for term, expected in exact_terms(document, model, batch.targets[row]).items():
            values = getattr(found, term)[row :: len(batch)]
            distance = abs(float(values.mean() - expected.detach()))
            averaged = term in ("error", "log_likelihood") or name == "recurrent"
            assert distance < (4.0 * float(values.std()) / math.sqrt(COPIES) if averaged else 0.0) + 1e-10, term


@each_pair("name,kind,kappa,dtype", list(GUIDES), list(SPECS), [1.0, 6.0], [torch.float64, torch.float32])
def test_both_sides_agree_on_every_document(name: str, kind: str, kappa: float, dtype: torch.dtype) -> None:
    bar = 1e-10 if dtype == torch.float64 else 1e-5
    model, batch = tiny_model(kind, kappa).to(dtype), texts(LENGTHS, 2, kind)
    guide = tiny_guide(name).to(dtype)
    found = batch_terms(model, guide.posterior(batch), batch, 4)
    apart = residual(found, Setting.of(model, 1.0))
    assert max(apart.mean, apart.worst) <= bar


@EVERY_WITH_A_KIND
def test_the_expected_cost_is_that_of_the_enumeration(name: str, kind: str) -> None:
    model, guide, batch = tiny_model(kind, 6.0), tiny_guide(name), texts(LENGTHS, 0, kind)
    setting = Setting.of(model, 1.0)
    many = replicate(batch, COPIES)
    found = batch_terms(model, guide.posterior(many), many, 1)
    assert batch.targets is not None
    for row, document in enumerate(exact(model, guide, batch)):
        if setting.sigma is None:
            losses = -document.log_likelihood
        else:
            losses = (document.outputs - batch.targets[row]).square().nansum(-1)
        expected = float(document.q.expected_cost(losses, *setting.lambdas).detach())
        for side in (direct_cost, cost_from_objective):
            values = side(found, setting)[row :: len(batch)]
            assert abs(float(values.mean()) - expected) < 4.0 * float(values.std()) / math.sqrt(COPIES)


@CLOSED
@pytest.mark.parametrize("tau", [0.0, 0.25, 1.0])
def test_the_objective_against_enumeration(name: str, tau: float) -> None:
    """With the reconstruction from the tables: what is left is exact."""
    model, guide, batch = tiny_model(kappa=6.0), tiny_guide(name), texts()
    found = terms_of(name, model, batch)
    documents = exact(model, guide, batch)
    likelihood = torch.stack([document.q.expect(document.log_likelihood) for document in documents]).detach()
    values = objective(replace(found, log_likelihood=likelihood), 6.0, tau)
    torch.testing.assert_close(values, torch.stack([d.objective(tau) for d in documents]).detach())


@CLOSED
def test_the_chain_rule_and_the_cross_energy_give_one_kl(name: str) -> None:
    batch = texts(padding=2)
    q = tiny_guide(name).posterior(batch).discrete()
    p = tiny_model().prior.distribution(batch.lengths, batch.tokens.shape[1], torch.float64)
    torch.testing.assert_close(stepwise_kl(q, p), best_terms(q, p, batch.mask.double()).kl)


def test_the_chain_rule_wants_a_chain() -> None:
    batch = texts()
    p = tiny_model().prior.distribution(batch.lengths, batch.tokens.shape[1], torch.float64)
    with pytest.raises(NotImplementedError, match="RecurrentMask is not a Markov chain"):
        stepwise_kl(tiny_guide("recurrent").posterior(batch), p)


@each_value(
    "name,field", list(GUIDES), ["error", "kept", "changes", "log_likelihood", "kl", "entropy", "log_normalizer"]
)
def test_a_wrong_term_shows_in_the_residual(name: str, field: str) -> None:
    """One part in a million in any of them, and the bar of float64 is missed."""
    model = tiny_model(kappa=6.0)
    found = terms_of(name, model, texts())
    wrong = replace(found, **{field: getattr(found, field) * (1.0 + 1e-6)})
    assert residual(wrong, Setting.of(model, 1.0)).mean > 1e-9


# Mistakes at the places where they would be made: the pair of sides must not share them.


def test_a_wrong_log_normalizer_of_the_prior_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    true = LinearChain._log_normalizer
    monkeypatch.setattr(LinearChain, "_log_normalizer", lambda self: true(self) * (1.0 + 1e-6))
    for name in GUIDES:
        model = tiny_model(kappa=6.0)
        assert residual(terms_of(name, model, texts()), Setting.of(model, 1.0)).mean > 1e-9, name


def wrong(function: Callable[[MaskDistribution], Tensor]) -> Callable[[MaskDistribution], Tensor]:
    return lambda q: function(q) * (1.0 + 1e-6)


@CLOSED
@pytest.mark.parametrize("part", ["entropy", "change", "mean"])
def test_a_wrong_moment_of_the_guide_shows(name: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = tiny_model(kappa=6.0), texts()
    kind = type(tiny_guide(name).posterior(batch).discrete())
    own = getattr(kind, part)
    patched = wrong(own) if part == "entropy" else property(wrong(own.fget))
    monkeypatch.setattr(kind, part, patched)
    assert residual(terms_of(name, model, batch), Setting.of(model, 1.0)).mean > 1e-9


@CLOSED  # the recurrent guide's draws are other ones in a wider batch
def test_padding_changes_nothing(name: str) -> None:
    model = tiny_model(kappa=6.0)
    plain, padded = (terms_of(name, model, texts(padding=padding)) for padding in (0, 3))
    for term in ("kept", "changes", "kl", "entropy", "log_normalizer", "rated", "words"):
        torch.testing.assert_close(getattr(plain, term), getattr(padded, term))


def test_a_batch_without_targets_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a batch with targets"):
        terms_of("chain", tiny_model(), texts(kind=None))


@EVERY
def test_another_prior_without_drawing_again(name: str) -> None:
    """`under` gives what a model with that prior gives on the same draws."""
    other = ChainPrior(0.7, 1.1)
    model, batch = tiny_model(kappa=6.0), texts()
    torch.manual_seed(1)
    found = terms_of(name, model, batch, 8)
    model.prior = other
    torch.manual_seed(1)
    expected = terms_of(name, model, batch, 8)
    changed = found.under(other)
    for term in ("kl", "log_normalizer", "entropy", "error"):
        torch.testing.assert_close(getattr(changed, term), getattr(expected, term))


# Beside the prior, the constraint of training.


@EVERY_WITH_A_KIND
def test_both_sides_agree_with_the_constraint_as_well(name: str, kind: str) -> None:
    """With p(z) alone, and with what training charges beside it."""
    model, batch = tiny_model(kind, 6.0), texts(LENGTHS, 2, kind)
    model.steering = ChainPrior(model.prior.alpha + 0.8, model.prior.gamma - 0.3)
    for context in (nullcontext(), model.constrained()):
        with context:
            found = terms_of(name, model, batch)
            apart = residual(found, Setting.of(model, 1.0))
            assert max(apart.mean, apart.worst) <= 1e-10


@CLOSED
@pytest.mark.parametrize("tau", [0.25, 1.0])
def test_training_is_the_objective_less_the_constraint(name: str, tau: float) -> None:
    """Up to log E_p[exp(-constraint)], by enumeration, which q has no part in."""
    model, batch = tiny_model(kappa=6.0), texts()
    model.steering = ChainPrior(model.prior.alpha + 0.8, model.prior.gamma - 0.3)
    assert (model.constraint.word, model.constraint.change) == pytest.approx((0.8, -0.3))
    torch.manual_seed(3)
    plain = objective(terms_of(name, model, batch), 6.0, tau)
    torch.manual_seed(3)
    with model.constrained():
        charged = objective(terms_of(name, model, batch), 6.0, tau)
    for row, document in enumerate(exact(model, tiny_guide(name), batch)):
        masks = document.q.masks
        nats = 0.8 * masks.sum(-1) - 0.3 * changes(masks)
        expected = document.q.expect(nats) + document.p.expect((-nats).exp()).log()
        torch.testing.assert_close(plain[row] - charged[row], expected.detach())


# A whole run.


def run(kind: str = "regression", name: str = "chain") -> tuple[FittedModel, list[Document]]:
    """A tiny run in float64, and three documents of its words."""
    words = [f"w{number}" for number in range(2, WORDS)]
    vocabulary = Vocabulary(words)
    assert len(vocabulary) == WORDS
    fitted = FittedModel(
        Config(), SPECS[kind], vocabulary, tiny_model(kind, 6.0), tiny_guide(name), torch.device("cpu")
    ).eval()
    batch = texts(kind=kind)
    assert batch.targets is not None
    documents = []
    for row, length in enumerate(batch.lengths.tolist()):
        tokens = tuple(f"w{number}" for number in batch.tokens[row, :length].tolist())
        targets = batch.targets[row].double().reshape(-1).tolist()
        documents.append(Document(str(row), " ".join(tokens), tokens, ((0, 1),) * length, tuple(targets)))
    return fitted, documents
