"""The linear chain beyond what all families promise: its directed form, log Z, hard numbers, long texts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pyro_rationale.distributions import ChainPrior, LinearChain
from pyro_rationale.distributions.scan.scan import linear_recurrence, softplus
from tests.support.mask_families import BY_NAME, LENGTHS
from tests.support.oracle import Oracle, chi_square_z, padded

CHAIN = BY_NAME["chain"]
SIZE = 6


def reference_loop(fields: Tensor, coupling: Tensor) -> tuple[Tensor, Tensor]:
    """log Z and marginals of one long document by plain forward-backward in log space, state by state."""
    rows = fields.tolist()
    pairs = coupling.tolist()

    def add(a: float, b: float) -> float:
        return max(a, b) + math.log1p(math.exp(-abs(a - b)))

    forward = [(0.0, rows[0])]
    for field, pair in zip(rows[1:], pairs, strict=True):
        off, on = forward[-1]
        forward.append((add(off, on - pair), field + add(off - pair, on)))
    backward = [(0.0, 0.0)]
    for field, pair in zip(reversed(rows[1:]), reversed(pairs), strict=True):
        off, on = backward[-1]
        backward.append((add(off, field + on - pair), add(off - pair, field + on)))
    backward.reverse()
    log_z = add(*forward[-1])
    mean = [math.exp(f[1] + b[1] - log_z) for f, b in zip(forward, backward, strict=True)]
    return torch.tensor(log_z, dtype=torch.float64), torch.tensor(mean, dtype=torch.float64)


def test_log_normalizer_and_changes() -> None:
    parameters = CHAIN.draw()
    law = LinearChain(parameters[0], parameters[1], torch.tensor(LENGTHS))
    for row, length in enumerate(LENGTHS):
        exact = CHAIN.document(parameters, row, length)
        torch.testing.assert_close(law.log_normalizer[row], exact.log_z)
        torch.testing.assert_close(law.change[row], padded(exact.change, SIZE - 1))
    wide = law.expand((4, 3))
    assert wide.change.shape == (4, 3, SIZE - 1)
    assert wide.log_normalizer.shape == (4, 3)
    assert wide.fields.shape == (4, 3, SIZE)
    assert wide.coupling.shape == (4, 3, SIZE - 1)


def test_transitions_are_the_directed_chain() -> None:
    parameters = CHAIN.draw(4)
    law = LinearChain(parameters[0], parameters[1], torch.tensor(LENGTHS))
    steps = torch.sigmoid(law.transitions)
    assert steps.shape == (3, SIZE, 2)
    for row, length in enumerate(LENGTHS):
        exact = CHAIN.document(parameters, row, length)
        first = float(exact.mean[0])
        assert steps[row, 0].tolist() == pytest.approx([first, first])
        for t in range(1, length):
            assert steps[row, t].tolist() == pytest.approx([exact.conditional(t, 0), exact.conditional(t, 1)])


def test_a_known_log_normalizer_is_taken_at_its_word() -> None:
    fields, coupling = CHAIN.draw()
    known = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    law = LinearChain(fields, coupling, log_normalizer=known)
    assert torch.equal(law.log_normalizer, known)
    free = LinearChain(fields, coupling)
    difference = law.log_prob(law.mode) - free.log_prob(free.mode)
    torch.testing.assert_close(difference, free.log_normalizer - known)
    assert torch.equal(law.mean, free.mean)


@pytest.mark.parametrize("coupling", [0.0, 2.5, -2.5])
def test_any_sign_of_the_coupling(coupling: float) -> None:
    fields = CHAIN.draw(7)[0]
    law = LinearChain(fields, coupling)
    samples = law.sample((20_000,))
    for row in range(3):
        exact = Oracle.chain(fields[row], torch.full((SIZE - 1,), coupling))
        torch.testing.assert_close(law.mean[row], exact.mean)
        torch.testing.assert_close(law.entropy()[row], exact.entropy)
        torch.testing.assert_close(exact.log_prob(law.mode[row]), exact.log_probs.max())
        assert abs(chi_square_z(exact, samples[:, row])) < 4.5


def test_log_prob_is_multilinear_between_masks() -> None:
    """At a soft mask it is the expected log probability of independently rounded words."""
    fields, coupling = CHAIN.draw(2)
    law = LinearChain(fields, coupling)
    soft = torch.rand(SIZE, dtype=torch.float64)
    rounding = Oracle.independent(torch.logit(soft))
    expected = rounding.expect(CHAIN.document((fields, coupling), 0, SIZE).log_probs)
    torch.testing.assert_close(law.log_prob(soft)[0], expected)


@pytest.mark.parametrize("size", [31, 32, 33, 200, 513])
def test_long_documents(size: int) -> None:
    """Sizes around powers of two, where a doubling scan would slip."""
    fields = 3 * torch.randn(2, size, dtype=torch.float64)
    coupling = 1 + torch.randn(2, size - 1, dtype=torch.float64)
    law = LinearChain(fields, coupling)
    for row in range(2):
        log_z, mean = reference_loop(fields[row], coupling[row])
        torch.testing.assert_close(law.log_normalizer[row], log_z)
        torch.testing.assert_close(law.mean[row], mean, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(
        law.entropy(), law.log_normalizer - (law.fields * law.mean).sum(-1) + (law.coupling * law.change).sum(-1)
    )
    error = (law.sample((4000,)).mean(0) - law.mean) / (law.mean * (1 - law.mean) / 4000).sqrt().clamp_min(1e-3)
    assert error.abs().max() < 5.5
    torch.testing.assert_close(
        torch.autograd.functional.jvp(
            lambda a: LinearChain(a, coupling).log_normalizer, fields, torch.ones_like(fields)
        )[1],
        law.mean.sum(-1),
    )


def test_the_mode_of_a_long_document_beats_its_neighbours() -> None:
    fields, coupling = torch.randn(300, dtype=torch.float64), 2 * torch.rand(299, dtype=torch.float64)
    law = LinearChain(fields, coupling)
    best = law.log_prob(law.mode)
    flipped = (law.mode - torch.eye(300, dtype=torch.float64)).abs()
    assert (law.log_prob(flipped) <= best).all()
    pairs = (law.mode - torch.eye(300, dtype=torch.float64) - torch.eye(300, dtype=torch.float64).roll(1, 0)).abs()
    assert (law.log_prob(pairs) <= best).all()
    assert (law.log_prob(law.sample((2000,))) <= best).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("coupling", [10.0, 0.0, -10.0])
def test_hard_numbers_give_finite_values_and_gradients(dtype: torch.dtype, coupling: float) -> None:
    """Fields of +-50 and couplings of +-10 over 200 words, in blocks, alternating and at random."""
    signs = torch.stack([torch.ones(200), -torch.ones(200), (-1.0) ** torch.arange(200), torch.randn(200).sign()])
    fields = (50 * signs).to(dtype).requires_grad_()
    joints = torch.full((4, 199), coupling, dtype=dtype, requires_grad=True)
    law = LinearChain(fields, joints, torch.tensor([200, 200, 150, 7]))
    prior = ChainPrior.from_rate_span(0.13, 8.0).distribution(torch.tensor([200, 200, 150, 7]), 200, dtype)
    terms = [
        law.mean,
        law.change,
        law.entropy(),
        law.log_normalizer,
        torch.distributions.kl_divergence(law, prior),
        law.log_prob(law.sample((3,))),
    ]
    for term in terms:
        assert torch.isfinite(term).all()
        for gradient in torch.autograd.grad(term.sum(), [fields, joints], retain_graph=True):
            assert torch.isfinite(gradient).all()
    assert (law.mean >= 0).all()
    assert (law.mean <= 1 + 1e-6).all()
    assert (law.entropy() >= 0).all()


def test_float32_agrees_with_float64_where_terms_are_large() -> None:
    fields, coupling = 20 * torch.randn(8, 300), 5 * torch.rand(8, 299)
    single, double = LinearChain(fields, coupling), LinearChain(fields.double(), coupling.double())
    torch.testing.assert_close(single.mean.double(), double.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(single.entropy().double(), double.entropy(), rtol=1e-4, atol=1e-4)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="pairs"):
        LinearChain(torch.zeros(3, 5), torch.zeros(3, 5))
    with pytest.raises(ValueError, match="broadcast"):
        LinearChain(torch.zeros(3, 5), torch.zeros(2, 4))
    law = LinearChain(torch.zeros(5), torch.zeros(2, 4), torch.tensor([5, 3]))
    assert law.batch_shape == (2,)
    assert law.mean.shape == (2, 5)


def test_softplus_keeps_its_digits() -> None:
    x = torch.tensor([-40.0, 0.0, 21.0, 39.0, 41.0, 800.0], dtype=torch.float64)
    expected = torch.logaddexp(x, torch.zeros_like(x))
    torch.testing.assert_close(softplus(x), expected, rtol=1e-15, atol=0.0)
    assert torch.isfinite(softplus(x.float())).all()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 8, 13])
def test_linear_recurrence(size: int, reverse: bool) -> None:
    gain = (2 * torch.rand(2, size, dtype=torch.float64) - 1).requires_grad_()
    offset = torch.randn(2, size, dtype=torch.float64, requires_grad=True)
    columns = [offset[:, -1 if reverse else 0]]
    for t in list(range(size - 2, -1, -1) if reverse else range(1, size)):
        columns.append(gain[:, t] * columns[-1] + offset[:, t])
    expected = torch.stack(columns[::-1] if reverse else columns, dim=-1)
    torch.testing.assert_close(linear_recurrence(gain, offset, reverse), expected)
    assert torch.autograd.gradcheck(lambda a, b: linear_recurrence(a, b, reverse), (gain, offset))
    assert torch.autograd.gradgradcheck(lambda a, b: linear_recurrence(a, b, reverse), (gain, offset))
