"""The chain prior: rate and span, lambdas, tables of log Z."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import kl_divergence

from pyro_rationale.distributions import ChainPrior, LinearChain, TensorChainPrior, fit_prior
from pyro_rationale.errors import ConfigError
from tests.support.oracle import Oracle, changes, run_ends

LENGTHS = torch.tensor([7, 3, 1, 0])


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-6, 0.98), st.floats(1.001, 1e4))
def test_rate_and_span_come_back(rate: float, span: float) -> None:
    if rate / (1 - rate) >= span:
        with pytest.raises(ConfigError, match="--rate, --span"):
            ChainPrior.from_rate_span(rate, span)
        return
    prior = ChainPrior.from_rate_span(rate, span)
    assert prior.rate == pytest.approx(rate, rel=1e-6)
    assert prior.span == pytest.approx(span, rel=1e-6)


@settings(max_examples=200, deadline=None)
@given(st.floats(-30, 30), st.floats(-15, 15))
def test_alpha_and_gamma_come_back(alpha: float, gamma: float) -> None:
    prior = ChainPrior(alpha, gamma)
    rate, span = prior.rate, prior.span
    assert 0 <= rate <= 1
    assert span >= 1
    if 1e-5 < rate < 1 - 1e-5 and 1 + 1e-4 < span < 1e6 and rate / (1 - rate) < span * (1 - 1e-4):
        again = ChainPrior.from_rate_span(rate, span)
        assert again.alpha == pytest.approx(alpha, abs=1e-4)
        assert again.gamma == pytest.approx(gamma, abs=1e-4)


def test_formulas_of_the_design() -> None:
    rate, span = 0.2, 8.0
    stay, enter = 1 - 1 / span, rate * (1 / span) / (1 - rate)
    prior = ChainPrior.from_rate_span(rate, span)
    assert prior.alpha == pytest.approx(math.log((1 - enter) / stay))
    assert prior.gamma == pytest.approx(0.5 * math.log(stay * (1 - enter) / (enter * (1 - stay))))
    assert prior.gamma == pytest.approx(2.7, abs=0.05)  # where an independent guide is bistable


def test_the_papers_lambdas_are_no_prior_at_all() -> None:
    """The penalties (3e-4, 6e-4) at sigma^2 = .01 keeps half of the words."""
    prior = ChainPrior.from_lambdas(3e-4, 6e-4, gain=1 / (2 * 0.01))
    assert (prior.alpha, prior.gamma) == pytest.approx((0.015, 0.03))
    assert prior.rate == pytest.approx(0.496, abs=5e-4)
    assert prior.span == pytest.approx(2.0, abs=0.05)
    assert prior.lambdas(50.0) == pytest.approx((3e-4, 6e-4))


@pytest.mark.parametrize(
    "prior", [ChainPrior.from_rate_span(0.13, 8.0), ChainPrior(-0.7, -0.4), ChainPrior(2.0, 0.0)]
)
def test_tables_of_log_z(prior: ChainPrior) -> None:
    table = prior.log_normalizers(8)
    assert table.dtype == torch.float64
    assert table.shape == (9,)
    assert table[0] == 0
    for n in range(1, 9):
        torch.testing.assert_close(table[n], Oracle.penalty(prior.alpha, prior.gamma, n).log_z)


@pytest.mark.parametrize("prior", [ChainPrior.from_rate_span(0.13, 8.0), ChainPrior(-0.7, -0.4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_distribution_is_the_penalty_form(prior: ChainPrior, dtype: torch.dtype) -> None:
    law = prior.distribution(LENGTHS, 9, dtype)
    assert isinstance(law, LinearChain)
    assert law.mean.dtype == law.log_normalizer.dtype == dtype
    assert law.batch_shape == (4,)
    tolerance = 1e-10 if dtype == torch.float64 else 2e-6
    for row, length in enumerate(LENGTHS.tolist()):
        if not length:
            assert law.log_normalizer[row] == 0
            continue
        exact = Oracle.penalty(prior.alpha, prior.gamma, length)
        for found, expected in (
            (law.log_normalizer[row], exact.log_z),
            (law.mean[row, :length], exact.mean),
            (law.entropy()[row], exact.entropy),
            (law.log_prob(law.mode)[row], exact.log_probs.max()),
        ):
            torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("prior", [ChainPrior.from_rate_span(0.13, 8.0), ChainPrior(-0.7, -0.4)])
def test_rate_and_span_are_those_in_the_middle_of_a_long_text(prior: ChainPrior) -> None:
    law = prior.distribution(torch.tensor([601]), 601, torch.float64)
    assert float(law.mean[0, 300]) == pytest.approx(prior.rate)
    assert float(law.mean[0, 300] / (law.change[0, 300] / 2)) == pytest.approx(prior.span)


def test_tabled_messages_are_the_scans() -> None:
    """The prior never runs a scan; one that is built from its fields and couplings does."""
    prior = ChainPrior.from_rate_span(0.2, 5.0)
    law = prior.distribution(torch.tensor([40, 17, 1]), 40, torch.float64)
    assert isinstance(law, LinearChain)
    scanned = LinearChain(law.fields, law.coupling, law.lengths)
    torch.testing.assert_close(law.log_normalizer, scanned.log_normalizer)
    torch.testing.assert_close(law.mean, scanned.mean)
    torch.testing.assert_close(law.entropy(), scanned.entropy())
    torch.testing.assert_close(
        torch.where(law.word_mask[..., None], law.transitions, 0.0),
        torch.where(law.word_mask[..., None], scanned.transitions, 0.0),
    )
    torch.testing.assert_close(
        kl_divergence(scanned, law), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-11
    )


def test_any_shape_of_lengths() -> None:
    prior = ChainPrior.from_rate_span(0.2, 5.0)
    assert prior.distribution(torch.tensor(5), 6).batch_shape == ()
    assert prior.distribution(torch.full((2, 3), 5), 6).sample().shape == (2, 3, 6)


@pytest.mark.parametrize(
    ("rate", "span", "flag"),
    [(0.0, 4, "--rate"), (1.0, 4, "--rate"), (-0.1, 4, "--rate"), (math.nan, 4, "--rate"), (0.2, 1.0, "--span"),
     (0.2, math.inf, "--span"), (0.2, math.nan, "--span"), (0.9, 2.0, "--rate, --span")],
)  # fmt: skip
def test_impossible_rates_and_spans(rate: float, span: float, flag: str) -> None:
    with pytest.raises(ConfigError, match=f"^{flag}:") as caught:
        ChainPrior.from_rate_span(rate, span)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("lambda1", "lambda2", "flag"),
    [(-0.1, 0.1, "--lambda1"), (0.1, -0.1, "--lambda2"), (math.nan, 0.1, "--lambda1"),
     (0.1, math.inf, "--lambda2"), (1e6, 0.1, "--lambda1"), (0.1, 1e6, "--lambda2")],
)  # fmt: skip
def test_impossible_lambdas(lambda1: float, lambda2: float, flag: str) -> None:
    with pytest.raises(ConfigError, match=f"^{flag}:"):
        ChainPrior.from_lambdas(lambda1, lambda2, gain=50.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1e4])
def test_parameters_must_be_usable(bad: float) -> None:
    with pytest.raises(ConfigError, match="alpha"):
        ChainPrior(bad, 1.0)
    with pytest.raises(ConfigError, match="gamma"):
        ChainPrior(1.0, bad)


def test_the_largest_parameters_compute() -> None:
    for alpha in (-500.0, 0.0, 500.0):
        for gamma in (-500.0, 0.0, 500.0):
            prior = ChainPrior(alpha, gamma)
            assert 0 <= prior.rate <= 1
            assert prior.span >= 1
            assert torch.isfinite(prior.log_normalizers(300)).all()
            law = prior.distribution(torch.tensor([300]), 300)
            assert torch.isfinite(law.entropy()).all()
            assert torch.isfinite(law.log_prob(law.sample())).all()


def test_moments_of_a_long_text_come_back() -> None:
    prior = ChainPrior.from_rate_span(0.2, 4.0)
    again = ChainPrior.from_moments(0.2, 2 * 0.2 / 4.0)
    assert (again.alpha, again.gamma) == pytest.approx((prior.alpha, prior.gamma))


@pytest.mark.parametrize("moments", [(0.0, 0.0), (1.0, 0.0), (0.5, 1.0), (0.9, 0.9), (0.3, 0.0)])
def test_moments_of_no_chain_give_a_finite_one(moments: tuple[float, float]) -> None:
    prior = ChainPrior.from_moments(*moments)
    assert abs(prior.alpha) < 50
    assert abs(prior.gamma) < 50


# With tensors.

EXCLUDED = torch.tensor([[0, 1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0, 0], [0] * 7, [0] * 7]).bool()


@pytest.mark.parametrize("nonempty", [False, True])
@pytest.mark.parametrize("excluded", [None, EXCLUDED])
def test_tensors_make_the_chain_that_numbers_make(nonempty: bool, excluded: torch.Tensor | None) -> None:
    numbers = replace(ChainPrior.from_rate_span(0.2, 3.0), nonempty=nonempty)
    tensors = TensorChainPrior.from_rate_span(torch.tensor(0.2), torch.tensor(3.0).double(), nonempty)
    one, two = (prior.distribution(LENGTHS, 7, torch.float64, excluded) for prior in (numbers, tensors))
    z = one.sample((3,))
    torch.testing.assert_close(one.log_prob(z), two.log_prob(z), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(one.log_normalizer, two.log_normalizer, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(one.mean, two.mean, atol=1e-6, rtol=1e-6)


def test_gradients_in_rate_and_span() -> None:
    """Gradients of log probabilities, against differences of tables of all masks."""
    rate, span = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.2, 3.0))
    z = torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    prior = ChainPrior.from_rate_span(rate, span)
    found = torch.autograd.grad(prior.distribution(torch.tensor(5), 5, torch.float64).log_prob(z), (rate, span))

    def by_table(rate: float, span: float) -> float:
        prior = ChainPrior.from_rate_span(rate, span)
        return float(Oracle.penalty(prior.alpha, prior.gamma, 5).log_prob(z))

    step = 1e-5
    differences = (
        (by_table(0.2 + step, 3.0) - by_table(0.2 - step, 3.0)) / (2 * step),
        (by_table(0.2, 3.0 + step) - by_table(0.2, 3.0 - step)) / (2 * step),
    )
    assert [float(value) for value in found] == pytest.approx(differences, rel=1e-6)


def test_a_chain_for_each_particle() -> None:
    rates, spans = torch.tensor([[0.1], [0.3]]).double(), torch.tensor([[2.0], [5.0]]).double()
    both = ChainPrior.from_rate_span(rates, spans).distribution(LENGTHS, 7, torch.float64)
    assert both.batch_shape == (2, 4)
    for row, (rate, span) in enumerate([(0.1, 2.0), (0.3, 5.0)]):
        one = ChainPrior.from_rate_span(rate, span).distribution(LENGTHS, 7, torch.float64)
        torch.testing.assert_close(both.mean[row], one.mean)
        torch.testing.assert_close(both.log_normalizer[row], one.log_normalizer)


@pytest.mark.parametrize(("rate", "span"), [(0.0, 2.0), (1.0, 2.0), (0.8, 2.0), (0.2, 1.0), (math.nan, 2.0)])
def test_tensors_that_no_chain_has(rate: float, span: float) -> None:
    with pytest.raises(ConfigError, match="expected rates between 0 and 1"):
        ChainPrior.from_rate_span(torch.tensor(rate), torch.tensor(span))


# By empirical Bayes.


@pytest.mark.parametrize("nonempty", [False, True])
@pytest.mark.parametrize("excluded", [None, EXCLUDED[:3]])
def test_the_fitted_prior_is_the_one_that_masks_are_from(nonempty: bool, excluded: torch.Tensor | None) -> None:
    """From the moments of a chain, by enumeration: that chain, at whatever chain the search begins."""
    true, lengths = ChainPrior(0.7, 0.9, nonempty), LENGTHS[:3]
    kept, changed = [], []
    for row, length in enumerate(lengths.tolist()):
        table = Oracle.penalty(true.alpha, true.gamma, length)
        if excluded is not None:
            table = table.charging(30.0 * run_ends(table.masks)[:, excluded[row, :length]].sum(-1))
        table = table.nonempty() if nonempty else table
        kept.append(table.expect(table.masks.sum(-1)))
        changed.append(table.expect(changes(table.masks)))
    start = ChainPrior(-1.0, 0.1, nonempty)
    found = fit_prior(torch.stack(kept), torch.stack(changed), lengths, start, excluded, weight=0.0)
    assert (found.alpha, found.gamma) == pytest.approx((0.7, 0.9), abs=1e-5)
    assert found.nonempty is nonempty


def test_masks_that_no_chain_has_give_a_finite_prior() -> None:
    """One text with masks of the prior asked for stands beside hundreds without a word."""
    start, lengths = ChainPrior.from_rate_span(0.2, 2.0), torch.full((300,), 40)
    found = fit_prior(torch.zeros(300), torch.zeros(300), lengths, start)
    kept = [float(prior.distribution(lengths[:1], 40, torch.float64).mean.sum()) for prior in (start, found)]
    assert kept[1] == pytest.approx(kept[0] / 301, rel=1e-4)
    assert fit_prior(torch.zeros(0), torch.zeros(0), torch.zeros(0), start) == start
