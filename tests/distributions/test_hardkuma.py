"""HardKuma: atoms, density and moments against quadrature and simulation, its guide, its objective, its Lagrangian."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from pyro_rationale.cli.explain import explain
from pyro_rationale.cli.fit import fit as fit_command
from pyro_rationale.distributions import ChainPrior, HardKumaMask, HardKumaraswamy, IndependentMask
from pyro_rationale.errors import ConfigError
from pyro_rationale.inference import MaskELBO
from pyro_rationale.training.rate_control import LagrangianControl, Schedule
from tests.support.small_fit import Break, differences, fit_small, flags, refusal, small
from tests.support.tiny import exact, texts, tiny_guide, tiny_model

SHAPES = [(0.69, 0.69), (2.0, 0.3), (0.2, 3.0), (5.0, 5.0), (0.05, 0.4), (30.0, 60.0)]
EVERY = pytest.mark.parametrize(("a", "b"), SHAPES)
LOW, WIDTH = -0.1, 1.2


def law(a: float, b: float, dtype: torch.dtype = torch.float64) -> HardKumaraswamy:
    return HardKumaraswamy(torch.tensor(a, dtype=dtype), torch.tensor(b, dtype=dtype))


def below(k: float, a: float, b: float) -> float:
    """P(K <= k) of the Kumaraswamy variable itself."""
    return 1 - (1 - k**a) ** b


def places(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# One word.


@EVERY
def test_atoms_are_those_of_the_paper(a: float, b: float) -> None:
    q = law(a, b)
    zero, one = below(0.1 / 1.2, a, b), 1 - below(1.1 / 1.2, a, b)
    assert float(q.log_zero.exp()) == pytest.approx(zero, rel=1e-9, abs=1e-15)
    assert float(q.log_one.exp()) == pytest.approx(one, rel=1e-9, abs=1e-15)
    assert float(q.log_selected.exp()) == pytest.approx(1 - zero, rel=1e-9)
    torch.testing.assert_close(q.log_prob(places(0.0, 1.0)), torch.stack([q.log_zero, q.log_one]))


@EVERY
def test_atoms_and_density_are_one_probability(a: float, b: float) -> None:
    q = law(a, b)
    found, _ = integrate.quad(lambda h: float(q.log_prob(places(h)).exp()), 0, 1, limit=200, epsabs=1e-11)
    assert found + float(q.log_zero.exp() + q.log_one.exp()) == pytest.approx(1.0, abs=1e-8)


@EVERY
def test_the_density_is_the_slope_of_the_cdf(a: float, b: float) -> None:
    q, where, step = law(a, b), places(0.02, 0.3, 0.5, 0.77, 0.98), 1e-6
    slope = (q.cdf(where + step) - q.cdf(where - step)) / (2 * step)
    torch.testing.assert_close(q.log_prob(where).exp(), slope, rtol=1e-5, atol=1e-8)
    expected = [below((h - LOW) / WIDTH, a, b) for h in where.tolist()]
    torch.testing.assert_close(q.cdf(where), places(*expected))
    torch.testing.assert_close(q.cdf(places(-0.01, 0.0, 1.0, 2.0)), torch.stack(
        [places(0.0)[0], q.log_zero.exp(), places(1.0)[0], places(1.0)[0]]
    ))
    free = HardKumaraswamy(q.a, q.b, validate_args=False)
    assert free.log_prob(places(-0.01, 1.01)).tolist() == [-math.inf, -math.inf]
    with pytest.raises(ValueError, match="within the support"):
        HardKumaraswamy(q.a, q.b, validate_args=True).log_prob(places(1.01))


@EVERY
def test_moments(a: float, b: float) -> None:
    q = law(a, b)
    mean, _ = integrate.quad(lambda h: 1 - below((h - LOW) / WIDTH, a, b), 0, 1, epsabs=1e-12)
    square, _ = integrate.quad(lambda h: 2 * h * (1 - below((h - LOW) / WIDTH, a, b)), 0, 1, epsabs=1e-12)
    assert float(q.mean) == pytest.approx(mean, abs=1e-7)
    assert float(q.variance) == pytest.approx(square - mean**2, abs=1e-7)


@EVERY
def test_draws_have_this_law(a: float, b: float) -> None:
    torch.manual_seed(4)
    q, draws = law(a, b), 20_000
    z = q.rsample(torch.Size([draws]))
    for atom, log_chance in ((0.0, q.log_zero), (1.0, q.log_one)):
        chance = float(log_chance.exp())
        error = math.sqrt(max(chance * (1 - chance), 1e-6) / draws)
        assert abs(float((z == atom).double().mean()) - chance) < 4 * error
    inside = z[(z > 0) & (z < 1)]
    least, most = float(q.cdf(places(0.0))), float(1 - q.log_one.exp())
    uniform = (q.cdf(inside) - least) / (most - least)
    assert stats.kstest(uniform.numpy(), "uniform").pvalue > 1e-4
    assert abs(float(z.mean() - q.mean)) < 4 * float((q.variance / draws).sqrt())


@EVERY
def test_draws_carry_the_gradient_of_expectations(a: float, b: float) -> None:
    """d E H^2 / d (a, b), pathwise, against that of the quadrature."""
    torch.manual_seed(6)
    q = law(a, b)
    a_one, b_one = q.a.clone().requires_grad_(), q.b.clone().requires_grad_()
    exact_law = HardKumaraswamy(a_one, b_one)
    want = torch.autograd.grad(exact_law.variance + exact_law.mean**2, (a_one, b_one))
    many_a, many_b = (s.detach().expand(40_000).clone().requires_grad_() for s in (a_one, b_one))
    found = torch.autograd.grad(HardKumaraswamy(many_a, many_b).rsample().square().sum(), (many_a, many_b))
    for mean, sample in zip(want, found, strict=True):
        assert abs(float(sample.mean() - mean)) < 4.5 * float(sample.std()) / 200 + 1e-9


def test_extremes_in_float32() -> None:
    """Whatever the generator says: numbers, and gradients that are numbers."""
    sizes = (1e-6, 1e-3, 0.1, 1.0, 10.0, 100.0)
    a = torch.tensor([x for x in sizes for _ in sizes], requires_grad=True)
    b = torch.tensor([x for _ in sizes for x in sizes], requires_grad=True)
    q = HardKumaraswamy(a, b)
    values = [q.log_zero, q.log_one, q.log_selected - q.log_zero, q.mean, q.rsample(torch.Size([500])).sum(0)]
    values += [q.log_prob(torch.full_like(a, h).detach()) for h in (0.0, 1e-6, 0.4, 1.0)]
    for value in values:
        assert bool(torch.isfinite(value).all())
        for slope in torch.autograd.grad(value.sum(), (a, b), retain_graph=True):
            assert bool(torch.isfinite(slope).all())
    same = HardKumaraswamy(a.double(), b.double())
    torch.testing.assert_close(q.log_zero.double(), same.log_zero, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(q.log_one.double(), same.log_one, rtol=1e-4, atol=1e-5)


def test_a_support_within_the_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="reaches beyond"):
        HardKumaraswamy(torch.ones(()), torch.ones(()), (0.0, 1.1))


# Masks.


def mask(lengths: tuple[int, ...] = (5, 3)) -> HardKumaMask:
    torch.manual_seed(9)
    a, b = (torch.rand(len(lengths), max(lengths), dtype=torch.float64) * 2 + 0.1 for _ in range(2))
    return HardKumaMask(a, b, torch.tensor(lengths))


def test_expected_l0_and_fused_lasso() -> None:
    """Equations 12 and 13 of the paper, and what is seen of them in draws."""
    q = mask()
    zero = q.weights.log_zero.exp()
    here, ahead = zero[:, :-1], zero[:, 1:]
    lasso = here * (1 - ahead) + (1 - here) * ahead
    for row, length in enumerate((5, 3)):
        torch.testing.assert_close(q.mean[row, :length], 1 - zero[row, :length])
        torch.testing.assert_close(q.change[row, : length - 1], lasso[row, : length - 1])
        assert not q.mean[row, length:].any()
        assert not q.change[row, length - 1 :].any()
    torch.manual_seed(1)
    draws = 20_000
    on = (q.rsample(torch.Size([draws])) > 0).double()
    changes = (on[..., 1:] - on[..., :-1]).abs()
    changes[:, 1, 2:] = 0  # behind the second document
    for seen, expected in ((on, q.mean), (changes, q.change)):
        error = (expected * (1 - expected) / draws).sqrt() + 1e-12
        assert float(((seen.mean(0) - expected).abs() / error).max()) < 4


def test_reports_are_about_the_selected_words() -> None:
    q = mask()
    twin = q.discrete()
    assert type(twin) is IndependentMask
    for name in ("mean", "change", "mode"):
        torch.testing.assert_close(getattr(twin, name), getattr(q, name))
    torch.testing.assert_close(twin.entropy(), q.entropy())
    z = q.rsample(torch.Size([50]))
    assert bool(((z > 0) & (z < 1)).any())
    assert not z[:, 1, 3:].any()
    wide = q.expand(torch.Size([4, 2]))
    assert wide.rsample().shape == (4, 2, 5)
    assert wide.weights.log_prob(z[0]).shape == (4, 2, 5)
    torch.testing.assert_close(wide.mean[2], q.mean)


def test_the_objective_without_entropy_is_the_papers() -> None:
    """Lambda0 times the expected L0, lambda1 times the expected lasso, and the prior's normaliser, which is no
    matter; the reconstruction is that of the weights."""
    model, guide, batch = tiny_model(), tiny_guide("hardkuma"), texts()
    torch.manual_seed(3)
    found = MaskELBO("relaxed", 1, 0.0).estimate(model, guide, batch)
    q = guide.posterior(batch)
    for row, one in enumerate(exact(model, guide, batch)):
        torch.testing.assert_close(found.kl[row], one.q.kl(one.p).detach())
        cost = model.prior.alpha * q.mean[row].sum() + model.prior.gamma * q.change[row].sum()
        normaliser = -one.p.log_prob(torch.zeros(one.p.n, dtype=torch.float64))  # nothing kept costs nothing
        torch.testing.assert_close(found.kl[row] + found.entropy[row], (cost + normaliser).detach())
    torch.manual_seed(3)
    z = q.expand(torch.Size([1, 3])).rsample()
    assert batch.targets is not None
    outcome, targets = model.likelihood.observe(model.encoder(batch.tokens, z, batch.lengths), batch.targets)
    torch.testing.assert_close(found.reconstruction, outcome.log_prob(targets).mean(0).detach())


# The Lagrangian.


def control(**options: Any) -> LagrangianControl:
    return LagrangianControl(Schedule(0, 0, 0.1), ChainPrior.from_rate_span(0.1, 3.0), **options)


def test_the_multiplier_is_that_of_the_authors() -> None:
    steered = control(pace=0.05, transitions=0.02)
    average = other = 0.0
    field = coupling = 0.05
    for step, (share, changes) in enumerate([(0.9, 0.4), (0.5, 0.1), (0.05, 0.01), (0.0, 0.0)] * 5):
        average = 0.5 * average + 0.5 * (share - 0.1)
        other = 0.5 * other + 0.5 * (changes - 0.02)
        field, coupling = field * math.exp(0.05 * average), coupling * math.exp(0.05 * other)
        prior = steered.update(step, share, changes)
        assert prior.alpha == pytest.approx(field)
        assert prior.gamma == pytest.approx(coupling)


def test_more_than_the_target_is_pressed_and_less_is_let_go() -> None:
    steered = control(pace=0.5)
    pressed = [steered.update(1, 0.5).alpha for _ in range(30)]
    assert all(b > a for a, b in pairwise(pressed))
    eased = [steered.update(1, 0.0).alpha for _ in range(30)]
    assert eased[-1] < eased[5]
    for share, limit in ((1.0, steered.ceiling), (0.0, steered.floor)):
        for _ in range(2000):
            steered.update(1, share)
        assert steered.field == limit


def test_without_a_target_for_changes_the_coupling_is_the_priors() -> None:
    steered = LagrangianControl(Schedule(0, 10, 0.1), ChainPrior.from_rate_span(0.1, 3.0))
    assert steered.update(5, 0.5).gamma == pytest.approx(steered.prior.gamma / 2)
    assert steered.update(10, 0.5).gamma == pytest.approx(steered.prior.gamma)
    assert steered.target(10) == pytest.approx(0.1)


def test_its_state_is_all_that_it_remembers() -> None:
    steered, other = control(transitions=0.02), control(transitions=0.02)
    for step in range(7):
        steered.update(step, 0.4, 0.1)
    other.restore(json.loads(json.dumps(steered.state())))
    assert other == steered


# Options and runs.


def test_defaults_of_the_baseline_are_its_own() -> None:
    theirs, ours = small(guide="hardkuma", tau=None), small(guide="chain", tau=None)
    assert (theirs.tau, theirs.entropy, theirs.control, theirs.estimator) == (0.0, 0.0, "lagrangian", "relaxed")
    assert (ours.tau, ours.entropy, ours.control) == (1.0, 0.25, "rate")
    assert small(guide="hardkuma", tau=0.5, control="rate").tau == 0.5
    assert small(guide="chain", lambda1=0.01, lambda2=0.01).control == "penalties"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"guide": "hardkuma", "estimator": "muprop"}, "--estimator muprop.*hardkuma"),
        ({"guide": "hardkuma", "estimator": "straight-through"}, "--estimator straight-through.*hardkuma"),
        ({"guide": "hardkuma", "penalties": "sampled"}, "--penalties sampled.*hardkuma"),
        ({"guide": "chain", "transitions": 0.1}, "--transitions needs --control lagrangian"),
        ({"guide": "hardkuma", "transitions": 1.5}, "--transitions: expected"),
        ({"control": "lagrangian", "lambda1": 0.1, "lambda2": 0.1}, "--control lagrangian steers to --rate"),
        ({"control": "magic"}, "--control: expected one of"),
        ({"lagrange_rate": 0.0}, "--lagrange-rate"),
    ],
)
def test_refusals(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        small(**options)


def test_the_command_line_refuses_on_one_line(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = [*flags(guide="hardkuma", estimator="rloo"), "--out", tmp_path / "run"]
    assert "--guide hardkuma" in refusal(capfd, fit_command, *words)


def test_a_run_resumes_to_the_last_bit_and_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {"guide": "hardkuma", "documents": 60, "transitions": 0.05, "tau": None}
    fit, metrics = fit_small(tmp_path / "whole", **options)
    assert isinstance(fit.trainer.control, LagrangianControl)
    assert 0.0 <= metrics.test["selected"] <= 1.0
    assert math.isfinite(metrics.test["elbo"])
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path / "broken", Break(steps=3), **options)
    fit_small(tmp_path / "broken", resume=True, **options)
    assert differences(tmp_path / "whole", tmp_path / "broken") == []
    arguments = ["--run", str(tmp_path / "whole"), "--samples", "5", "--json", "a fine look and a bad taste"]
    explain.main(arguments, standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert set(told["mode"]) <= {0, 1}
    assert all(0 <= p <= 1 for p in told["inclusion"])
