"""Laplace's approximation of the posterior over the weights of the encoder's output layer (MacKay 1992).

The features that the layer reads are taken as given. Around the trained weights the log likelihood of the training
targets is a quadratic, with the generalised Gauss-Newton matrix A = sum_i phi_i phi_i' (x) H_i as its curvature, where
H_i are the second derivatives of -log p(y_i | outputs). For ratings that is exact: Bayesian linear regression. The
prior of the weights is Normal(0, 1 / alpha), alpha by maximum evidence. Each text counts once (kappa = 1), or by its
weight, under one mask from the guide and the noise that fits the development texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.errors import ConfigError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.models import RationaleModel
from pyro_rationale.nn.encoders._base import MaskedReader
from pyro_rationale.nn.last_layer import LastLayer, with_one
from pyro_rationale.tasks import Likelihood

MOST = 4096  # weights of the output layer: their matrix is inverted
ROUNDS, PRECISE = 200, 1e-6  # of the search for alpha


@dataclass(frozen=True)
class WeightPosterior:
    """Normal posterior over the weights of `W` outputs.

    Attributes:
        covariance: float64, `(n, n)` with n = W (P + 1), the weights and the bias of each output one after the other.
        alpha: precision of the prior.
        effective: number of directions in weight space that the data determine.
    """

    covariance: Tensor
    alpha: float
    effective: float

    def roots(self, outputs: int) -> Tensor:
        """The root of each output's own block, `(W, P + 1, P + 1)`."""
        size = len(self.covariance) // outputs
        blocks = self.covariance.unflatten(0, (outputs, size)).unflatten(2, (outputs, size))
        return torch.linalg.cholesky(torch.stack([blocks[i, :, i] for i in range(outputs)]))


def posterior_of(curvature: Tensor, weights: Tensor) -> WeightPosterior:
    """The posterior from the curvature of the log likelihood, with the precision of the prior by maximum evidence.

    Args:
        curvature: A, float64 `(n, n)`, positive semi-definite.
        weights: the trained ones, `(n,)`.
    """
    eigenvalues, vectors = torch.linalg.eigh(curvature)
    eigenvalues = eigenvalues.clamp_min(0.0)
    square = max(float(weights.double().square().sum()), 1e-12)
    alpha = len(weights) / square
    for _ in range(ROUNDS):
        effective = float((eigenvalues / (eigenvalues + alpha)).sum())
        before, alpha = alpha, min(max(effective / square, 1e-6), 1e6)
        if abs(alpha - before) <= PRECISE * before:
            break
    covariance = (vectors / (eigenvalues + alpha)) @ vectors.T
    return WeightPosterior(covariance, alpha, float((eigenvalues / (eigenvalues + alpha)).sum()))


def second_derivatives(likelihood: Likelihood, outputs: Tensor, targets: Tensor) -> Tensor:
    """Second derivatives of -log p(y | outputs) in a text's outputs, `(N, W, W)`; 0 where a target is unknown."""
    with torch.enable_grad():
        outputs = outputs.detach().requires_grad_()
        distribution, known = likelihood.observe(outputs, targets)
        (slopes,) = torch.autograd.grad(-distribution.log_prob(known).sum(), outputs, create_graph=True)
        rows = [
            torch.autograd.grad(slopes[:, i].sum(), outputs, retain_graph=True)[0] for i in range(slopes.shape[1])
        ]
    return torch.stack(rows, dim=1).detach()


def curvature_of(model: RationaleModel, read: Iterable[tuple[Batch, Tensor]]) -> Tensor:
    """The Gauss-Newton matrix of the output layer, float64 on the CPU, `(n, n)`.

    Args:
        model: without dropout.
        read: labelled texts, and a mask `(B, T)` of each.
    """
    output = model.encoder.output
    outputs, size = output.out_features, output.in_features + 1
    total = torch.zeros(outputs * size, outputs * size, dtype=torch.float64)
    for batch, z in read:
        assert batch.targets is not None
        with torch.no_grad():
            features = model.encoder(batch.tokens, z, batch.lengths, head=nn.Identity())
            curves = second_derivatives(model.likelihood, output(features), batch.targets)
        curves = batch.weigh(curves.movedim(0, -1)).movedim(-1, 0)
        rows, curves = with_one(features).double().cpu(), curves.double().cpu()
        # Sums over texts of H_i[w, v] phi_i phi_i', one pair of outputs after the other.
        for w in range(outputs):
            for v in range(w + 1):
                if bool((curves[:, w, v] != 0).any()):
                    block = (rows * curves[:, w, v, None]).T @ rows
                    total[w * size : (w + 1) * size, v * size : (v + 1) * size] += block
    below = total.tril(-1)
    return below + below.T + torch.diag(total.diagonal())


def fit_last_layer(fitted: FittedModel, batches: Iterable[Batch], seed: int = 0) -> WeightPosterior:
    """Give the model a posterior over the weights of its output layer, which its predictions allow for from then on.

    Args:
        fitted: with the noise of its likelihood settled; dropout is switched off.
        batches: training texts.
        seed: of the masks.
    """
    check_last_layer(fitted.model)
    fitted.eval()

    def read() -> Iterable[tuple[Batch, Tensor]]:
        for batch in batches:
            batch = batch.to(fitted.device)
            with torch.no_grad():
                z = fitted.guide.posterior(batch).discrete().sample()
            yield batch, z.to(fitted.model.encoder.dtype)

    fitted.model.last_layer = None
    output = fitted.model.encoder.output
    with fitted.seeded(seed):
        curvature = curvature_of(fitted.model, read())
    weights = torch.cat([output.weight, output.bias[:, None]], dim=1).detach().cpu().flatten()
    posterior = posterior_of(curvature, weights)
    roots = posterior.roots(output.out_features).to(fitted.model.encoder.dtype)
    fitted.model.last_layer = LastLayer(roots).to(fitted.device)
    return posterior


def check_last_layer(model: RationaleModel) -> None:
    """Refuse a model whose output layer can have no such posterior, before it is trained.

    Raises:
        ConfigError: it can have none.
    """
    if not isinstance(model.encoder, MaskedReader):
        raise ConfigError("--laplace: this --encoder does not say what its output layer reads; leave it out")
    output = model.encoder.output
    if (count := output.out_features * (output.in_features + 1)) > MOST:
        raise ConfigError(f"--laplace: the output layer has {count:,} weights, more than {MOST:,}; leave it out")
    zeros = output.weight.new_zeros(1, output.out_features)
    model.likelihood.marginal(zeros, zeros)
