"""Pathwise estimators: biased, and said to be; exact where they ought to be."""

from __future__ import annotations

from dataclasses import replace

import pyro
import pytest
import torch
from torch import nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.guides import own_guides
from pyro_rationale.inference import MaskELBO
from tests.support.estimator_checks import DOCUMENTS, directions, gradients, worst
from tests.support.tiny import replicate, tiny_guide, tiny_model


@pytest.mark.parametrize("straight_through", [False, True])
def test_relaxed_gradients_are_biased(straight_through: bool) -> None:
    estimator = "straight-through" if straight_through else "relaxed"
    assert worst(MaskELBO(estimator, 1), "relaxed", 1.0, straight_through=straight_through) > 8


@pytest.mark.parametrize("name", ["independent", "chain", "recurrent"])
def test_straight_through_is_biased(name: str) -> None:
    assert worst(MaskELBO("straight-through", 1), name, 1.0) > 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", own_guides())
def test_straight_through_hands_hard_masks_to_the_encoder(name: str, dtype: torch.dtype) -> None:
    """To the last bit: it is by 0 and 1 that the encoder knows to ask about the words that were dropped."""
    model, guide = tiny_model().to(dtype), tiny_guide(name, straight_through=True).to(dtype)
    seen = []
    model.encoder.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[1]))
    batch = replicate(DOCUMENTS, 500)
    assert batch.targets is not None
    batch = replace(batch, targets=batch.targets.to(dtype))
    MaskELBO("straight-through", 2).differentiable_loss(model, guide, batch)
    (z,) = seen
    assert z.requires_grad
    assert z.dtype == dtype
    assert bool(((z == 0) | (z == 1)).all())


class Linear(nn.Module):
    """A program whose log likelihood is linear in the mask, where the gradient of marginals is all there is."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.tensor([2.0, -1.0, 0.5, 3.0, 9.0], dtype=torch.float64)
        self.prior = tiny_model().prior

    def forward(self, batch: Batch) -> None:
        with pyro.plate("documents", len(batch), dim=-1):
            z = pyro.sample("z", self.prior.distribution(batch.lengths, batch.tokens.shape[1], torch.float64))
            pyro.factor("y", (z * self.weights).sum(-1))


@pytest.mark.parametrize("estimator", ["straight-through", "muprop"])
@pytest.mark.parametrize("name", ["independent", "chain"])
def test_exact_in_a_linear_likelihood(name: str, estimator: str) -> None:
    """To rounding, for any draw: to straight-through the marginals are all there is, muprop has nothing to sample."""
    guide, linear = tiny_guide(name), Linear()
    found = gradients(MaskELBO(estimator, 2, 0.3), linear, guide, 10)
    features = guide.generator(DOCUMENTS.tokens, DOCUMENTS.lengths).detach().requires_grad_()
    q = guide.distribution(features, DOCUMENTS.lengths)
    p = linear.prior.distribution(DOCUMENTS.lengths, 5, torch.float64)
    value = (q.mean * linear.weights).sum() - torch.distributions.kl_divergence(q, p).sum() - 0.7 * q.entropy().sum()
    (slope,) = torch.autograd.grad(-value, features)
    expected = torch.einsum("pbth,bth->p", directions(guide.generator.width), slope)
    torch.testing.assert_close(found, expected.expand(5, -1))


def test_relaxed_bias_shrinks_with_the_temperature() -> None:
    """In the linear likelihood, where straight-through on the independent twin is exact."""
    linear = Linear()
    errors = []
    for temperature in (2.0, 0.5, 0.1):
        guide = tiny_guide("relaxed")
        guide.temperature = temperature
        found = gradients(MaskELBO("relaxed", 1), linear, guide, 10_000).mean(0)
        twin = tiny_guide("independent")
        twin.load_state_dict(guide.state_dict())
        right = gradients(MaskELBO("straight-through", 1), linear, twin, 1)[0]
        errors.append(float((found - right).norm() / right.norm()))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
