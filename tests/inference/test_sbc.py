"""Simulation-based calibration: right samplers pass, wrong ones are caught, by the statistics that can catch them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from pyro_rationale.errors import ConfigError
from pyro_rationale.inference.posterior.gibbs import gibbs_posterior
from pyro_rationale.inference.posterior.importance import exact_draws, importance_posterior
from pyro_rationale.inference.posterior.log_joint import CachedLogJoint
from pyro_rationale.inference.posterior.sbc import (
    FACTORS,
    Sampler,
    Verdict,
    judge,
    kappa_power,
    ranks_of,
    sbc_ranks,
    simulate,
    tilted_positions,
    uniform_band,
)
from tests.support.tiny import SPECS, replicate, texts, tiny_model

DRAWS = 49
KAPPA = {"regression": 3.0, "binary": 1.0, "multiclass": 1.0, "ordinal": 1.0}


def exactly(scorer: CachedLogJoint) -> Tensor:
    return exact_draws(scorer, DRAWS)


def from_prior(scorer: CachedLogJoint) -> Tensor:
    return scorer.prior.sample((DRAWS,))


def too_sure(scorer: CachedLogJoint) -> Tensor:
    return exactly(CachedLogJoint(scorer.model, scorer.batch, scorer.kappa * 6.0))


def too_unsure(scorer: CachedLogJoint) -> Tensor:
    return exactly(CachedLogJoint(scorer.model, scorer.batch, scorer.kappa / 6.0))


def resampled(scorer: CachedLogJoint) -> Tensor:
    return importance_posterior(scorer, scorer.prior, 4000).resample(DRAWS)


def walked(scorer: CachedLogJoint) -> Tensor:
    return gibbs_posterior(scorer, chains=7, draws=DRAWS // 7, warmup=8, thin=4).masks.flatten(0, 1)


def verdicts(sampler: Sampler, kind: str = "regression", copies: int = 200) -> dict[str, Verdict]:
    batch = replicate(texts(kind=kind, padding=1), copies)
    ranks = sbc_ranks(tiny_model(kind).eval(), batch, sampler, KAPPA[kind]).ranks
    return {name: judge(value, DRAWS) for name, value in ranks.items()}


@pytest.mark.parametrize("kind", SPECS)
def test_exact_draws_pass(kind: str) -> None:
    found = verdicts(exactly, kind)
    assert set(found) == {"words kept", "changes", "first word", "last word", "some word", "log likelihood"}
    assert min(verdict.p for verdict in found.values()) > 0.005
    assert sum(verdict.uniform for verdict in found.values()) >= 5


@pytest.mark.parametrize("sampler", [resampled, walked])
def test_resampled_and_walked_draws_pass(sampler: Sampler) -> None:
    assert min(verdict.p for verdict in verdicts(sampler, copies=100).values()) > 0.005


def test_a_sampler_that_returns_the_prior_is_caught_by_the_likelihood_and_by_nothing_else() -> None:
    found = verdicts(from_prior)
    likelihood = found.pop("log likelihood")
    assert not likelihood.uniform
    assert likelihood.p < 0.001
    assert min(verdict.p for verdict in found.values()) > 0.005


@pytest.mark.parametrize("sampler", [too_sure, too_unsure])
def test_wrong_confidence_is_caught(sampler: Sampler) -> None:
    found = verdicts(sampler)["log likelihood"]
    assert not found.uniform
    assert found.p < 0.001
    drift = float(found.difference.mean())  # draws that fit too well put the truth below them
    assert drift > 0.05 if sampler is too_sure else drift < -0.05


def test_ranks_break_ties_at_random() -> None:
    truth = torch.ones(20_000)
    drawn = torch.tensor([0.0, 1.0, 1.0, 2.0])[:, None].expand(-1, len(truth))
    counts = torch.bincount(ranks_of(truth, drawn), minlength=5)
    assert counts[[0, 4]].tolist() == [0, 0]
    assert stats.chisquare(counts[1:4].numpy()).pvalue > 1e-4
    assert ranks_of(torch.tensor([1.5]), torch.tensor([[1.0], [2.0], [0.0]])).tolist() == [2]


def test_ranks_of_a_constant_are_uniform() -> None:
    ranks = ranks_of(torch.zeros(20_000), torch.zeros(9, 20_000))
    assert stats.chisquare(torch.bincount(ranks, minlength=10).numpy()).pvalue > 1e-4


def fresh(number: int, draws: int, sets: int) -> Iterator[Tensor]:
    random = np.random.default_rng(77)
    return (torch.from_numpy(random.integers(0, draws + 1, number)) for _ in range(sets))


@pytest.mark.parametrize(("number", "draws"), [(100, 19), (600, 49)])
def test_the_band_holds_95_percent_of_the_right_curves(number: int, draws: int) -> None:
    found = [judge(ranks, draws) for ranks in fresh(number, draws, 1500)]
    inside = [bool(((v.difference >= v.low - 1e-12) & (v.difference <= v.high + 1e-12)).all()) for v in found]
    assert inside == [v.uniform for v in found]
    assert inside == [v.p > 0.05 or v.uniform for v in found]
    share = float(np.mean(inside))
    assert abs(share - 0.95) < 4 * (0.95 * 0.05 / 1500) ** 0.5 + 0.008  # and the band's own simulation
    assert abs(float(np.mean([v.p < 0.5 for v in found])) - 0.5) < 0.08


def test_the_band_s_probabilities_are_binomial() -> None:
    band = uniform_band(40, 9)
    expected = stats.binom.cdf(np.arange(41), 40, np.arange(1, 10)[:, None] / 10)
    np.testing.assert_allclose(band.below, expected, atol=1e-12)


def test_simulated_ratings_have_the_noise_of_kappa_and_the_gaps_of_the_data() -> None:
    model, batch = tiny_model().eval(), replicate(texts(), 3000)
    z, simulated = simulate(model, batch, kappa=4.0)
    assert batch.targets is not None
    assert simulated.targets is not None
    assert torch.equal(simulated.targets.isnan(), batch.targets.isnan())
    with torch.no_grad():
        errors = simulated.targets - model.encoder(batch.tokens, z, batch.lengths)
    known = errors[~errors.isnan()]
    assert abs(float(known.std()) / 0.25 - 1) < 4 / (2 * len(known)) ** 0.5  # sigma .5 / sqrt(4)
    prior = model.prior.distribution(batch.lengths, 5, torch.float64)
    deviation = (prior.mean[0] * (1 - prior.mean[0]) / 3000).sqrt()
    assert float(((z[::3].mean(0) - prior.mean[0]) / deviation).abs().max()) < 4.5


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_classes_are_simulated_at_kappa_1_only(kind: str) -> None:
    model, batch = tiny_model(kind, kappa=2.0).eval(), texts(kind=kind)
    with pytest.raises(ConfigError, match="--kappa 1"):
        simulate(model, batch)
    assert batch.targets is not None
    _, simulated = simulate(model, batch, kappa=1.0)
    assert simulated.targets is not None
    assert simulated.targets.shape == batch.targets.shape
    assert simulated.targets.dtype == batch.targets.dtype


# How wrong kappa may be: held against a mask's residual that is Normal with variance 1 / kappa, which has closed forms.

KAPPA_OF_RESIDUALS = 5.0


def residual_likelihoods(number: int, factor: float, seed: int) -> tuple[Tensor, Tensor]:
    """Log likelihoods of true residuals `(N,)`, and of draws with kappa too large by a factor, `(L, N)`."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(DRAWS + 1, number, generator=generator, dtype=torch.float64) / KAPPA_OF_RESIDUALS**0.5
    noise[1:] /= factor**0.5
    return -0.5 * noise[0].square(), -0.5 * noise[1:].square()


