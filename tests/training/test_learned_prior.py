"""The prior by empirical Bayes: of all chains, none is nearer to the guide's masks."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pyro_rationale.data.document import Document
from pyro_rationale.data.word_classes import Exclusion
from pyro_rationale.distributions import AspectPriors, ChainPrior
from pyro_rationale.evaluation.objective_report import all_terms
from pyro_rationale.fitted import FittedModel
from pyro_rationale.storage import read_tensors, write_tensors
from pyro_rationale.training.history import StepRecord
from pyro_rationale.training.learned_prior import RunningPrior, RunningPriors, learn_prior
from tests.inference.test_decomposition import run
from tests.support.small_fit import fit_small, result, small, trainers, whole, without_manifest
from tests.support.tiny import LENGTHS

REQUESTED = ChainPrior.from_rate_span(0.3, 3.0)


def fitted_run(case: str) -> tuple[FittedModel, list[Document]]:
    fitted, documents = run(name="independent" if case == "independent" else "chain")
    if case == "nonempty":
        fitted.model.nonempty = fitted.guide.nonempty = True
    if case == "excluded":
        words = [word for word in fitted.vocabulary.words if word.startswith("w")]
        fitted.vocabulary.excluded = Exclusion(words=frozenset(words[::3]))
    if case == "sentences":
        documents = [replace(each, sentences=(0, 2, 3)) for each in documents]
        fitted.config = fitted.config.changed(unit="sentence")
        fitted.guide.whole_units = True
    return fitted, documents


@pytest.mark.parametrize("case", ["chain", "independent", "nonempty", "excluded", "sentences"])
def test_no_chain_is_nearer_to_the_masks(case: str) -> None:
    """KL(q || p) of a run's texts under the learned prior and those around it."""
    fitted, documents = fitted_run(case)
    many = documents * 400  # against one text with the masks of the prior asked for
    learn_prior(fitted, many, replace(REQUESTED, nonempty=case == "nonempty"))
    terms, prior = all_terms(fitted, documents, 1), fitted.model.prior
    assert terms.words.tolist() == ([1, 2, 3] if case == "sentences" else sorted(LENGTHS))
    assert prior.nonempty is (case == "nonempty")
    least = float(terms.under(prior).kl.mean())
    torch.testing.assert_close(terms.kl, terms.under(prior).kl)
    for alpha, gamma in ((0.1, 0.0), (-0.1, 0.0), (0.0, 0.1), (0.0, -0.1)):
        assert isinstance(prior, ChainPrior)
        other = replace(prior, alpha=prior.alpha + alpha, gamma=prior.gamma + gamma)
        assert float(terms.under(other).kl.mean()) > least


def test_the_running_prior_follows_the_masks() -> None:
    running = RunningPrior()
    for _ in range(5):
        prior = running.update(StepRecord(0.0, 0.2, 0.0, 8, 0.1))
    assert (prior.rate, prior.span) == pytest.approx((0.2, 4.0))


def test_a_target_that_no_text_of_a_step_rates_stays_where_it_is() -> None:
    """From the first step on: it neither falls to a share of nothing, nor do its later steps count for less."""
    asked = ChainPrior.from_rate_span(0.3, 5.0)
    running, alone = RunningPriors([RunningPrior(), RunningPrior()]), RunningPrior()
    priors = AspectPriors((asked, asked))
    unrated = StepRecord(0.0, 0.2, 0.0, 8, 0.1, rates=(0.2, math.nan), moves=(0.1, math.nan))
    for _ in range(30):
        priors = running.update(unrated, priors)
    assert priors.chains[1] == asked
    assert running.each[1] == RunningPrior()
    for rate in (0.1, 0.2):
        priors = running.update(replace(unrated, rates=(0.2, rate), moves=(0.1, 0.1)), priors)
        expected = alone.update(StepRecord(0.0, rate, 0.0, 8, 0.1))
    assert priors.chains[1] == expected
    assert priors.chains[0].rate == pytest.approx(0.2)


# Of whole fits.


def test_a_fit_learns_the_prior_and_keeps_the_constraint_apart() -> None:
    folder = whole()
    fitted, metrics = FittedModel.load(folder, "cpu"), result(folder)
    prior, constraint = fitted.model.prior, fitted.model.constraint
    assert metrics["prior"]["alpha"] == pytest.approx(prior.alpha)
    assert metrics["constraint"] == pytest.approx({"word": constraint.word, "change": constraint.change})
    assert (prior.alpha, prior.gamma) != pytest.approx((fitted.model.steering.alpha, fitted.model.steering.gamma))


def test_a_fixed_prior_is_the_one_asked_for(tmp_path: Path) -> None:
    fit_small(tmp_path / "run", prior="fixed")
    stored = result(tmp_path / "run")
    assert {name: stored["prior"][name] for name in stored["prior_asked"]} == pytest.approx(stored["prior_asked"])


def test_penalties_are_a_fixed_prior_unless_asked_otherwise() -> None:
    assert small().prior == "learned"
    assert small(lambda1=1e-3, lambda2=1e-3).prior == "fixed"
    assert small(lambda1=1e-3, lambda2=1e-3, prior="learned").prior == "learned"


def test_a_folder_of_an_older_version_has_no_constraint(tmp_path: Path) -> None:
    folder = without_manifest(shutil.copytree(whole(), tmp_path / "run"))
    tensors, facts = read_tensors(folder / "model.safetensors")
    steering = tensors.pop("model.steering_fields")
    write_tensors(folder / "model.safetensors", {**tensors, "model.prior_fields": steering}, facts)
    model = FittedModel.load(folder, "cpu").model
    assert [model.prior.alpha, model.prior.gamma] == steering.tolist()
    assert (model.constraint.word, model.constraint.change) == (0.0, 0.0)


def test_what_was_averaged_is_part_of_a_checkpoint(tmp_path: Path) -> None:
    make = trainers(tmp_path)
    one, other = make(), make()
    batch = next(iter(one.batches))
    for _ in range(3):
        one.train_step(batch)
    tensors, facts = one.state()
    other.restore(tensors, facts)
    assert other.learned == one.learned
    assert isinstance(other.learned, RunningPrior)
    assert other.learned.steps == 3
    assert other.fitted.model.prior == one.fitted.model.prior
    del facts["learned"]  # older checkpoints
    other.restore(tensors, facts)
    assert other.learned == RunningPrior()
