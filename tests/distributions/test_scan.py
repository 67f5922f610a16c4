"""The recurrences of the chain: every way of running them against plain loops and against enumeration."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from pyro_rationale.distributions import (
    ChainPrior,
    HardKumaMask,
    IndependentMask,
    LinearChain,
    RelaxedMask,
)
from pyro_rationale.distributions.scan import dispatch
from pyro_rationale.distributions.scan.dispatch import METHODS, SHORT, WIDE, choose, using
from pyro_rationale.distributions.scan.scan import backward_logits, best_logits, follow, linear_recurrence
from tests.support.oracle import Oracle, chi_square_z

INTERPRETED = find_spec("triton") is not None and os.environ.get("TRITON_INTERPRET") == "1"
EACH = METHODS if INTERPRETED else METHODS[:2]  # kernels need a GPU (benchmarks/chain.py) or Triton's interpreter
SHAPES = [(), (1,), (5,), (2, 3)]


@pytest.fixture(params=EACH)
def method(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the method in force for the whole test."""
    with using(request.param):
        yield request.param


def draw(batch: tuple[int, ...], size: int, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    """Fields and couplings of either sign, float64."""
    return scale * torch.randn(*batch, size, dtype=torch.float64), scale * torch.randn(*batch, size - 1).double()


def plain_messages(fields: Tensor, coupling: Tensor, hard: bool) -> Tensor:
    """Log-odds of z_t with everything behind it summed (maximised) over, from two running log weights."""
    add = torch.maximum if hard else torch.logaddexp
    off, on = torch.zeros_like(fields[..., 0]), torch.zeros_like(fields[..., 0])
    logits = []
    for t in range(fields.shape[-1] - 1, -1, -1):
        here = fields[..., t]
        logits.append(here + on - off)
        if t:
            pair = coupling[..., t - 1]
            off, on = add(off, here + on - pair), add(off - pair, here + on)
    return torch.stack(logits[::-1], dim=-1)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("batch", SHAPES)
def test_messages_of_all_sizes(method: str, batch: tuple[int, ...], hard: bool) -> None:
    run = best_logits if hard else backward_logits
    for size in range(1, 21):
        fields, coupling = draw(batch, size)
        found = run(fields, coupling)
        torch.testing.assert_close(found, plain_messages(fields, coupling, hard), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("coupling_sign", [1.0, -1.0, 0.0])
def test_chain_against_enumeration(method: str, coupling_sign: float) -> None:
    """Documents of 1 to 9 words in one padded batch: log Z, marginals, entropy, and a most probable mask."""
    lengths = torch.arange(1, 10)
    fields, coupling = draw((9,), 9, 2.0)
    coupling = coupling_sign * coupling.abs()
    law = LinearChain(fields, coupling, lengths)
    for row, length in enumerate(lengths.tolist()):
        exact = Oracle.chain(fields[row, :length], coupling[row, : length - 1])
        torch.testing.assert_close(law.log_normalizer[row], exact.log_z)
        torch.testing.assert_close(law.mean[row, :length], exact.mean)
        torch.testing.assert_close(law.entropy()[row], exact.entropy)
        torch.testing.assert_close(exact.log_prob(law.mode[row, :length]), exact.log_probs.max())
        assert law.mean[row, length:].count_nonzero() == 0
        assert law.mode[row, length:].count_nonzero() == 0


def test_samples_against_enumeration(method: str) -> None:
    fields, coupling = draw((2,), 6, 1.0)
    samples = LinearChain(fields, coupling).sample((4000,))
    for row in range(2):
        assert abs(chi_square_z(Oracle.chain(fields[row], coupling[row]), samples[:, row])) < 4.5


def test_gradients_of_log_z_against_enumeration(method: str) -> None:
    fields, coupling = (part.requires_grad_() for part in draw((), 7, 2.0))
    found = torch.autograd.grad(LinearChain(fields, coupling).log_normalizer, [fields, coupling])
    exact = torch.autograd.grad(Oracle.chain(fields, coupling).log_z, [fields, coupling])
    torch.testing.assert_close(found, exact)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7])
def test_messages_differentiate_twice(method: str, size: int) -> None:
    fields, coupling = (part.requires_grad_() for part in draw((2,), size, 1.0))
    assert torch.autograd.gradcheck(backward_logits, (fields, coupling))
    assert torch.autograd.gradgradcheck(backward_logits, (fields, coupling))


