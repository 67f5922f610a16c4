"""Independent masks beyond what all families promise."""

from __future__ import annotations

import pyro.distributions as dist
import pytest
import torch

from pyro_rationale.distributions import IndependentMask, LinearChain
from tests.support.mask_families import BY_NAME

INDEPENDENT = BY_NAME["independent"]


def test_it_is_torchs_bernoulli_where_nothing_is_padded() -> None:
    (logits,) = INDEPENDENT.draw()
    ours, theirs = IndependentMask(logits), dist.Bernoulli(logits=logits).to_event(1)
    masks = theirs.sample((20,))
    torch.testing.assert_close(ours.log_prob(masks), theirs.log_prob(masks))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(ours.mean, theirs.mean)


def test_it_is_a_chain_without_coupling() -> None:
    (logits,) = INDEPENDENT.draw()
    lengths = torch.tensor([6, 4, 1])
    ours, chain = IndependentMask(logits, lengths), LinearChain(logits, 0.0, lengths)
    masks = chain.sample((10,))
    torch.testing.assert_close(ours.log_prob(masks), chain.log_prob(masks))
    torch.testing.assert_close(ours.change, chain.change)
    torch.testing.assert_close(ours.entropy(), chain.entropy())
    assert torch.equal(ours.mode, chain.mode)


def test_a_word_at_one_half_is_dropped() -> None:
    assert IndependentMask(torch.zeros(3)).mode.eq(0).all()
    assert LinearChain(torch.zeros(3), 1.0).mode.eq(0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits(dtype: torch.dtype) -> None:
    logits = torch.tensor([[-500.0, -50.0, 0.0, 50.0, 500.0]], dtype=dtype, requires_grad=True)
    law = IndependentMask(logits)
    for term in (law.mean, law.change, law.entropy(), law.log_prob(law.sample((5,)))):
        assert torch.isfinite(term).all()
        assert torch.isfinite(torch.autograd.grad(term.sum(), logits, retain_graph=True)[0]).all()
    tail = IndependentMask(torch.tensor([40.0], dtype=dtype)).entropy()
    torch.testing.assert_close(tail, torch.tensor(41 * 4.248354255291589e-18, dtype=dtype), rtol=1e-5, atol=0.0)
