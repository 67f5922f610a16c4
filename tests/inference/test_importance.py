"""p(z | x, y) by importance resampling, held against tables of all masks."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_rationale.errors import ConfigError
from pyro_rationale.inference.posterior.evidence import all_masks
from pyro_rationale.inference.posterior.importance import WeightedMasks, exact_draws, importance_posterior
from pyro_rationale.inference.posterior.log_joint import CachedLogJoint, log_joint
from pyro_rationale.models import RationaleModel
from tests.support.grids import each_value
from tests.support.oracle import Oracle, chi_square_z
from tests.support.tiny import LENGTHS, SPECS, exact, texts, tiny_guide, tiny_model

SAMPLES = 20_000


def posteriors(model: RationaleModel, kind: str) -> list[Oracle]:
    """p(z | x, y) of each document without padding."""
    found = exact(model, tiny_guide("independent"), texts(kind=kind))
    return [Oracle((one.p.log_probs + one.kappa * one.log_likelihood).detach()) for one in found]


@pytest.mark.parametrize("kind", SPECS)
def test_the_scorer_agrees_with_the_oracle_and_with_the_weights_of_the_model(kind: str) -> None:
    model = tiny_model(kind, kappa=3.0).eval()
    batch = texts(kind=kind, padding=2)
    scorer = CachedLogJoint(model, batch, rows=7)
    for row, one in enumerate(exact(model, tiny_guide("independent"), texts(kind=kind))):
        z = torch.nn.functional.pad(one.p.masks, (0, 7 - one.p.n))[:, None].expand(-1, 3, -1)
        expected = one.p.log_probs + one.kappa * one.log_likelihood.detach()
        torch.testing.assert_close(scorer(z)[:, row], expected)
    z = model.prior.distribution(batch.lengths, batch.tokens.shape[1], torch.float64).sample((40,))
    with torch.no_grad():
        torch.testing.assert_close(scorer(z), log_joint(model, batch, z))
        torch.testing.assert_close(
            scorer(z[None, :5])[0], log_joint(model, batch, z[:5])
        )  # any leading dimensions, and from memory


def test_the_scorer_reads_each_mask_once_and_forgets_when_it_holds_too_much() -> None:
    batch = texts()
    model = tiny_model().eval()
    scorer = CachedLogJoint(model, batch)
    z = all_masks(0, 32, 5, torch.zeros((), dtype=torch.float64))[:, None] * batch.mask
    first = scorer(z)
    assert scorer.read == sum(2**length for length in LENGTHS)
    assert torch.equal(first, scorer(z))
    assert scorer.read == sum(2**length for length in LENGTHS)
    forgetful = CachedLogJoint(model, batch, remember=10)
    for _ in range(2):
        torch.testing.assert_close(torch.cat([forgetful(part) for part in z.split(5)]), first)
    assert forgetful.read > scorer.read
    assert len(forgetful._known) <= 5 * len(LENGTHS)


def test_a_scorer_needs_targets_and_enumeration_short_documents() -> None:
    with pytest.raises(ValueError, match="targets"):
        CachedLogJoint(tiny_model(), texts(kind=None))
    with pytest.raises(ConfigError, match="12 words, got a document of 13"):
        exact_draws(CachedLogJoint(tiny_model(), texts((13, 2, 1))), 5)


@each_value("kind,name", list(SPECS), ["chain", "independent", "relaxed", "recurrent"])
def test_resampled_marginals_are_those_of_the_posterior(kind: str, name: str) -> None:
    model, batch = tiny_model(kind, kappa=2.0).eval(), texts(kind=kind, padding=1)
    q = tiny_guide(name).posterior(batch).discrete()
    found = importance_posterior(CachedLogJoint(model, batch), q, SAMPLES, rows=9000)
    assert found.masks.shape == (SAMPLES, 3, 6)
    for row, oracle in enumerate(posteriors(model, kind)):
        n = oracle.n
        off = (found.mean[row, :n] - oracle.mean) / found.error[row, :n]
        assert float(off.abs().max()) < 4.5
        assert float(found.mean[row, n:].abs().sum()) == 0
        spread = (found.log_weights[:, row] - found.log_evidence[row]).exp().std() / SAMPLES**0.5
        assert abs(float(found.log_evidence[row] - oracle.log_z)) < 4.5 * float(spread)
    assert bool(((found.ess >= 1) & (found.ess <= SAMPLES)).all())
    torch.testing.assert_close(found.weights.sum(0), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("how", ["resampled", "exact"])
def test_drawn_masks_are_of_the_posterior(how: str) -> None:
    model, batch = tiny_model(kappa=2.0).eval(), texts(padding=1)
    scorer = CachedLogJoint(model, batch)
    if how == "exact":
        drawn = exact_draws(scorer, 6000).double()
    else:
        q = tiny_guide("chain").posterior(batch).discrete()
        drawn = importance_posterior(scorer, q, 400_000).resample(6000).double()
    assert float(drawn[:, ~batch.mask].sum()) == 0
    for row, oracle in enumerate(posteriors(model, "regression")[:2]):
        assert chi_square_z(oracle, drawn[:, row, : oracle.n]) < 4


def test_equal_weights_give_plain_averages() -> None:
    masks = torch.tensor([[[1, 0]], [[1, 1]], [[0, 0]], [[1, 0]]]).bool()
    found = WeightedMasks(masks, torch.full((4, 1), -7.0, dtype=torch.float64))
    torch.testing.assert_close(found.mean, torch.tensor([[0.75, 0.25]], dtype=torch.float64))
    torch.testing.assert_close(found.ess, torch.tensor([4.0], dtype=torch.float64))
    torch.testing.assert_close(found.error[0, 0], torch.tensor(math.sqrt(0.75 * 0.25 / 4), dtype=torch.float64))
    assert found.resample(3).shape == (3, 1, 2)
