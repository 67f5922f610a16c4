"""Pyro's own score-function objective, `TraceGraph_ELBO`, with a neural baseline and everything sampled."""

from __future__ import annotations

from torch import nn

from pyro_rationale.inference.estimators._score_function import ScoreFunction
from pyro_rationale.inference.objectives.tracegraph import TemperedTraceGraph


class TraceGraph(ScoreFunction):
    """Rules for `TemperedTraceGraph`, which draws and differentiates by itself."""

    default_samples = 1
    penalties = ("exact", "sampled")  # both mean sampled
    exact_penalties = False
    zero_tau = False
    objective = TemperedTraceGraph

    @classmethod
    def make_baseline(cls, inputs: int, hidden: int) -> nn.Module:
        """A plain network, as Pyro wants its baselines."""
        return nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, 1))


REGISTERED = TraceGraph