@pytest.mark.parametrize("reverse", [False, True])
def test_linear_recurrence_of_all_sizes(method: str, reverse: bool) -> None:
    for size in range(1, 21):
        gain, offset = 2 * torch.rand(3, size, dtype=torch.float64) - 1, draw((3,), size)[0]
        order = range(size - 1, -1, -1) if reverse else range(size)
        value, expected = torch.zeros(3, dtype=torch.float64), torch.zeros_like(offset)
        for t in order:
            value = expected[:, t] = gain[:, t] * value + offset[:, t]
        torch.testing.assert_close(linear_recurrence(gain, offset, reverse), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_linear_recurrence_differentiates_twice(method: str, size: int, reverse: bool) -> None:
    gain = (2 * torch.rand(2, size, dtype=torch.float64) - 1).requires_grad_()
    offset = torch.randn(2, size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: linear_recurrence(a, b, reverse), (gain, offset))
    assert torch.autograd.gradgradcheck(lambda a, b: linear_recurrence(a, b, reverse), (gain, offset))


def test_follow_is_the_automaton(method: str) -> None:
    for size in range(1, 21):
        off, on = torch.rand(4, size) < 0.5, torch.rand(4, size) < 0.5
        found = follow(off, on)
        for row in range(4):
            state = False
            for t in range(size):
                state = bool(on[row, t] if state and t else off[row, t])
                assert bool(found[row, t]) == state


@pytest.mark.parametrize("size", [150, 1025])
def test_float64_is_exact_far_down_a_long_chain(method: str, size: int) -> None:
    """Strong couplings, along which a word's message travels for hundreds of words."""
    fields, coupling = draw((2,), size, 0.1)
    coupling = 6 * torch.sign(coupling)
    for run, hard in ((backward_logits, False), (best_logits, True)):
        torch.testing.assert_close(run(fields, coupling), plain_messages(fields, coupling, hard), rtol=0, atol=1e-10)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 50.0])
def test_float32_at_its_ends(method: str, scale: float) -> None:
    """Fields of +-50 with couplings from nothing to +-50, in blocks, alternating and at random."""
    signs = torch.stack([torch.ones(200), -torch.ones(200), (-1.0) ** torch.arange(200), torch.randn(200).sign()])
    coupling = scale * torch.randn(4, 199).sign()
    for fields in (50 * signs, torch.zeros_like(signs), torch.rand(4, 200) * signs):
        for run, hard in ((backward_logits, False), (best_logits, True)):
            exact = plain_messages(fields.double(), coupling.double(), hard)
            # Strong couplings forget nothing: rounding of numbers of size 50 adds up over the 200 words.
            torch.testing.assert_close(run(fields, coupling).double(), exact, rtol=0, atol=2e-4 if scale > 1 else 2e-5)


def test_hard_numbers_give_finite_gradients(method: str) -> None:
    signs = torch.stack([torch.ones(100), (-1.0) ** torch.arange(100), torch.randn(100).sign()])
    fields = (50 * signs).requires_grad_()
    coupling = (50 * torch.randn(3, 99).sign()).requires_grad_()
    law = LinearChain(fields, coupling, torch.tensor([100, 63, 1]))
    for term in (law.log_normalizer, law.mean, law.entropy()):
        assert torch.isfinite(term).all()
        for gradient in torch.autograd.grad(term.sum(), [fields, coupling], retain_graph=True):
            assert torch.isfinite(gradient).all()


def test_ties_keep_fewer_words(method: str) -> None:
    """Whole numbers are exact however they are grouped, so ties are seen: of equal masks the emptier."""
    assert best_logits(torch.zeros(7), torch.ones(6)).count_nonzero() == 0
    assert LinearChain(torch.zeros(7), 1.0).mode.count_nonzero() == 0
    assert LinearChain(torch.tensor([2.0, -1.0, 2.0, -2.0]), 1.0).mode.tolist() == [1, 1, 1, 0]
    assert LinearChain(torch.tensor([1.0, -1.0, 1.0, -1.0]), 1.0).mode.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("size", [1, 2, 9])
def test_no_documents(method: str, size: int) -> None:
    fields = torch.zeros(0, size, requires_grad=True)
    law = LinearChain(fields, torch.zeros(0, size - 1), torch.zeros(0, dtype=torch.long))
    for value in (law.mean, law.mode, law.sample((3,))):
        assert value.shape[-2:] == (0, size)
    law.log_normalizer.sum().backward()
    assert fields.grad is not None


