"""Gradient estimators against the exact gradient by enumeration, on the real model and the real guides.

The same three documents stand many times in one batch, and every copy gives one gradient: in the features that the
guide's head reads (hence in everything below and, by the chain rule, above it), projected on fixed random
directions, and in the bias of the encoder's output. A z-score compares their mean with the exact gradient.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyro
import pytest
import torch
from pyro.ops.provenance import detach_provenance
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.errors import ConfigError
from pyro_rationale.guides import GUIDES, RationaleGuide
from pyro_rationale.inference import MaskELBO, TemperedTraceGraph
from pyro_rationale.inference.terms import MaskTerms
from pyro_rationale.models import RationaleModel
from tiny import exact, replicate, texts, tiny_guide, tiny_model

DOCUMENTS = texts((4, 2, 1), padding=1)
DRAWS = 20_000
DIRECTIONS = 6
HARD = ("independent", "recurrent", "chain")
TAUS = (1.0, 0.3)
Objective = MaskELBO | TemperedTraceGraph


def directions(width: int) -> Tensor:
    """Where gradients are projected, `(P, B, T, H)`."""
    generator = torch.Generator().manual_seed(11)
    return torch.randn(DIRECTIONS, *DOCUMENTS.tokens.shape, width, dtype=torch.float64, generator=generator)


def exact_gradient(model: RationaleModel, guide: RationaleGuide, tau: float) -> Tensor:
    """Of minus the objective, summed over documents: projections in the features, then the output bias."""
    features = []
    for row, length in enumerate(DOCUMENTS.lengths.tolist()):
        words = DOCUMENTS.tokens[row : row + 1, :length]
        features.append(guide.generator(words, torch.tensor([length])).detach().requires_grad_())
    loss = -torch.stack([one.objective(tau) for one in exact(model, guide, DOCUMENTS, features)]).sum()
    *slopes, bias = torch.autograd.grad(loss, [*features, model.encoder.output.bias])
    projected = torch.zeros(DIRECTIONS, dtype=torch.float64)
    for row, slope in enumerate(slopes):
        projected += (directions(guide.generator.width)[:, row, : slope.shape[1]] * slope[0]).sum((-1, -2))
    return torch.cat([projected, bias])


def gradients(objective: Objective, model: Any, guide: RationaleGuide, draws: int = DRAWS) -> Tensor:
    """One gradient per copy of the documents, `(copies, P + D)`, `draws` masks for each document in all."""
    copies = draws // objective.num_particles
    caught: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            if name not in caught:  # muprop asks the encoder once more, about no gradient of its parameters
                caught[name] = detach_provenance(output)
                caught[name].retain_grad()
            return output

        return hook

    hooks = [guide.generator.register_forward_hook(keep("features"))]
    if isinstance(model, RationaleModel):
        hooks.append(model.encoder.output.register_forward_hook(keep("outputs")))
    objective.differentiable_loss(model, guide, replicate(DOCUMENTS, copies)).backward()
    for hook in hooks:
        hook.remove()
    slopes = caught["features"].grad
    assert slopes is not None
    slopes = slopes.unflatten(0, (copies, len(DOCUMENTS)))
    parts = [torch.einsum("pbth,cbth->cp", directions(guide.generator.width), slopes)]
    if "outputs" in caught:
        bias = caught["outputs"].grad
        assert bias is not None
        parts.append(bias.unflatten(0, (-1, copies, len(DOCUMENTS))).sum((0, 2)))
    return torch.cat(parts, dim=-1)


def z_scores(found: Tensor, expected: Tensor) -> Tensor:
    """How many standard errors the mean gradient is away, per parameter."""
    error = found.std(0) / len(found) ** 0.5
    return (found.mean(0) - expected) / error.clamp_min(1e-12)


def worst(objective: Objective, name: str, tau: float, **options: Any) -> float:
    """The largest z-score in size."""
    model, guide = tiny_model(kappa=1.5), tiny_guide(name, **options)
    return float(z_scores(gradients(objective, model, guide), exact_gradient(model, guide, tau)).abs().max())


# Unbiased.


@pytest.mark.parametrize("penalties", ["exact", "sampled"])
@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize("estimator", ["reinforce", "rloo"])
@pytest.mark.parametrize("name", HARD)
def test_score_functions_are_unbiased(name: str, estimator: str, tau: float, penalties: str) -> None:
    particles = 4 if estimator == "rloo" else 2
    assert worst(MaskELBO(estimator, particles, tau, penalties), name, tau) < 4


@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize("name", HARD)
def test_muprop_is_unbiased(name: str, tau: float) -> None:
    """Whatever the expansion is worth: the linear part goes out of the reward as it comes in directly."""
    assert worst(MaskELBO("muprop", 4, tau), name, tau) < 4


@pytest.mark.parametrize("name", HARD)
def test_muprop_is_unbiased_whatever_the_slopes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong ones cost variance only."""

    def wrong(*_args: Any, **_kwargs: Any) -> Tensor:
        return torch.linspace(-3, 4, 3 * 5, dtype=torch.float64).reshape(3, 5).repeat(DRAWS // 4, 1)

    monkeypatch.setattr("pyro_rationale.inference.objective.slope", wrong)
    assert worst(MaskELBO("muprop", 4, 0.3), name, 0.3) < 4


@pytest.mark.parametrize("name", HARD)
def test_reinforce_with_one_sample(name: str) -> None:
    """The paper's own: one sample, penalties sampled, no entropy."""
    assert worst(MaskELBO("reinforce", 1, 0.0, "sampled"), name, 0.0) < 4


@pytest.mark.parametrize("baseline", [False, True])
@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize("name", HARD)
def test_tracegraph_is_unbiased(name: str, tau: float, baseline: bool) -> None:
    """With a neural baseline too, whatever it predicts. Provenance lost anywhere in the model would show here."""
    assert worst(TemperedTraceGraph(1, tau), name, tau, baseline=baseline) < 4


@pytest.mark.parametrize(("reader", "pooling"), [("rcnn", "attention"), ("cnn", "last"), ("lstm", "last")])
def test_tracegraph_is_unbiased_with_every_reader(reader: str, pooling: str) -> None:
    model, guide = tiny_model(kappa=1.5, reader=reader, pooling=pooling), tiny_guide("independent")
    found = gradients(TemperedTraceGraph(1, 0.3), model, guide)
    assert z_scores(found, exact_gradient(model, guide, 0.3)).abs().max() < 4


def test_tracegraph_with_several_samples_is_their_mean() -> None:
    """The same draws as one after the other, weighed by 1/2."""
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


@pytest.mark.parametrize("name", HARD)
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


# The check itself can fail.


class OwnSampleInBaseline(MaskELBO):
    """The mean of all samples as the baseline, each sample's own among them, and no factor for it."""

    def _surrogate(
        self, q: MaskDistribution, z: Tensor, reconstruction: Tensor, terms: MaskTerms, slopes: Tensor | None
    ) -> Tensor:
        reward = (reconstruction - reconstruction.mean(0)).detach()
        return reconstruction.sum() - self.num_particles * terms.kl.sum() + (reward * q.log_prob(z)).sum()


class ForgottenFuture(MaskELBO):
    """The prefixes' penalties as if a decision did not change what comes after it."""

    def _surrogate(
        self, q: MaskDistribution, z: Tensor, reconstruction: Tensor, terms: MaskTerms, slopes: Tensor | None
    ) -> Tensor:
        reward = (reconstruction - reconstruction.mean(0)).detach() * self.num_particles / (self.num_particles - 1)
        return reconstruction.sum() - terms.kl.sum() + (reward * q.log_prob(z)).sum()


class ForgottenScore(MaskELBO):
    """What `TraceMeanField_ELBO` does without validation: no score function at all."""

    def _surrogate(
        self, q: MaskDistribution, z: Tensor, reconstruction: Tensor, terms: MaskTerms, slopes: Tensor | None
    ) -> Tensor:
        return reconstruction.sum() - self.num_particles * terms.kl.sum()


class OtherTemperature(MaskELBO):
    """The entropy at full weight."""

    def _surrogate(
        self, q: MaskDistribution, z: Tensor, reconstruction: Tensor, terms: MaskTerms, slopes: Tensor | None
    ) -> Tensor:
        self.tau, tau = 1.0, self.tau
        surrogate = super()._surrogate(q, z, reconstruction, terms, slopes)
        self.tau = tau
        return surrogate


class ForgottenLinearPart(MaskELBO):
    """Muprop that takes the linear part out of the reward and does not put it back."""

    def _surrogate(
        self, q: MaskDistribution, z: Tensor, reconstruction: Tensor, terms: MaskTerms, slopes: Tensor | None
    ) -> Tensor:
        assert slopes is not None
        reward = (reconstruction - (slopes * z).sum(-1)).detach()
        reward = (reward - reward.mean(0)) * self.num_particles / (self.num_particles - 1)
        return reconstruction.sum() - self.num_particles * terms.kl.sum() + (reward * q.log_prob(z)).sum()


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (OwnSampleInBaseline, "independent"),
        (OwnSampleInBaseline, "chain"),
        (ForgottenScore, "independent"),
        (ForgottenFuture, "recurrent"),
        (OtherTemperature, "chain"),
        (ForgottenLinearPart, "chain"),
    ],
)
def test_a_wrong_estimator_is_found_out(broken: type[MaskELBO], name: str) -> None:
    tau = 0.3 if broken is OtherTemperature else 1.0
    estimator = "muprop" if broken is ForgottenLinearPart else "rloo"
    assert worst(broken(estimator, 4, tau), name, tau) > 6


