"""Objectives, gradient estimators and evidence: what turns a model and a guide into numbers."""

from pyro_rationale.inference.objectives.elbo import Estimate, MaskELBO
from pyro_rationale.inference.objectives.report import objective_report
from pyro_rationale.inference.objectives.tracegraph import TemperedTraceGraph

__all__ = ["Estimate", "MaskELBO", "TemperedTraceGraph", "objective_report"]
