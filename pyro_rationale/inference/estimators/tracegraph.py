"""Pyro's own score-function objective, `TraceGraph_ELBO`, with a neural baseline and everything sampled."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from pyro import poutine
from pyro.infer import TraceGraph_ELBO
from pyro.ops.provenance import detach_provenance
from torch import Tensor, nn

from pyro_rationale.distributions.masks import changes_of
from pyro_rationale.errors import ConfigError
from pyro_rationale.inference.estimators._base import check_family
from pyro_rationale.inference.estimators._score_function import ScoreFunction
from pyro_rationale.inference.objectives.elbo import Estimate, observed_log_prob


class TemperedTraceGraph(TraceGraph_ELBO):
    """`TraceGraph_ELBO` with the guide's entropy weighted by tau, and with the `differentiable_loss` it lacks.

    Scaling the guide's site `z` by tau scales log q in the cost and leaves its score alone, which is objective
    (2). All penalties are sampled; a neural baseline is used when the guide has one (NVIL, Mnih and Gregor 2014).

    Args:
        num_particles: samples per document, drawn one after the other (a neural baseline fits one shape only).
        tau: weight of the guide's entropy; > 0, since Pyro takes no scale of 0.

    Raises:
        ConfigError: tau is 0 or less; later, a guide whose samples carry gradients.
    """

    def __init__(self, num_particles: int = 1, tau: float = 1.0) -> None:
        super().__init__(num_particles=num_particles, max_plate_nesting=1)
        if not 0.0 < tau < math.inf:  # NaN fails as well
            raise ConfigError(f"--tau: tracegraph takes a weight above 0, got {tau}; --estimator rloo takes 0")
        self.tau = tau

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        tempered: Callable[..., Any] = poutine.scale(guide, scale=self.tau)
        traces = super()._get_trace(model, tempered, args, kwargs)
        check_family("tracegraph", TraceGraph, type(traces[1].nodes["z"]["fn"].by_unit))
        return traces

    def estimate(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Estimate:
        """One evaluation as by `MaskELBO.estimate`, with Pyro's surrogate and sampled KL and entropy."""
        surrogates, samples = [], []
        for model_trace, guide_trace in self._get_traces(model, guide, args, kwargs):
            surrogates.append(self._loss_and_surrogate_loss_particle(model_trace, guide_trace)[1])
            q = guide_trace.nodes["z"]["fn"]
            log_q = guide_trace.nodes["z"]["log_prob"] / self.tau
            kl = log_q - model_trace.nodes["z"]["log_prob"]
            z = guide_trace.nodes["z"]["value"]
            changes = changes_of(z, q.word_mask)
            values = (observed_log_prob(model_trace), kl, -log_q, z.sum(-1), changes)
            samples.append(torch.stack([detach_provenance(value).detach() for value in values]))
        reconstruction, kl, entropy, kept, changes = torch.stack(samples).mean(0)
        return Estimate(torch.stack(surrogates).mean(), reconstruction, kl, entropy, kept, changes)

    def differentiable_loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Minus the objective, summed over documents, with the gradient of Pyro's surrogate."""
        estimate = self.estimate(model, guide, *args, **kwargs)
        value = -estimate.objective(self.tau).sum()
        return value + estimate.surrogate - estimate.surrogate.detach()


class TraceGraph(ScoreFunction):
    """Rules for `TemperedTraceGraph`, which draws and differentiates by itself."""

    default_samples = 1
    penalties = ("exact", "sampled")  # both mean sampled
    exact_penalties = False
    zero_tau = False
    draws_together = False
    objective = TemperedTraceGraph

    @classmethod
    def make_baseline(cls, inputs: int, hidden: int) -> nn.Module:
        """A plain network, as Pyro wants its baselines."""
        return nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, 1))


REGISTERED = TraceGraph
