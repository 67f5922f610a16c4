"""Relaxed masks: what a sample looks like, and that nothing else is relaxed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pyro_rationale.distributions import IndependentMask, RelaxedMask
from tests.support.mask_families import BY_NAME

LENGTHS = torch.tensor([6, 4, 1])


def logits(seed: int = 0) -> Tensor:
    return BY_NAME["relaxed"].draw(seed)[0]


def test_only_the_sample_is_relaxed() -> None:
    law, discrete = RelaxedMask(logits(), LENGTHS, 0.3), IndependentMask(logits(), LENGTHS)
    assert law.has_rsample
    assert not law.discrete().has_rsample
    assert type(law.expand((2, 3)).discrete()) is IndependentMask
    assert law.expand((2, 3)).discrete().batch_shape == (2, 3)
    for twin in (discrete, law.discrete()):
        assert torch.equal(law.mean, twin.mean)
        assert torch.equal(law.entropy(), twin.entropy())
        assert torch.equal(law.mode, twin.mode)
        assert torch.equal(law.change, twin.change)


def test_soft_samples_follow_the_concrete_distribution() -> None:
    """P(z <= c) = sigmoid(temperature logit(c) - logits): Maddison et al. (2017), appendix B."""
    law = RelaxedMask(logits(), temperature=0.7)
    samples = law.rsample((20_000,))
    assert ((samples > 0) & (samples < 1)).all()
    for cut in (0.1, 0.5, 0.8):
        below = torch.sigmoid(0.7 * math.log(cut / (1 - cut)) - logits())
        z = ((samples <= cut).double().mean(0) - below) / (below * (1 - below) / 20_000).sqrt()
        assert z.abs().max() < 4.5


def test_a_low_temperature_hardens_samples() -> None:
    hard, soft = (RelaxedMask(logits(), temperature=value).sample((500,)) for value in (0.05, 5.0))
    assert ((hard - hard.round()).abs() < 0.01).double().mean() > 0.8
    assert ((soft - soft.round()).abs() < 0.01).double().mean() < 0.1


@pytest.mark.parametrize("straight_through", [False, True])
def test_gradients_pass_through_samples(straight_through: bool) -> None:
    """dz / dlogit = z (1 - z) / temperature at the soft sample, and none of it on padding."""
    parameters = logits().requires_grad_()
    torch.manual_seed(3)
    soft = RelaxedMask(parameters, LENGTHS, 0.5).rsample()
    torch.manual_seed(3)
    sample = RelaxedMask(parameters, LENGTHS, 0.5, straight_through).rsample()
    (gradient,) = torch.autograd.grad(sample.sum(), parameters)
    torch.testing.assert_close(gradient, soft * (1 - soft) / 0.5)
    assert gradient[1, 4:].eq(0).all()
    assert sample[1, 4:].eq(0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_straight_through_samples_are_exactly_binary(dtype: torch.dtype) -> None:
    law = RelaxedMask(logits().to(dtype).requires_grad_(), LENGTHS, 0.3, straight_through=True)
    samples = law.rsample((2000,))
    assert samples.requires_grad
    assert set(samples.unique().tolist()) == {0.0, 1.0}


def test_log_prob_is_linear_in_each_word() -> None:
    law = RelaxedMask(logits(), LENGTHS)
    low, high = (torch.zeros(3, 6, dtype=torch.float64) for _ in range(2))
    high[:, 0] = 1.0
    for share in (0.25, 0.9):
        torch.testing.assert_close(
            law.log_prob(low + share * (high - low)), (1 - share) * law.log_prob(low) + share * law.log_prob(high)
        )


def test_sample_gives_no_gradient_and_pyro_gets_one() -> None:
    law = RelaxedMask(logits().requires_grad_(), LENGTHS)
    assert not law.sample().requires_grad
    assert law().requires_grad
    parts = law.score_parts(law())
    assert parts.score_function == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_and_temperatures(dtype: torch.dtype) -> None:
    parameters = torch.tensor([-100.0, -20.0, 0.0, 20.0, 100.0], dtype=dtype, requires_grad=True)
    for temperature in (0.01, 100.0):
        samples = RelaxedMask(parameters, temperature=temperature).rsample((5000,))
        assert torch.isfinite(samples).all()
        (gradient,) = torch.autograd.grad(samples.sum(), parameters)
        assert torch.isfinite(gradient).all()


def test_a_zero_from_the_generator_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda shape, **kwargs: torch.zeros(shape, **kwargs))
    parameters = torch.zeros(4, requires_grad=True)
    samples = RelaxedMask(parameters, temperature=0.5).rsample()
    (gradient,) = torch.autograd.grad(samples.sum(), parameters)
    assert torch.isfinite(samples).all()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_temperatures_are_validated(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature above 0"):
        RelaxedMask(logits(), temperature=temperature)
