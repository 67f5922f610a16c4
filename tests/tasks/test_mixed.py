"""Mixtures of what members say about the target, with weights and without."""

from __future__ import annotations

import pyro.distributions as dist
import pytest
import torch

from pyro_rationale.tasks import MixedDistribution


def test_weighted_normals_by_hand() -> None:
    parts = [dist.Normal(torch.tensor([0.0, 1.0]), 1.0), dist.Normal(torch.tensor([4.0, 1.0]), 2.0)]
    weights = torch.tensor([[0.75, 1.0], [0.25, 0.0]])
    mixed = MixedDistribution(parts, weights)
    torch.testing.assert_close(mixed.mean, torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(mixed.variance, torch.tensor([0.75 * (1 + 1) + 0.25 * (4 + 9), 1.0]))
    value = torch.tensor([0.5, 0.5])
    expected = (weights * torch.stack([part.log_prob(value).exp() for part in parts])).sum(0).log()
    torch.testing.assert_close(mixed.log_prob(value), expected)
    draws = mixed.sample(torch.Size([20_000]))
    torch.testing.assert_close(draws.mean(0), mixed.mean, atol=0.05, rtol=0)
    wide = mixed.expand((3, 2))
    assert wide.sample().shape == (3, 2)
    torch.testing.assert_close(wide.mean, mixed.mean.expand(3, 2))


def test_weights_are_those_of_the_batch_whatever_samples_stand_before_it() -> None:
    """Three draws of three documents: sizes that would also fit the other way round."""
    parts = [dist.Normal(torch.arange(3.0), 1.0), dist.Normal(-torch.arange(3.0), 2.0)]
    mixed = MixedDistribution(parts, torch.tensor([[0.9, 0.5, 0.0], [0.1, 0.5, 1.0]]))
    for shape in ((3,), (4,), (2, 3)):
        values = torch.randn(*shape, 3)
        each = torch.stack([mixed.log_prob(row) for row in values.reshape(-1, 3)])
        torch.testing.assert_close(mixed.log_prob(values), each.reshape(*shape, 3))


def test_weighted_classes_by_hand() -> None:
    parts = [dist.Categorical(torch.tensor([[0.9, 0.1, 0.0]])), dist.Categorical(torch.tensor([[0.0, 0.5, 0.5]]))]
    mixed = MixedDistribution(parts, torch.tensor([[0.25], [0.75]]))
    torch.testing.assert_close(mixed.probs, torch.tensor([[0.225, 0.4, 0.375]]))
    assert mixed.log_prob(torch.tensor([0])).exp().item() == pytest.approx(0.225)


def test_without_weights_all_count_alike() -> None:
    parts = [dist.Normal(torch.zeros(2), 1.0), dist.Normal(torch.ones(2), 1.0)]
    alike = MixedDistribution(parts, torch.full((2, 2), 0.5))
    plain = MixedDistribution(parts)
    for name in ("mean", "variance"):
        torch.testing.assert_close(getattr(alike, name), getattr(plain, name))
    torch.testing.assert_close(alike.log_prob(torch.tensor(0.3)), plain.log_prob(torch.tensor(0.3)))