def test_inputs_stay_as_they_are(method: str) -> None:
    """Loops in place work on copies: of single chains, of views and of expanded tensors."""
    given = [
        (torch.randn(11, 3).T, torch.tensor(0.7).expand(3, 10), torch.rand(3, 11), torch.randn(1, 11).expand(3, 11)),
        (torch.randn(11), torch.rand(10), torch.rand(11), torch.randn(11)),
        (torch.randn(1, 11), torch.rand(1, 10), torch.rand(1, 11), torch.randn(1, 11)),
    ]
    for parts in given:
        fields, coupling, gain, offset = parts
        before = [part.clone() for part in parts]
        for result in (backward_logits(fields, coupling), best_logits(fields, coupling)):
            assert result.is_contiguous()
        linear_recurrence(gain, offset)
        linear_recurrence(gain, offset, reverse=True)
        assert all(torch.equal(part, kept) for part, kept in zip(parts, before, strict=True))


def test_the_choice_on_a_cpu() -> None:
    assert choose(torch.zeros(1, SHORT - 1)) == choose(torch.zeros(1, SHORT - 1), linear=True) == "serial"
    assert choose(torch.zeros(1, SHORT)) == choose(torch.zeros(1, SHORT), linear=True) == "log-depth"
    assert choose(torch.zeros(WIDE - 1, 200)) == choose(torch.zeros(WIDE, 200), linear=True) == "log-depth"
    assert choose(torch.zeros(WIDE, 200)) == "serial"
    for name in METHODS:
        with using(name):
            assert choose(torch.zeros(3)) == name
    assert choose(torch.zeros(3)) == "serial"
    with pytest.raises(ValueError, match="log-depth"), using("parallel"):
        pass


class OnCuda(NamedTuple):
    """Facts that the choice of a kernel depends on."""

    dtype: torch.dtype
    shape: tuple[int, ...] = (4, 10)
    device: torch.device = torch.device("cuda")

    def numel(self) -> int:
        return 40


def test_the_choice_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for works, expected in ((True, "kernel"), (False, "log-depth")):
        monkeypatch.setattr(dispatch, "kernel_works", lambda works=works: works)
        for dtype in dispatch.KERNEL_TYPES:
            assert choose(OnCuda(dtype)) == expected  # type: ignore[arg-type]
        assert choose(OnCuda(torch.bfloat16)) == "log-depth"  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="here the kernel may well work")
def test_a_kernel_that_fails_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyro_rationale.distributions.scan import triton_scan as kernels

    monkeypatch.setattr(kernels, "AVAILABLE", False)
    assert not dispatch.kernel_works.__wrapped__()  # and no warning, which would be an error
    monkeypatch.setattr(kernels, "AVAILABLE", True)
    with pytest.warns(RuntimeWarning, match="without their Triton kernel"):
        assert not dispatch.kernel_works.__wrapped__()


def test_nothing_looks_at_values_on_a_device() -> None:
    """Tensors of the device "meta" have no values: whatever would wait for a device's answer fails on them.

    The whole way of a training step through distributions: both laws, a sample, the exact terms, backwards.
    """
    lengths = torch.full((4,), 20, device="meta")
    fields = torch.zeros(4, 20, device="meta", requires_grad=True)
    coupling = torch.zeros(4, 19, device="meta", requires_grad=True)
    prior = ChainPrior.from_rate_span(0.2, 4.0).distribution(lengths, 20)
    for law in (
        LinearChain(fields, coupling, lengths),
        LinearChain(fields, 0.5),
        IndependentMask(fields, lengths),
        RelaxedMask(fields, lengths),
        HardKumaMask(fields.exp(), fields.exp(), lengths),
    ):
        wide = law.expand((2, 4))
        z = wide.rsample() if wide.has_rsample else wide.sample()
        terms = torch.distributions.kl_divergence(wide, prior), wide.entropy(), wide.log_prob(z), prior.log_prob(z)
        total = sum(term.sum() for term in terms) + wide.mean.sum() + wide.change.sum() + wide.mode.sum()
        total.backward()
    assert fields.grad is not None
    with pytest.raises(Exception, match="meta"):
        LinearChain(fields, coupling, lengths, validate_args=True)
