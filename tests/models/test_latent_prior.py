"""Rate and span with hyperpriors: Pyro's own objective against enumeration of masks and quadrature over both."""

from __future__ import annotations

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import TraceGraph_ELBO
from torch import Tensor
from torch.distributions import Beta, LogNormal, kl_divergence

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import ChainPrior
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.models import LatentPriorModel, longer_runs
from pyro_rationale.models.program import local_parameters
from tests.support.oracle import changes
from tests.support.tiny import Exact, exact, texts, tiny_guide, tiny_model

RATE, LONGER = (2.0, 10.0), (0.0, 1.0)  # of the hyperprior
NODES, LEGENDRE = np.polynomial.legendre.leggauss(40)
NORMAL, HERMITE = np.polynomial.hermite_e.hermegauss(24)


def latent_model(documents: int | None = None) -> LatentPriorModel:
    plain = tiny_model(kappa=2.0)
    return LatentPriorModel(plain.encoder, plain.likelihood, RATE, LONGER, 2.0, documents=documents).double()


def grid(rate: tuple[float, float], longer: tuple[float, float]) -> tuple[Tensor, Tensor, Tensor]:
    """Alpha and gamma at nodes of both distributions, and the weights of the nodes, `(G,)` each."""
    rates = torch.tensor((NODES + 1) / 2)
    weights = torch.tensor(LEGENDRE / 2) * Beta(torch.tensor(rate[0]), torch.tensor(rate[1])).log_prob(rates).exp()
    more = torch.tensor(np.exp(longer[0] + longer[1] * NORMAL))
    pairs = [ChainPrior.from_rate_span(float(r), float((1 + x) / (1 - r))) for r in rates for x in more]
    alpha, gamma = torch.tensor([(prior.alpha, prior.gamma) for prior in pairs], dtype=torch.float64).T
    return alpha, gamma, torch.outer(weights, torch.tensor(HERMITE / math.sqrt(2 * math.pi))).flatten()


def log_priors(masks: Tensor, alpha: Tensor, gamma: Tensor) -> Tensor:
    """Log probability of all masks of a document at all nodes, `(G, 2^n)`."""
    energy = -torch.outer(alpha, masks.sum(-1)) - torch.outer(gamma, changes(masks).double())
    return energy - energy.logsumexp(-1, keepdim=True)


def exact_elbo(tables: list[Exact], rate: tuple[float, float], longer: tuple[float, float]) -> float:
    """The ELBO of a guide whose rate and span are independent of the masks."""
    alpha, gamma, weights = grid(rate, longer)
    total = 0.0
    for table in tables:
        log_p = (weights[:, None] * log_priors(table.q.masks, alpha, gamma)).sum(0)
        total += float((table.reconstruction + table.q.expect(log_p) + table.q.entropy).detach())
    (a, b), (location, scale) = torch.tensor(rate), torch.tensor(longer)
    of_rate = kl_divergence(Beta(a, b), Beta(torch.tensor(RATE[0]), torch.tensor(RATE[1])))
    of_longer = kl_divergence(LogNormal(location, scale), LogNormal(torch.tensor(LONGER[0]), torch.tensor(LONGER[1])))
    return total - float(of_rate + of_longer)


class Guide:
    """q(rate) q(span | rate) q(z | x), the parameters of the first two being tensors."""

    def __init__(self, masks: RationaleGuide, rate: Tensor, longer: Tensor) -> None:
        self.masks, self.rate, self.longer = masks, rate, longer

    def __call__(self, batch: Batch) -> Tensor:
        rate = pyro.sample("rate", dist.Beta(*self.rate))
        pyro.sample("span", longer_runs(rate, *self.longer))
        return self.masks(batch)


def test_tracegraph_elbo_and_its_gradients() -> None:
    """Means of many estimates within 4 standard errors of the exact ELBO and of its differences."""
    model, masks, batch = latent_model(), tiny_guide("chain"), texts()
    hyper = [torch.tensor(pair, dtype=torch.float64, requires_grad=True) for pair in ((3.0, 9.0), (0.2, 0.5))]
    guide, tables = Guide(masks, *hyper), exact(model, masks, batch)
    elbo = TraceGraph_ELBO(num_particles=64, max_plate_nesting=1, vectorize_particles=True)
    torch.manual_seed(0)
    values, slopes = [], []
    with local_parameters():
        for _ in range(40):
            for parameter in hyper:
                parameter.grad = None
            values.append(-elbo.loss_and_grads(model, guide, batch))
            slopes.append(torch.cat([-parameter.grad for parameter in hyper if parameter.grad is not None]))
    expected = exact_elbo(tables, (3.0, 9.0), (0.2, 0.5))
    step, differences = 1e-3, []
    for index in range(4):
        ends = []
        for sign in (1, -1):
            shifted = [3.0, 9.0, 0.2, 0.5]
            shifted[index] += sign * step
            ends.append(exact_elbo(tables, (shifted[0], shifted[1]), (shifted[2], shifted[3])))
        differences.append((ends[0] - ends[1]) / (2 * step))
    found = torch.column_stack([torch.tensor(values, dtype=torch.float64), torch.stack(slopes)])
    distance = (found.mean(0) - torch.tensor([expected, *differences], dtype=torch.float64)).abs()
    assert (distance < 4 * found.std(0) / math.sqrt(len(found))).all(), (distance, found.std(0) / math.sqrt(40))


def test_the_elbo_is_below_the_evidence() -> None:
    """log of p(y | x) over masks, rates and spans, at kappa."""
    model, masks, batch = latent_model(), tiny_guide("chain"), texts()
    tables = exact(model, masks, batch)
    alpha, gamma, weights = grid(RATE, LONGER)
    each = [
        (log_priors(table.q.masks, alpha, gamma) + table.kappa * table.log_likelihood.detach()).logsumexp(-1)
        for table in tables
    ]
    evidence = float((weights.log() + sum(each)).logsumexp(0))
    assert exact_elbo(tables, RATE, LONGER) < evidence
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-6)


def test_a_batch_weighs_as_much_as_all_documents() -> None:
    batch = texts()
    one = poutine.trace(latent_model()).get_trace(batch)
    many = poutine.trace(poutine.replay(latent_model(documents=12), trace=one)).get_trace(batch)
    for trace in (one, many):
        trace.compute_log_prob()
    for name, times in (("z", 4.0), ("y", 4.0), ("rate", 1.0), ("span", 1.0)):
        torch.testing.assert_close(many.nodes[name]["log_prob_sum"], times * one.nodes[name]["log_prob_sum"])
