"""Predictive distributions of ratings."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pyro_rationale.tasks import Mixture
from pyro_rationale.tasks._mixture import normal_cdf, normal_log_density


def test_mixture_against_its_parts() -> None:
    mixture = Mixture(np.array([[0.0, 1.0], [2.0, 1.0]]), np.array([[1.0, 0.5], [1.0, 0.5]]), np.array([0.5, 0.5]))
    assert mixture.mean == pytest.approx([1.0, 1.0])
    assert mixture.sd == pytest.approx([math.sqrt(1 + 1), 0.5])
    # One Normal only: 1.6449 standard deviations either way.
    assert mixture.quantile(0.05)[1] == pytest.approx(1 - 0.5 * 1.6448536, abs=1e-6)
    assert mixture.quantile(0.5) == pytest.approx([1.0, 1.0], abs=1e-6)
    assert mixture.cdf(mixture.quantile(0.9)) == pytest.approx([0.9, 0.9], abs=1e-9)


@pytest.mark.parametrize(("apart", "narrow", "even"), [(0.3, 0.5, 1.0), (5.0, 0.01, 1.0), (2.0, 1.0, 0.05)])
def test_quantiles_are_those_of_bisection(apart: float, narrow: float, even: float) -> None:
    random = np.random.default_rng(0)
    means, sds = apart * random.normal(size=(11, 20, 2)), narrow * np.exp(random.normal(size=(11, 20, 2)))
    mixture = Mixture(means, sds, random.dirichlet(even * np.ones(11), size=20).T)
    for probability in (0.001, 0.05, 0.5, 0.95):
        low, high = (means - 9 * sds).min(0), (means + 9 * sds).max(0)
        for _ in range(60):
            middle = (low + high) / 2
            below = mixture.cdf(middle) < probability
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        assert mixture.quantile(probability) == pytest.approx(low, abs=1e-8)


def test_interval_stays_on_the_scale() -> None:
    mixture = Mixture(np.array([[4.9], [0.9]]), np.array([[0.5], [0.1]]), np.array([0.5, 0.5]))
    assert mixture.interval_bounds(0.9, ((1.0, 5.0),)).tolist() == [[1.0, 5.0]]


def test_intervals_of_many_documents_at_once() -> None:
    random = np.random.default_rng(0)
    means, sds = random.normal(size=(7, 5, 2)), 0.1 + random.random((7, 5, 2))
    weights = random.dirichlet(np.ones(7), size=5).T
    together = Mixture(means, sds, weights)
    ranges = ((-1.0, 1.0), (-9.0, 9.0))
    for b in range(5):
        alone = Mixture(means[:, b], sds[:, b], weights[:, b])
        assert together.mean[b] == pytest.approx(alone.mean)
        assert together.sd[b] == pytest.approx(alone.sd)
        assert together.interval_bounds(0.8, ranges)[b] == pytest.approx(alone.interval_bounds(0.8, ranges))


def some() -> tuple[Mixture, NDArray[np.float64]]:
    """Mixtures of 4 Normals for 3 documents with 2 ratings, one component of which has no weight, and true ratings."""
    random = np.random.default_rng(1)
    weights = random.dirichlet(np.ones(4), size=3).T
    weights[2, 1] = 0.0
    mixture = Mixture(random.normal(size=(4, 3, 2)), 0.2 + random.random((4, 3, 2)), weights / weights.sum(0))
    return mixture, 2 * random.normal(size=(3, 2))


def test_scores_against_quadrature() -> None:
    mixture, truth = some()
    grid = np.linspace(-12.0, 12.0, 240_001)
    step = grid[1] - grid[0]
    for b in range(3):
        one = Mixture(mixture.means[:, b], mixture.sds[:, b], mixture.weights[:, b])
        for d in range(2):
            weights, places = one.weights, (grid[:, None] - one.means[:, d]) / one.sds[:, d]
            below = normal_cdf(places) @ weights
            density = np.exp(normal_log_density(places)) / one.sds[:, d] @ weights
            score = ((below - (grid >= truth[b, d])) ** 2).sum() * step
            assert mixture.crps(truth)[b, d] == pytest.approx(score, abs=2e-4)
            assert density.sum() * step == pytest.approx(1.0, abs=1e-6)
            assert mixture.log_prob(truth)[b, d] == pytest.approx(
                math.log(np.interp(truth[b, d], grid, density)), abs=1e-5
            )
            assert mixture.pit(truth)[b, d] == pytest.approx(np.interp(truth[b, d], grid, below), abs=1e-6)


def test_scores_of_one_normal() -> None:
    one = Mixture(np.array([[1.0]]), np.array([[2.0]]), np.ones(1))
    # Gneiting and Raftery (2007), equation 5, at the mean: sd (2 phi(0) - 1 / sqrt(pi)).
    assert one.crps(np.array([1.0]))[0] == pytest.approx(2.0 * (math.sqrt(2 / math.pi) - 1 / math.sqrt(math.pi)))
    assert one.log_prob(np.array([3.0]))[0] == pytest.approx(-0.5 - math.log(2 * math.sqrt(2 * math.pi)))
    assert one.log_prob(np.array([1e4]))[0] == pytest.approx(
        -0.5 * (9999 / 2) ** 2 - math.log(2 * math.sqrt(2 * math.pi))
    )


def test_the_true_distribution_has_the_best_scores() -> None:
    """Both scores are proper: another noise, or another mean, does worse on what was drawn from the mixture."""
    random = np.random.default_rng(2)
    truth = np.where(random.random(4000) < 0.3, random.normal(1.0, 0.5, 4000), random.normal(3.0, 1.0, 4000))[:, None]

    def scores(means: tuple[float, float], factor: float) -> tuple[float, float]:
        ones = np.ones((2, len(truth)))
        sds = factor * np.array([0.5, 1.0])
        components = [(np.array(v)[:, None] * ones)[..., None] for v in (means, sds)]
        mixture = Mixture(components[0], components[1], ones * [[0.3], [0.7]])
        return float(mixture.crps(truth).mean()), float(-mixture.log_prob(truth).mean())

    best = scores((1.0, 3.0), 1.0)
    for other in (scores((1.0, 3.0), 0.7), scores((1.0, 3.0), 1.4), scores((1.3, 3.3), 1.0)):
        assert best[0] < other[0]
        assert best[1] < other[1]


def test_components_that_are_not_normal() -> None:
    """The scores of a plug-in's components need no more than its distribution function."""
    normal, truth = some()
    laplace = replace(normal, standard_cdf=lambda x: normal_cdf(x))
    assert laplace.crps(truth) == pytest.approx(normal.crps(truth), abs=1e-6)
    assert laplace.log_prob(truth) == pytest.approx(normal.log_prob(truth), abs=1e-4)
    exact = replace(laplace, standard_log_density=normal_log_density)
    assert exact.log_prob(truth) == pytest.approx(normal.log_prob(truth))


def test_stacked_mixtures_are_those_that_they_are_made_of() -> None:
    mixture, truth = some()
    parts = [Mixture(mixture.means[:, b], mixture.sds[:, b], mixture.weights[:, b]) for b in range(3)]
    parts[0] = Mixture(parts[0].means[:1], parts[0].sds[:1], np.ones(1))  # of one mask
    together = Mixture.stack(parts)
    assert together.weights.shape == (4, 3)
    for b, part in enumerate(parts):
        assert together.sd[b] == pytest.approx(part.sd)
        assert together.crps(truth)[b] == pytest.approx(part.crps(truth[b]))
        assert together.log_prob(truth)[b] == pytest.approx(part.log_prob(truth[b]))
        assert together.interval_bounds(0.8, ((-1.0, 1.0),) * 2)[b] == pytest.approx(
            part.interval_bounds(0.8, ((-1.0, 1.0),) * 2)
        )
