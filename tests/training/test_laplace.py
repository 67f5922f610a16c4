"""The posterior over the weights of the output layer, against Bayesian linear regression and exact derivatives."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.errors import ConfigError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.models import RationaleModel
from pyro_rationale.nn.last_layer import LastLayer, with_one
from pyro_rationale.prediction.decoding import predict_from
from pyro_rationale.storage import read_tensors
from pyro_rationale.tasks import Likelihood
from pyro_rationale.tasks.ordinal import OrdinalLikelihood
from pyro_rationale.training.laplace import (
    check_last_layer,
    curvature_of,
    fit_last_layer,
    posterior_of,
    second_derivatives,
)
from tests.support.small_fit import fit_small, small
from tests.support.tiny import TARGETS, texts, tiny_guide, tiny_model

KINDS = pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])


def read(model: RationaleModel, kind: str) -> tuple[Batch, Tensor, Tensor]:
    """Labelled texts, a mask of each, and what the output layer reads, with the 1 of the bias."""
    batch = texts(kind=kind)
    z = tiny_guide("chain").posterior(batch).sample()
    with torch.no_grad():
        features = model.encoder(batch.tokens, z, batch.lengths, head=torch.nn.Identity())
        torch.testing.assert_close(model.encoder.output(features), model.encoder(batch.tokens, z, batch.lengths))
    return batch, z, with_one(features)


@KINDS
def test_curvature_is_the_second_derivative_in_the_weights(kind: str) -> None:
    model = tiny_model(kind)
    batch, z, rows = read(model, kind)
    targets = batch.targets
    assert targets is not None

    def loss(weights: Tensor) -> Tensor:
        law, known = model.likelihood.observe(rows @ weights.reshape(-1, rows.shape[1]).T, targets)
        result: Tensor = -law.log_prob(known).sum()
        return result

    output = model.encoder.output
    weights = torch.cat([output.weight, output.bias[:, None]], 1).detach().flatten()
    expected = torch.autograd.functional.hessian(loss, weights)
    torch.testing.assert_close(curvature_of(model, [(batch, z)]), expected)


def test_for_ratings_it_is_bayesian_linear_regression() -> None:
    """Each aspect is fitted from the texts that rate it; one prior precision for all weights."""
    model = tiny_model()
    batch, z, rows = read(model, "regression")
    weights = torch.cat([model.encoder.output.weight, model.encoder.output.bias[:, None]], 1).detach()
    posterior = posterior_of(curvature_of(model, [(batch, z)]), weights.flatten())
    known, eye = ~TARGETS["regression"].isnan(), torch.eye(rows.shape[1], dtype=torch.float64)
    exact = []
    for aspect in range(2):
        own = rows[known[:, aspect]]
        exact.append(torch.linalg.inv(own.T @ own / 0.5**2 + posterior.alpha * eye))
    torch.testing.assert_close(posterior.covariance, torch.block_diag(*exact))
    model.last_layer = LastLayer(posterior.roots(2))
    far = Batch(batch.tokens, batch.lengths)
    with torch.no_grad():
        law = model.predictive(far, z)
        variance = torch.stack([torch.einsum("np,pq,nq->n", rows, own, rows) for own in exact], -1)
    torch.testing.assert_close(law.variance, 0.5**2 + variance)
    torch.testing.assert_close(law.mean, rows @ weights.T)


def test_the_precision_of_the_prior_maximises_the_evidence() -> None:
    """log N(w; 0, 1 / alpha) - 1/2 log det(A + alpha), up to what does not depend on alpha."""
    torch.manual_seed(0)
    rows = torch.randn(40, 6, dtype=torch.float64) * torch.tensor([3.0, 2.0, 1.0, 0.3, 0.1, 0.0])
    weights = torch.randn(6, dtype=torch.float64)
    curvature = rows.T @ rows

    def evidence(alpha: float) -> float:
        matrix = curvature + alpha * torch.eye(6)
        return float(3 * math.log(alpha) - 0.5 * alpha * weights.square().sum() - 0.5 * torch.logdet(matrix))

    posterior = posterior_of(curvature, weights)
    grid = posterior.alpha * np.exp(np.linspace(-2, 2, 201))
    assert posterior.alpha == pytest.approx(grid[np.argmax([evidence(alpha) for alpha in grid])], rel=0.03)
    assert 3 < posterior.effective < 6


def exact_mean(likelihood: Likelihood, outputs: Tensor, variances: Tensor) -> Tensor:
    """Mean probabilities over Normal logits, by many draws."""
    torch.manual_seed(0)
    draws = outputs + torch.randn(200_000, outputs.shape[-1], dtype=torch.float64) * variances.sqrt()
    law = likelihood(draws[:, None])
    return (law.probs if likelihood.event_dim == 0 else law.mean).mean(0)[0]


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
@pytest.mark.parametrize("variance", [0.2, 1.0, 3.0])
def test_probabilities_are_about_the_mean_over_unsure_logits(kind: str, variance: float) -> None:
    likelihood = tiny_model(kind).likelihood
    outputs = torch.tensor([[1.5, -0.4, 0.2][: likelihood.width]], dtype=torch.float64)
    law = likelihood.marginal(outputs, torch.full_like(outputs, variance))
    mean = law.probs if kind == "multiclass" else law.mean
    exact = exact_mean(likelihood, outputs[0], torch.tensor(variance))
    torch.testing.assert_close(mean[0], exact, atol=0.03 * max(1.0, variance), rtol=0)


@pytest.mark.parametrize("variance", [0.2, 1.0])
def test_levels_are_about_the_mean_over_unsure_outputs(variance: float) -> None:
    likelihood = OrdinalLikelihood((5,)).double()
    outputs = torch.tensor([[1.2]], dtype=torch.float64)
    law = likelihood.marginal(outputs, torch.full_like(outputs, variance))
    torch.manual_seed(0)
    draws = outputs[0] + torch.randn(100_000, 1, dtype=torch.float64) * variance**0.5
    exact = likelihood(draws).base_dist
    levels = torch.stack([part.base_dist.probs for part in law.parts]).mean(0)
    torch.testing.assert_close(levels[0], exact.probs.mean(0), atol=0.02 * max(variance, 0.25), rtol=0)
    spread = exact.variance.mean(0) + exact.mean.var(0)
    torch.testing.assert_close(law.variance[0], spread, atol=0.003, rtol=0)


def test_unknown_targets_curve_nothing() -> None:
    model = tiny_model("binary")
    targets = TARGETS["binary"]
    curves = second_derivatives(model.likelihood, torch.zeros(3, 2, dtype=torch.float64), targets)
    known = (~targets.isnan()).double()
    torch.testing.assert_close(torch.diagonal(curves, dim1=1, dim2=2), 0.25 * known)


def test_what_can_have_none_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = tiny_model()
    check_last_layer(model)
    monkeypatch.setattr("pyro_rationale.training.laplace.MOST", 5)
    with pytest.raises(ConfigError, match="--laplace: the output layer has 10 weights, more than 5"):
        check_last_layer(model)
    with pytest.raises(ConfigError, match="--laplace: the output layer"):
        fit_small(tmp_path / "run", documents=24, laplace=True)
    monkeypatch.undo()
    monkeypatch.setattr(type(model.likelihood), "marginal", Likelihood.marginal)
    with pytest.raises(ConfigError, match="--laplace: NormalLikelihood does not allow for unsure outputs"):
        check_last_layer(model)
    model.encoder = torch.nn.Identity()  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="does not say what its output layer reads"):
        check_last_layer(model)


def test_a_finished_run_is_given_one(tmp_path: Path) -> None:
    """The weights stay; predictions too, but for their spread, which grows away from the training texts."""
    options: dict[str, Any] = {"documents": 48, "steps": 6, "anneal": 2, "guide": "chain"}
    fit, _ = fit_small(tmp_path / "run", **options)
    before = FittedModel.load(tmp_path / "run", "cpu")
    fit_small(tmp_path / "run", resume=True, laplace=True, **options)
    after = FittedModel.load(tmp_path / "run", "cpu")
    assert before.model.last_layer is None
    assert after.model.last_layer is not None
    stored = read_tensors(tmp_path / "run" / "model.safetensors")[0]
    assert "model.last_layer.factor" in stored
    assert all(torch.equal(stored[name], weight) for name, weight in before._tensors().items())
    documents = fit.corpus.test
    masks = [(True,) * len(document.tokens) for document in documents]
    np.testing.assert_allclose(predict_from(after, documents, masks), predict_from(before, documents, masks), rtol=1e-5)
    for one, other in zip(before.predict(documents, samples=5), after.predict(documents, samples=5), strict=True):
        assert one.sd is not None
        assert other.sd is not None
        assert other.sd[0] > one.sd[0]
    # Along the direction of a document's features, the spread grows with their size.
    layer, output = after.model.last_layer, after.model.encoder.output
    features = torch.randn(1, output.in_features)
    with torch.no_grad():
        near, far = (float(layer(output, scale * features)[0, 1]) for scale in (1.0, 10.0))
    assert far > 10 * near
    alone = small(**options, laplace=True)
    assert isinstance(fit.trainer.batches, BucketedBatches)
    again = fit_last_layer(before, fit.trainer.batches.ordered(), alone.seed)
    assert again.effective > 0
    assert before.model.last_layer is not None
    torch.testing.assert_close(before.model.last_layer.factor, layer.factor)
