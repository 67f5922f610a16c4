"""Objectives, gradient estimators and evidence: what turns a model and a guide into numbers."""

from pyro_rationale.inference.objective import Estimate, MaskELBO
from pyro_rationale.inference.report import objective_report
from pyro_rationale.inference.tracegraph import TemperedTraceGraph

__all__ = ["Estimate", "MaskELBO", "TemperedTraceGraph", "objective_report"]
