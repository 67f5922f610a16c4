"""Excluded words, against tables: chains that charge for runs that begin or end on one."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_rationale.distributions import ChainPrior, IndependentMask, LinearChain, NonEmptyMask, RelaxedMask
from pyro_rationale.distributions.exclusion import COST, ends_on
from tests.support.oracle import Oracle, charges

LENGTHS = torch.tensor([7, 5, 4, 3, 5, 1, 1])
EXCLUDED = torch.tensor(
    [
        [1, 0, 2, 1, 0, 0, 1, 0],  # at both ends, and two together, one of them a barrier
        [3, 0, 4, 3, 4, 0, 0, 0],  # negations and what they are about, at both ends of the text too
        [1, 2, 1, 1, 0, 0, 0, 0],  # nothing else
        [4, 3, 0, 0, 0, 0, 0, 0],
        [4, 5, 3, 0, 5, 0, 0, 0],  # what is written as one word, and a word like its middle at the end
        [1, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]
)
PRIORS = [ChainPrior.from_rate_span(0.2, 8.0), ChainPrior(-0.7, -0.4), ChainPrior(-0.7, 1.4, nonempty=True)]


def tables(prior: ChainPrior) -> list[Oracle]:
    """The prior of each document, from what its masks are charged."""
    result = []
    for length, excluded in zip(LENGTHS.tolist(), EXCLUDED, strict=True):
        table = Oracle.penalty(prior.alpha, prior.gamma, length)
        table = table.charging(charges(table.masks, excluded[:length]))
        result.append(table.nonempty() if prior.nonempty else table)
    return result


def law_of(prior: ChainPrior, dtype: torch.dtype = torch.float64) -> LinearChain | NonEmptyMask:
    return prior.distribution(LENGTHS, EXCLUDED.shape[1], dtype, EXCLUDED)


@pytest.mark.parametrize("prior", PRIORS, ids=["sparse", "dense", "nonempty"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_everything_is_exact(prior: ChainPrior, dtype: torch.dtype) -> None:
    law, tolerance = law_of(prior, dtype), 1e-9 if dtype == torch.float64 else 2e-5
    for row, (length, exact) in enumerate(zip(LENGTHS.tolist(), tables(prior), strict=True)):
        batch = torch.zeros(len(exact.masks), *EXCLUDED.shape, dtype=dtype)
        batch[:, row, :length] = exact.masks.to(dtype)
        for found, expected in (
            (law.log_normalizer[row], exact.log_z),
            (law.mean[row, :length], exact.mean),
            (law.change[row, : length - 1], exact.change),
            (law.entropy()[row], exact.entropy),
            (law.log_prob(law.mode)[row], exact.log_probs.max()),
            (law.log_prob(batch)[:, row], exact.log_probs),
        ):
            torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("prior", PRIORS, ids=["sparse", "dense", "nonempty"])
def test_kl_of_a_chain_is_exact_with_its_gradient(prior: ChainPrior) -> None:
    generator = torch.Generator().manual_seed(0)
    fields = torch.randn(EXCLUDED.shape, dtype=torch.float64, generator=generator).requires_grad_()
    coupling = torch.randn(len(LENGTHS), EXCLUDED.shape[1] - 1, dtype=torch.float64, generator=generator)
    chain = LinearChain(fields, coupling, LENGTHS).excluding(EXCLUDED)
    q = NonEmptyMask(chain) if prior.nonempty else chain
    exact = []
    for row, (length, p) in enumerate(zip(LENGTHS.tolist(), tables(prior), strict=True)):
        table = Oracle.chain(fields[row, :length], coupling[row, : length - 1])
        table = table.charging(charges(table.masks, EXCLUDED[row, :length]))
        exact.append((table.nonempty() if prior.nonempty else table).kl(p))
    found, expected = kl_divergence(q, law_of(prior)), torch.stack(exact)
    torch.testing.assert_close(found, expected)
    mine, theirs = (torch.autograd.grad(value.sum(), fields)[0] for value in (found, expected))
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("kind", [IndependentMask, RelaxedMask])
@pytest.mark.parametrize("prior", PRIORS[:2], ids=["sparse", "dense"])
def test_kl_of_independent_words_is_exact(kind: type[IndependentMask], prior: ChainPrior) -> None:
    logits = torch.linspace(-2, 2, EXCLUDED.numel(), dtype=torch.float64).reshape(EXCLUDED.shape)
    q = kind(logits, LENGTHS).excluding(EXCLUDED)
    assert type(q) is kind
    for row, (length, p) in enumerate(zip(LENGTHS.tolist(), tables(prior), strict=True)):
        never = torch.isin(EXCLUDED[row, :length], torch.tensor([1, 2]))
        table = Oracle.independent(logits[row, :length] - 30.0 * never)
        torch.testing.assert_close(kl_divergence(q, law_of(prior))[row], table.kl(p))


def test_excluded_words_are_kept_between_others_only() -> None:
    fields = torch.tensor([[-5.0, 4.0, -1.0, -1.0, 4.0, 3.0, 2.0, 0.0]])
    excluded = EXCLUDED[:1] > 0
    law = LinearChain(fields, 1.5, LENGTHS[:1]).excluding(excluded)
    assert law.mode[0].tolist() == [0, 1, 1, 1, 1, 1, 0, 0]  # the last word would be kept for its own sake
    torch.manual_seed(0)
    z = law.sample(torch.Size([500]))
    change = (z[..., 1:] - z[..., :-1]).abs() * law.word_mask[..., 1:]
    assert not ends_on(excluded, law.word_mask, z, change).any()
    assert z[..., 2].any()
    across = LinearChain(fields, 1.5, LENGTHS[:1]).excluding(EXCLUDED[:1])  # one of the words is a barrier
    assert across.mode[0].tolist() == [0, 1, 0, 0, 1, 1, 0, 0]
    assert not across.sample(torch.Size([500]))[..., 2].any()


def test_a_negation_is_kept_with_what_it_is_about() -> None:
    """not easy: both words, or none of them; words before and behind are free."""
    kinds = torch.tensor([[0, 4, 3, 0]])
    for fields, mode in (([-1.0, -1.0, 4.0, -1.0], [0, 1, 1, 0]), ([-1.0, 4.0, -1.0, -1.0], [0, 1, 1, 0]),
                         ([4.0, -1.0, -5.0, 4.0], [1, 0, 0, 1]), ([-1.0, -3.0, 2.0, -1.0], [0, 0, 0, 0])):
        law = LinearChain(torch.tensor([fields]), 0.5, torch.tensor([4])).excluding(kinds)
        assert law.mode[0].tolist() == mode
        draws = law.sample(torch.Size([300]))
        assert (draws[..., 1] == draws[..., 2]).all()


def test_a_text_of_excluded_words_keeps_nothing_or_one_run() -> None:
    fields = torch.full((1, 4), 1.0)
    chain = LinearChain(fields, 0.5, LENGTHS[2:3] * 0 + 4).excluding(torch.ones(1, 4, dtype=torch.bool))
    assert not chain.mode.any()
    assert float(chain.mean.max()) < 1e-12
    assert NonEmptyMask(chain).mode[0].tolist() == [1, 1, 1, 1]
    torch.testing.assert_close(NonEmptyMask(chain).log_nonempty.exp(), torch.zeros(1), atol=1e-20, rtol=0)


def test_ends_are_counted() -> None:
    words = torch.arange(EXCLUDED.shape[1]) < LENGTHS[:, None]
    for row, length in enumerate(LENGTHS.tolist()):
        masks = torch.tensor(list(itertools.product((0.0, 1.0), repeat=length)), dtype=torch.float64)
        z = torch.zeros(len(masks), *EXCLUDED.shape, dtype=torch.float64)
        z[:, row, :length] = masks
        change = (z[..., 1:] - z[..., :-1]).abs() * words[..., 1:]
        expected = charges(masks, EXCLUDED[row, :length]) / 30.0
        torch.testing.assert_close(ends_on(EXCLUDED, words, z, change)[:, row], expected)


def test_gradients_stay_finite_in_single_precision() -> None:
    fields = torch.zeros(1, 300, requires_grad=True)
    excluded = torch.arange(300)[None] % 2 == 0
    lengths: Tensor = torch.tensor([300])
    q = LinearChain(fields, 2.0, lengths).excluding(excluded)
    p = ChainPrior.from_rate_span(0.15, 8.0).distribution(lengths, 300, torch.float32, excluded)
    divergence = kl_divergence(q, p)
    exact = kl_divergence(
        LinearChain(fields.double(), 2.0, lengths).excluding(excluded),
        ChainPrior.from_rate_span(0.15, 8.0).distribution(lengths, 300, torch.float64, excluded),
    )
    torch.testing.assert_close(divergence.double(), exact, rtol=1e-4, atol=1e-3)
    divergence.sum().backward()
    assert fields.grad is not None
    assert torch.isfinite(fields.grad).all()
    assert COST == 30.0
