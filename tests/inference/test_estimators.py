"""Gradient estimators against the exact gradient by enumeration: the unbiased ones, and their variance."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pyro_rationale.errors import ConfigError
from pyro_rationale.inference import MaskELBO, TemperedTraceGraph
from tests.support.estimator_checks import (
    DIRECTIONS,
    DOCUMENTS,
    DRAWS,
    HARD,
    TAUS,
    exact_gradient,
    gradients,
    worst,
    z_scores,
)
from tests.support.grids import each_pair, each_value, some
from tests.support.tiny import exact, replicate, tiny_guide, tiny_model

# Unbiased.


@each_pair("name,estimator,tau,penalties", HARD, ["reinforce", "rloo"], TAUS, ["exact", "sampled"])
def test_score_functions_are_unbiased(name: str, estimator: str, tau: float, penalties: str) -> None:
    particles = 4 if estimator == "rloo" else 2
    assert worst(MaskELBO(estimator, particles, tau, penalties), name, tau) < 4


@each_value("name,tau", HARD, TAUS)
def test_muprop_is_unbiased(name: str, tau: float) -> None:
    """Whatever the expansion is worth: the linear part goes out of the reward as it comes in directly."""
    assert worst(MaskELBO("muprop", 4, tau), name, tau) < 4


@pytest.mark.parametrize("name", HARD)
def test_muprop_is_unbiased_whatever_the_slopes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong ones cost variance only."""

    def wrong(*_args: Any, **_kwargs: Any) -> Tensor:
        return torch.linspace(-3, 4, 3 * 5, dtype=torch.float64).reshape(3, 5).repeat(DRAWS // 4, 1)

    monkeypatch.setattr("pyro_rationale.inference.estimators.muprop.slope", wrong)
    assert worst(MaskELBO("muprop", 4, 0.3), name, 0.3) < 4


@each_value("setting,penalties", [(2, 1.0), (4, 0.3)], ["exact", "sampled"])
def test_disarm_is_unbiased(setting: tuple[int, float], penalties: str) -> None:
    particles, tau = setting
    assert worst(MaskELBO("disarm", particles, tau, penalties), "independent", tau) < 4


@each_value("name,setting,penalties", HARD, [(1, 1.0), (2, 0.3)], ["exact", "sampled"])
def test_nvil_is_unbiased(name: str, setting: tuple[int, float], penalties: str) -> None:
    """With the statistics and the network as they happen to be."""
    particles, tau = setting
    assert worst(MaskELBO("nvil", particles, tau, penalties), name, tau) < 4


@pytest.mark.parametrize("name", HARD)
def test_reinforce_with_one_sample(name: str) -> None:
    """The paper's own: one sample, penalties sampled, no entropy."""
    assert worst(MaskELBO("reinforce", 1, 0.0, "sampled"), name, 0.0) < 4


@each_value("name,tau,baseline", HARD, TAUS, [False, True])
def test_tracegraph_is_unbiased(name: str, tau: float, baseline: bool) -> None:
    """With a neural baseline too, whatever it predicts. Provenance lost anywhere in the model would show here."""
    assert worst(TemperedTraceGraph(1, tau), name, tau, baseline=baseline) < 4


@pytest.mark.parametrize(("reader", "pooling"), [("rcnn", "attention"), ("cnn", "last"), ("lstm", "last")])
def test_tracegraph_is_unbiased_with_every_reader(reader: str, pooling: str) -> None:
    model, guide = tiny_model(kappa=1.5, reader=reader, pooling=pooling), tiny_guide("independent")
    found = gradients(TemperedTraceGraph(1, 0.3), model, guide)
    assert z_scores(found, exact_gradient(model, guide, 0.3)).abs().max() < 4


def test_tracegraph_with_several_samples_is_their_mean() -> None:
    """Draws in one batch equal draws one after the other, weighed by 1/2."""
    model, guide = tiny_model(), tiny_guide("chain", baseline=True)

    def slopes(particles: int) -> list[Tensor]:
        guide.zero_grad()
        model.zero_grad()
        TemperedTraceGraph(particles, 0.3).differentiable_loss(model, guide, DOCUMENTS).backward()
        return [p.grad.clone() for p in guide.parameters() if p.grad is not None]

    torch.manual_seed(5)
    once = [slopes(1), slopes(1)]
    torch.manual_seed(5)
    for together, *apart in zip(slopes(2), *once, strict=True):
        torch.testing.assert_close(together, sum(apart) / 2)


@some("name", ["chain"], ["independent", "recurrent"])
def test_other_parameters_follow_from_the_features(name: str) -> None:
    """Head, generator and encoder as a whole: their mean gradients from few large batches."""
    model, guide = tiny_model(kappa=1.5), tiny_guide(name)
    objective = MaskELBO("muprop", 4, 0.3)
    named = {**dict(model.named_parameters()), **{f"guide.{k}": v for k, v in guide.named_parameters()}}
    loss = -torch.stack([one.objective(0.3) for one in exact(model, guide, DOCUMENTS)]).sum()
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(named.values()))])
    runs = []
    for _ in range(50):
        found = torch.autograd.grad(
            objective.differentiable_loss(model, guide, replicate(DOCUMENTS, 250)) / 250, list(named.values())
        )
        runs.append(torch.cat([g.flatten() for g in found]))
    moved = expected != 0
    scores = z_scores(torch.stack(runs)[:, moved], expected[moved])
    assert scores.abs().max() < 5  # hundreds of parameters, far from independent; 49 degrees of freedom
    assert float(scores.square().mean()) < 2


