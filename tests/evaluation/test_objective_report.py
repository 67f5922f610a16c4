"""Terms of the objective for the documents of a run, in either precision, and its figures in the middle of training."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.word_classes import Exclusion
from pyro_rationale.distributions import ChainPrior
from pyro_rationale.evaluation.objective_report import (
    all_terms,
    in_precision,
    iwae_bound,
    objective_terms,
    prior_masks,
)
from pyro_rationale.inference.objectives.decomposition import Setting, direct_cost, objective, residual
from pyro_rationale.training.validation import validate
from tests.inference.test_decomposition import EVERY, run
from tests.support.oracle import Oracle, charges, run_ends
from tests.support.tiny import LENGTHS, exact, texts


@EVERY
def test_a_run_in_either_precision(name: str) -> None:
    fitted, documents = run(name=name)
    single = in_precision(fitted, torch.float32)
    assert fitted.model.encoder.dtype == torch.float64  # the given one is left alone
    assert single.model.encoder.dtype == torch.float32
    buffers = [getattr(single.model, name) for name in ("kappa", "prior_fields", "steering_fields")]
    assert all(buffer.dtype == torch.float64 for buffer in buffers)
    assert in_precision(fitted, torch.float64) is fitted
    for some, bar in ((fitted, 1e-10), (single, 1e-5)):
        terms = all_terms(some, documents, 4)
        assert terms.words.tolist() == sorted(LENGTHS)
        assert residual(terms, Setting.of(some.model, 0.25)).worst <= bar


def test_terms_of_a_run_do_not_depend_on_the_batches_of_exact_parts() -> None:
    fitted, documents = run()
    state = torch.get_rng_state()
    one, three = (all_terms(fitted, documents, 2, batch_size=size) for size in (1, 3))
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(one.kl, three.kl)
    torch.testing.assert_close(one.kept, three.kept)


@torch.no_grad()
def test_the_iwae_bound_lies_between_the_elbo_and_the_evidence() -> None:
    fitted, documents = run()
    tables = exact(fitted.model, fitted.guide, texts())
    elbo = sum(float(table.q.expect(table.log_likelihood) - table.q.kl(table.p)) for table in tables) / 3
    evidence = sum(float(torch.logsumexp(t.p.log_probs + t.log_likelihood, 0)) for t in tables) / 3
    few, many = (iwae_bound(fitted, documents, samples) for samples in (8, 4096))
    assert elbo < few < evidence
    assert many == pytest.approx(evidence, abs=0.02)


@torch.no_grad()
def test_masks_of_the_prior_are_those_of_the_table() -> None:
    """Share of words and mean run over the documents together, with words that no run begins or ends with."""
    fitted, documents = run()
    fitted.model.prior = ChainPrior.from_rate_span(0.4, 3.0)
    fitted.vocabulary.excluded = Exclusion(words=frozenset([documents[0].tokens[0]]), punctuation=True)
    kept = runs = words = 0.0
    for document in documents:
        excluded = torch.tensor(fitted.vocabulary.excluded(document.tokens))
        table = Oracle.penalty(fitted.model.prior.alpha, fitted.model.prior.gamma, len(document.tokens))
        table = table.charging(charges(table.masks, excluded))
        kept, words = kept + float(table.expect(table.masks.sum(-1))), words + len(document.tokens)
        runs += float(table.expect(run_ends(table.masks).sum(-1))) / 2.0
    assert prior_masks(fitted, documents) == pytest.approx({"share": kept / words, "run": kept / runs})
    assert prior_masks(fitted, []) == {}


@EVERY
def test_figures_in_the_middle_of_training(name: str) -> None:
    """By hand from the terms: sigma from these errors; p(z) of the moment for the ELBO, the asked one for the cost."""
    fitted, documents = run(name=name)
    prior = ChainPrior(0.7, 1.1)
    fitted.model.prior = ChainPrior(0.4, -0.3)
    batches = BucketedBatches(documents, fitted.vocabulary, fitted.spec, 3)
    found = validate(fitted, batches, prior)
    terms = all_terms(fitted, documents, 1, batch_size=3)
    variance = float(terms.error.sum() / terms.rated.sum())
    fitted.model.load_state_dict({**fitted.model.state_dict(), "likelihood.sigma": torch.tensor(math.sqrt(variance))})
    again = all_terms(fitted, documents, 1, batch_size=3)
    assert found.elbo == pytest.approx(float(objective(again, 1.0, 1.0).mean()))
    gain = 6.0 / (2.0 * 0.5**2)  # of before: what training uses
    cost = terms.error + (0.7 * terms.kept + 1.1 * terms.changes) / gain
    assert found.expected_cost == pytest.approx(float(cost.mean()))


def test_excluded_words_are_part_of_the_cost() -> None:
    """Texts of nothing else, which keep a run of two ends: one word, in the text that has no other."""
    fitted, documents = run()
    fitted.vocabulary.excluded = Exclusion(words=frozenset(fitted.vocabulary.words))
    fitted.model.nonempty = fitted.guide.nonempty = True
    terms, setting = all_terms(fitted, documents, 3, batch_size=2), Setting.of(fitted.model, 1.0)
    assert residual(terms, setting).worst < 1e-10
    assert terms.ends is not None
    torch.testing.assert_close(terms.ends, torch.full((3,), 2.0, dtype=torch.float64))
    cost = objective_terms(fitted, fitted.encode(documents), 3)["cost"]
    shortest = terms.words.argmin()
    assert int(terms.words[shortest]) == 1
    torch.testing.assert_close(cost.min(), direct_cost(terms, setting)[shortest])
    assert float(cost.min()) > 60.0 / fitted.model.gain