def test_positions_under_a_wrong_kappa_are_those_of_draws_with_it() -> None:
    torch.manual_seed(3)
    tilted = tilted_positions(*residual_likelihoods(3000, 1.0, 0), KAPPA_OF_RESIDUALS)
    ranks = (tilted[len(FACTORS) // 2] * (DRAWS + 1)).long()
    assert stats.chisquare(torch.bincount(ranks, minlength=DRAWS + 1).numpy()).pvalue > 1e-4
    for factor, positions in zip(FACTORS, tilted, strict=True):  # P(F(1, 1) > 1 / c), by its arc tangent
        exact = 1.0 - 2.0 / np.pi * np.arctan(factor**0.5)
        off = float(positions.mean()) - exact
        if 0.5 <= factor <= 2.0:
            assert abs(off) < 4 * 0.3 / 3000**0.5, factor
        else:  # few draws carry the weight then: the error looks smaller than it is
            assert abs(float(positions.mean()) - 0.5) < abs(exact - 0.5) + 0.02, factor


def test_positions_of_equal_likelihoods_do_not_move() -> None:
    tilted = tilted_positions(torch.zeros(50), torch.zeros(DRAWS, 50), 2.0)
    torch.testing.assert_close(tilted, tilted[:1].expand_as(tilted))
    assert kappa_power(tilted, DRAWS, 100).above is None


def test_an_error_in_kappa_is_caught_as_often_as_foretold() -> None:
    number, studies = 250, 40
    power = kappa_power(tilted_positions(*residual_likelihoods(number, 1.0, 1), KAPPA_OF_RESIDUALS), DRAWS)
    assert abs(power.chance[len(FACTORS) // 2] - 0.05) < 0.04
    assert power.above is not None
    assert power.below is not None
    assert 1.2 < power.above < 2.5
    assert 0.4 < power.below < 0.85
    for factor in (power.above, power.below):
        sets = [ranks_of(*residual_likelihoods(number, factor, 10 + i)) for i in range(studies)]
        caught = float(np.mean([not judge(ranks, DRAWS).uniform for ranks in sets]))
        assert caught >= 0.7  # of .9 and the noise of both
    missed = [ranks_of(*residual_likelihoods(number, power.above**0.25, 90 + i)) for i in range(studies)]
    assert np.mean([not judge(ranks, DRAWS).uniform for ranks in missed]) < 0.5


def test_a_thousand_documents_show_a_kappa_off_by_half() -> None:
    tilted = tilted_positions(*residual_likelihoods(1000, 1.0, 2), KAPPA_OF_RESIDUALS)
    power = kappa_power(tilted, DRAWS, 100)
    assert power.above is not None
    assert power.above < 1.5
    assert not judge(ranks_of(*residual_likelihoods(1000, 1.5, 3)), DRAWS).uniform


def test_a_model_s_ranks_foretell_those_under_a_wrong_kappa() -> None:
    model, batch, kappa = tiny_model().eval(), replicate(texts(), 100), 20.0
    torch.manual_seed(4)
    foretold = sbc_ranks(model, batch, exactly, kappa).tilted
    factor = 2.0
    torch.manual_seed(4)  # the same true masks and ratings
    found = sbc_ranks(model, batch, lambda s: exactly(CachedLogJoint(s.model, s.batch, factor * s.kappa)), kappa)
    positions = found.ranks["log likelihood"].double() / DRAWS
    expected = foretold[FACTORS.index(factor)].mean()
    assert expected < 0.47
    assert abs(float(positions.mean() - expected)) < 0.045  # ties of short documents are broken anew
