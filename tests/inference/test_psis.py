"""Pareto-smoothed weights: against ArviZ where there are no ties, on tails of known shape, and where nothing fits."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.stats import genpareto
from torch import Tensor

from pyro_rationale.inference.posterior.psis import (
    CONSTANT,
    FEW,
    INFINITE,
    NOTHING,
    TIES,
    Pareto,
    fit_pareto,
    psis,
    tail_size,
)

DOUBLE = torch.float64


def noise(draws: int, documents: int, scale: float = 1.0) -> Tensor:
    """Log weights without ties."""
    return torch.randn(draws, documents, dtype=DOUBLE) * scale


def column(*parts: tuple[float, int]) -> Tensor:
    """Log weights of one document, in random order, from (weight, how often)."""
    weights = torch.cat([torch.full((count,), weight, dtype=DOUBLE) for weight, count in parts])
    return weights[torch.randperm(len(weights))].log()[:, None]


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("draws", [25, 100, 1000, 5000])
def test_arviz_says_the_same_where_nothing_is_tied(draws: int, scale: float) -> None:
    arviz: Any = pytest.importorskip("arviz")
    if not hasattr(arviz, "psislw"):
        pytest.skip("ArviZ 1.x has no psislw")
    log_weights = noise(draws, 6, scale)
    theirs, shapes = arviz.psislw(log_weights.T.numpy().copy(), normalize=False)
    ours = psis(log_weights)
    torch.testing.assert_close(ours.k, torch.from_numpy(shapes), rtol=0, atol=1e-6)
    torch.testing.assert_close(ours.log_weights, torch.from_numpy(theirs).T, rtol=0, atol=1e-6)
    assert ours.reasons == (None,) * 6


@pytest.mark.parametrize("shape", [-0.5, 0.0, 0.3, 0.7, 1.2])
def test_the_shape_of_a_tail_is_found(shape: float) -> None:
    uniform = torch.rand(20_000, 50, dtype=DOUBLE)
    weights = 1 + (-torch.log(uniform) if shape == 0 else (uniform**-shape - 1) / shape)
    k = psis(weights.log()).k
    error = float(k.std()) / math.sqrt(50)
    drawn = 5 / (tail_size(20_000) + 10) * abs(1 - 2 * shape)  # what the ten made-up excesses do
    assert abs(float(k.mean()) - shape) < 4 * error + 2 * drawn


@pytest.mark.parametrize(("shape", "scale"), [(-0.4, 2.0), (0.2, 1e-3), (0.9, 50.0)])
def test_the_fit_recovers_a_pareto_distribution(shape: float, scale: float) -> None:
    excesses = torch.from_numpy(genpareto.ppf((torch.arange(4000) + 0.5).numpy() / 4000, shape, scale=scale))
    fit = fit_pareto(excesses)
    assert fit.k == pytest.approx(shape, abs=0.02)
    assert fit.sigma == pytest.approx(scale, rel=0.03)


@pytest.mark.parametrize("shape", [-0.7, 0.0, 1e-14, 0.4, 2.0])
def test_quantiles_are_those_of_scipy(shape: float) -> None:
    probability = torch.linspace(0.001, 0.999, 50, dtype=DOUBLE)
    expected = torch.from_numpy(genpareto.ppf(probability.numpy(), shape, scale=3.0))
    torch.testing.assert_close(Pareto(shape, 3.0).quantile(probability), expected, rtol=1e-9, atol=0)


def test_a_grid_point_at_zero_does_no_harm() -> None:
    # 110 excesses make a grid of 40 points, and with quartile = largest the third of them is b = 0.
    fit = fit_pareto(torch.full((110,), 1.0, dtype=DOUBLE))
    assert math.isfinite(fit.k)
    assert fit.k < 0
    assert fit.sigma > 0


def test_excesses_that_hardly_exceed_anything() -> None:
    fit = fit_pareto(torch.tensor([1e-312, 1e-312, 1e-310, 1.0, 2.0], dtype=DOUBLE))
    assert math.isfinite(fit.k)
    assert fit.k > 1
    assert fit.sigma > 0


def test_smoothed_weights_keep_order_and_scale() -> None:
    log_weights = noise(400, 3, 2.0)
    result = psis(log_weights)
    shifted = psis(log_weights + 1000)
    torch.testing.assert_close(shifted.k, result.k)
    torch.testing.assert_close(shifted.log_weights, result.log_weights + 1000)
    ordered, order = log_weights.sort(0)
    smoothed = result.log_weights.gather(0, order)
    assert bool((smoothed.diff(dim=0) >= 0).all())
    same = (smoothed - ordered).abs() < 1e-12
    assert bool(same[: -tail_size(400)].all())
    assert not bool(same[-tail_size(400) : -1].any())  # the largest may have been cut back to itself
    assert bool((smoothed[-1] <= ordered[-1]).all())


def test_each_document_is_by_itself() -> None:
    log_weights = torch.cat([noise(100, 2), column((1.0, 100)), noise(100, 1, 5.0)], 1)
    together = psis(log_weights)
    for place in range(4):
        alone = psis(log_weights[:, place : place + 1])
        assert float(alone.k) == float(together.k[place])
        assert torch.equal(alone.log_weights[:, 0], together.log_weights[:, place])
        assert alone.reasons[0] == together.reasons[place]


@pytest.mark.parametrize(
    ("log_weights", "k", "reason"),
    [
        (column((1.0, 1000)), 0.0, CONSTANT),
        (column((0.5, 900), (1.5, 100)), 0.0, CONSTANT),
        (column((1.0, 997), (1.01, 3)), 0.0, CONSTANT),  # a few above the ties that hardly matter
        (column((1.0, 997), (1000.0, 3)), math.inf, TIES),
        (column((1.0, 997), (3.0, 1), (5.0, 1), (1000.0, 1)), math.inf, TIES),
        (column((0.0, 996), (1.0, 4)), math.inf, TIES),
        (torch.zeros(1, 1), math.inf, FEW),
        (torch.zeros(20, 1), math.inf, FEW),
        (torch.full((50, 1), -math.inf), math.inf, NOTHING),
        (torch.tensor([[0.0]] * 99 + [[math.inf]]), math.inf, INFINITE),
    ],
)
def test_where_nothing_can_be_fitted_there_is_a_reason(log_weights: Tensor, k: float, reason: str) -> None:
    result = psis(log_weights)
    assert float(result.k) == k
    assert result.reasons == (reason,)
    assert torch.equal(result.log_weights, log_weights.double())


def test_ties_within_the_tail_are_no_obstacle() -> None:
    result = psis(column((1.0, 940), (2.0, 20), (3.0, 20), (4.0, 20)))
    assert result.reasons == (None,)
    assert float(result.k) < 0.5


def test_weights_that_differ_by_rounding_are_tied() -> None:
    exact = torch.cat([column((1.0, 950), (7.0, 50)), column((1.0, 997), (1000.0, 3))], 1)
    near = exact + 1e-13 * torch.randn(exact.shape, dtype=DOUBLE)
    assert psis(near).reasons == psis(exact).reasons == (None, TIES)
    torch.testing.assert_close(psis(near).k, psis(exact).k)


def test_draws_without_weight_take_no_part_in_the_fit() -> None:
    some = noise(300, 1)
    none = torch.full((100, 1), -math.inf, dtype=DOUBLE)
    result = psis(torch.cat([some, none]))
    assert result.reasons == (None,)
    assert torch.equal(result.log_weights[300:], none)
    size = tail_size(400)
    cutoff = some.max() + (some.sort(0).values[-size - 1, 0] - some.max())
    ordered = some.sort(0).values[-size:, 0]
    assert float(result.k) == pytest.approx(fit_pareto((ordered - some.max()).exp() - (cutoff - some.max()).exp()).k)


def test_weights_over_hundreds_of_nats() -> None:
    result = psis(noise(1000, 4, 300.0))
    assert torch.all(result.k > 5)
    assert bool(result.log_weights.isfinite().all())


def test_single_precision_is_read() -> None:
    log_weights = noise(200, 2).float()
    assert torch.equal(psis(log_weights).k, psis(log_weights.double()).k)


@pytest.mark.parametrize("bad", [torch.zeros(3), torch.zeros(0, 2), torch.tensor([[0.0], [math.nan]])])
def test_what_are_no_log_weights_is_refused(bad: Tensor) -> None:
    with pytest.raises(ValueError, match="expected log weights"):
        psis(bad)


def test_no_documents_at_all() -> None:
    result = psis(torch.zeros(7, 0))
    assert result.k.shape == (0,)
    assert result.log_weights.shape == (7, 0)