# Biased, and said to be.


@pytest.mark.parametrize("straight_through", [False, True])
def test_relaxed_gradients_are_biased(straight_through: bool) -> None:
    estimator = "straight-through" if straight_through else "relaxed"
    assert worst(MaskELBO(estimator, 1), "relaxed", 1.0, straight_through=straight_through) > 8


@pytest.mark.parametrize("name", ["independent", "chain", "recurrent"])
def test_straight_through_is_biased(name: str) -> None:
    assert worst(MaskELBO("straight-through", 1), name, 1.0) > 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", GUIDES)
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


# Estimators and guides that do not go together.


@pytest.mark.parametrize("name", HARD)
def test_guides_without_reparameterised_samples(name: str) -> None:
    with pytest.raises(ConfigError, match=r"--estimator relaxed.*use --estimator rloo"):
        MaskELBO("relaxed", 1).estimate(tiny_model(), tiny_guide(name), DOCUMENTS)


@pytest.mark.parametrize("estimator", ["muprop", "rloo", "reinforce", "tracegraph"])
@pytest.mark.parametrize("straight_through", [False, True])
def test_score_functions_of_relaxed_samples_are_refused(estimator: str, straight_through: bool) -> None:
    """Their own gradient and the score function's would add up to neither."""
    guide = tiny_guide("relaxed", straight_through=straight_through)
    objective = TemperedTraceGraph() if estimator == "tracegraph" else MaskELBO(estimator, 2)
    with pytest.raises(ConfigError, match=rf"^--estimator {estimator}: .*--guide independent"):
        objective.estimate(tiny_model(), guide, DOCUMENTS)


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
