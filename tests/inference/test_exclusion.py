"""Objectives, estimators and equation (3) where some words are excluded."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pyro_rationale.data.batch import Batch
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.inference import MaskELBO
from pyro_rationale.inference.objectives.decomposition import Setting, Terms, batch_terms, residual
from pyro_rationale.inference.posterior.log_joint import log_joint
from pyro_rationale.models import RationaleModel
from tests.support.estimator_checks import DOCUMENTS, Objective, exact_gradient, gradients, z_scores
from tests.support.grids import each_value
from tests.support.oracle import padded
from tests.support.tiny import PRIOR, exact, texts, tiny_guide, tiny_model

NAMES = pytest.mark.parametrize("name", ["chain", "independent", "relaxed", "recurrent"])
EXCLUDED = torch.tensor([[0, 0, 2, 0, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
SHORT = torch.tensor([[0, 1, 0, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()


def batch_of(kind: str = "regression", padding: int = 0) -> Batch:
    return replace(texts(padding=padding, kind=kind), excluded=torch.nn.functional.pad(EXCLUDED, (0, padding)))


def pair(name: str, kind: str = "regression", nonempty: bool = False) -> tuple[RationaleModel, RationaleGuide]:
    model, guide = tiny_model(kind), tiny_guide(name)
    model.nonempty = guide.nonempty = nonempty
    return model.eval(), guide.eval()


@NAMES
@pytest.mark.parametrize("padding", [0, 3])
def test_guides_are_what_enumeration_says(name: str, padding: int) -> None:
    model, guide = pair(name)
    batch = batch_of(padding=padding)
    q = guide.posterior(batch)
    for row, document in enumerate(exact(model, guide, batch)):
        torch.testing.assert_close(q.mean[row], padded(document.q.mean, batch.tokens.shape[1]))
        torch.testing.assert_close(q.entropy()[row], document.q.entropy)


@NAMES
@pytest.mark.parametrize("kind", ["regression", "multiclass"])
@pytest.mark.parametrize("nonempty", [False, True])
def test_elbo_and_expected_cost_agree(name: str, kind: str, nonempty: bool) -> None:
    model, guide = pair(name, kind, nonempty and guide_may(name))
    batch = batch_of(kind, 2)
    terms, setting = batch_terms(model, guide.posterior(batch), batch, 4), Setting.of(model, 1.0)
    assert residual(terms, setting).worst < 1e-10
    torch.testing.assert_close(terms.under(setting.prior).kl, terms.kl)
    both = Terms.joined([terms, batch_terms(model, guide.posterior(batch_of(kind)), batch_of(kind), 4)])
    torch.testing.assert_close(both.under(setting.prior).log_normalizer[:3], terms.log_normalizer)
    for row, document in enumerate(exact(model, guide, batch)):
        torch.testing.assert_close(terms.log_normalizer[row], document.p.log_z)
        if name != "recurrent":
            torch.testing.assert_close(terms.kl[row], document.q.kl(document.p).detach())


def guide_may(name: str) -> bool:
    """Whether a guide can be conditioned on keeping a word."""
    return name in ("chain", "independent")


def test_terms_under_another_prior() -> None:
    model, guide = pair("chain")
    batch = batch_of()
    other = replace(PRIOR, alpha=PRIOR.alpha + 0.5)
    found = batch_terms(model, guide.posterior(batch), batch, 2).under(other)
    model.prior = other
    for row, document in enumerate(exact(model, guide, batch)):
        torch.testing.assert_close(found.kl[row], document.q.kl(document.p).detach())


@each_value("name,method", ["chain", "independent", "recurrent"], ["rloo", "muprop"])  # relaxed draws are biased
def test_estimators_are_unbiased(name: str, method: str) -> None:
    torch.manual_seed(0)
    model, guide = pair(name)
    objective: Objective = MaskELBO(method, 4, 0.3)
    documents = replace(DOCUMENTS, excluded=SHORT)
    found = gradients(objective, model, guide, 8_000, documents)
    assert float(z_scores(found, exact_gradient(model, guide, 0.3, documents)).abs().max()) < 4


def test_log_joint_and_repeated_documents() -> None:
    model, guide = pair("chain")
    batch = batch_of()
    twice = batch.repeated(2)
    torch.manual_seed(0)
    z = guide.posterior(twice).sample()
    joint = log_joint(model, twice, z)
    for row, document in enumerate(exact(model, guide, batch)):
        for copy in (row, row + len(batch)):
            index = document.p.index(z[copy, : document.p.n])
            expected = document.p.log_probs[index] + document.kappa * document.log_likelihood[index]
            torch.testing.assert_close(joint[copy], expected)
