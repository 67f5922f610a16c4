"""Predictive distributions of ratings."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pyro_rationale.tasks import Mixture


def test_mixture_against_its_parts() -> None:
    mixture = Mixture(np.array([[0.0, 1.0], [2.0, 1.0]]), np.array([[1.0, 0.5], [1.0, 0.5]]), np.array([0.5, 0.5]))
    assert mixture.mean == pytest.approx([1.0, 1.0])
    assert mixture.sd == pytest.approx([math.sqrt(1 + 1), 0.5])
    # One Normal only: 1.6449 standard deviations either way.
    assert mixture.quantile(0.05)[1] == pytest.approx(1 - 0.5 * 1.6448536, abs=1e-6)
    assert mixture.quantile(0.5) == pytest.approx([1.0, 1.0], abs=1e-6)
    assert mixture.cdf(mixture.quantile(0.9)) == pytest.approx([0.9, 0.9], abs=1e-9)


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