# Estimators and guides that do not go together.


@pytest.mark.parametrize("name", HARD)
def test_guides_without_reparameterised_samples(name: str) -> None:
    with pytest.raises(ConfigError, match=r"--estimator relaxed.*use --estimator rloo"):
        MaskELBO("relaxed", 1).estimate(tiny_model(), tiny_guide(name), DOCUMENTS)


@pytest.mark.parametrize("estimator", ["muprop", "rloo", "reinforce", "disarm", "nvil", "tracegraph"])
@pytest.mark.parametrize("straight_through", [False, True])
def test_score_functions_of_relaxed_samples_are_refused(estimator: str, straight_through: bool) -> None:
    """Their own gradient and the score function's would add up to neither."""
    guide = tiny_guide("relaxed", straight_through=straight_through)
    objective = TemperedTraceGraph() if estimator == "tracegraph" else MaskELBO(estimator, 2)
    with pytest.raises(ConfigError, match=rf"^--estimator {estimator}: .*--guide independent"):
        objective.estimate(tiny_model(), guide, DOCUMENTS)


@pytest.mark.parametrize("name", ["chain", "recurrent"])
def test_disarm_needs_independent_words(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^--estimator disarm: .* independent words.*--guide independent$"):
        MaskELBO("disarm", 2).estimate(tiny_model(), tiny_guide(name), DOCUMENTS)


@pytest.mark.parametrize("baseline", [False, True])
def test_nvil_needs_a_baseline_with_statistics(baseline: bool) -> None:
    with pytest.raises(ConfigError, match=r"^--estimator nvil: the guide has no baseline"):
        MaskELBO("nvil", 1).estimate(tiny_model(), tiny_guide("chain", baseline=baseline), DOCUMENTS)


# Variance.


@pytest.mark.parametrize("name", HARD)
def test_leave_one_out_lowers_the_variance(name: str) -> None:
    """At the same four samples, in every direction; by more where the reward has a mean to take off."""
    model, guide = tiny_model(kappa=1.5), tiny_guide(name)
    plain, against = (
        gradients(MaskELBO(estimator, 4), model, guide, 8_000)[:, :DIRECTIONS].var(0)
        for estimator in ("reinforce", "rloo")
    )
    assert (against < plain).all()
    assert float(against.sum() / plain.sum()) < 0.6


@pytest.mark.parametrize("name", HARD)
def test_muprop_lowers_the_variance_further(name: str) -> None:
    model, guide = tiny_model(kappa=1.5), tiny_guide(name)
    plain, linear = (
        gradients(MaskELBO(estimator, 4), model, guide, 8_000)[:, :DIRECTIONS].var(0).sum()
        for estimator in ("rloo", "muprop")
    )
    assert linear < 0.8 * plain


@pytest.mark.parametrize("name", HARD)
def test_exact_penalties_lower_the_variance(name: str) -> None:
    model, guide = tiny_model(), tiny_guide(name)
    sampled, closed = (
        gradients(MaskELBO("rloo", 4, 1.0, penalties), model, guide, 8_000)[:, :DIRECTIONS].var(0).sum()
        for penalties in ("sampled", "exact")
    )
    assert closed < sampled


def test_pairs_lower_the_variance() -> None:
    """DisARM against leave-one-out at the same number of masks; the pairs' gain is largest near p = 1/2."""
    model, guide = tiny_model(kappa=1.5), tiny_guide("independent")
    with torch.no_grad():
        guide.head.weight.mul_(0.1)
        guide.head.bias.zero_()
    plain, paired = (
        gradients(MaskELBO(estimator, 2), model, guide, 8_000)[:, :DIRECTIONS].var(0).sum()
        for estimator in ("rloo", "disarm")
    )
    assert paired < 0.8 * plain
