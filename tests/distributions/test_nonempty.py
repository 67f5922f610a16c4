"""Masks given that a word is kept: what the table of all families does not see."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import kl_divergence

from pyro_rationale.distributions import ChainPrior, IndependentMask, LinearChain, NonEmptyMask, RecurrentMask
from tests.support.mask_families import BY_NAME, CELL
from tests.support.oracle import all_masks


def test_conditionals_multiply_to_the_probability_of_a_mask() -> None:
    family = BY_NAME["nonempty-chain"]
    q = family.make(family.draw(), torch.tensor([6, 4, 1]))
    z = q.sample(torch.Size([500]))
    assert z.sum(-1).min() > 0
    torch.testing.assert_close(q.word_log_probs(z).sum(-1), q.log_prob(z))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("field", [-3.0, -30.0, -300.0, -3000.0, 300.0])
def test_nothing_overflows_where_the_base_keeps_almost_nothing(dtype: torch.dtype, field: float) -> None:
    """1 - q(0) is e^-3000 there, and the conditional is still the uniform choice of one word."""
    fields = torch.full((2, 50), field, dtype=dtype, requires_grad=True)
    q = NonEmptyMask(LinearChain(fields, 0.0, torch.tensor([50, 7])))
    p = NonEmptyMask(ChainPrior.from_rate_span(0.1, 5.0).distribution(torch.tensor([50, 7]), 50, dtype))
    kl = kl_divergence(q, p)
    gradient = torch.autograd.grad(kl.sum() + q.mean.square().sum() + q.change.sum(), fields)[0]
    assert gradient.isfinite().all()
    assert kl.isfinite().all()
    assert (kl > 0).all()
    z = q.sample(torch.Size([400]))
    assert z.sum(-1).min() >= 1
    assert q.log_prob(z).isfinite().all()
    assert q.log_prob(q.mode).ge(q.log_prob(z).max(0).values - 1e-3).all()
    if field <= -300:
        torch.testing.assert_close(q.mean[1, :7], torch.full((7,), 1 / 7, dtype=dtype))
        torch.testing.assert_close(q.entropy().exp().round(decimals=2), torch.tensor([50.0, 7.0], dtype=dtype))


def test_the_empty_mask_is_impossible() -> None:
    q = NonEmptyMask(IndependentMask(torch.randn(2, 5), torch.tensor([5, 3])))
    z = torch.zeros(3, 2, 5)
    z[1, :, 0] = 1.0
    z[2, 1, 4] = 1.0  # on padding
    z[2, 0, 4] = 1.0
    assert q.log_prob(z).isinf().tolist() == [[True, True], [False, False], [False, True]]


def test_the_same_numbers_stand_for_the_same_masks() -> None:
    """Estimators compare masks drawn from one set of numbers, of this family as of others."""
    q = NonEmptyMask(LinearChain(torch.randn(3, 6), 0.7, torch.tensor([6, 4, 1])))
    uniform = torch.rand(20, 3, 6)
    assert torch.equal(q.sample_from(uniform), q.sample_from(uniform))


def test_tilting_and_conditioning_commute() -> None:
    fields, lengths = torch.randn(3, 6, dtype=torch.float64), torch.tensor([6, 4, 1])
    chain = LinearChain(fields, 0.7, lengths)
    masks = all_masks(6)[:, None] * chain.word_mask
    tilted = NonEmptyMask(chain).tilt(0.8, 0.3)
    torch.testing.assert_close(tilted.log_prob(masks), NonEmptyMask(chain.tilt(0.8, 0.3)).log_prob(masks))


def test_other_guides_are_refused() -> None:
    with pytest.raises(TypeError, match="RecurrentMask"):
        NonEmptyMask(RecurrentMask(torch.randn(2, 5, 3), CELL))
    prior = NonEmptyMask(LinearChain(torch.zeros(2, 5), 1.0))
    with pytest.raises(NotImplementedError, match="draws empty masks"):
        kl_divergence(LinearChain(torch.zeros(2, 5), 1.0), prior)
