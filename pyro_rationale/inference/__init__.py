"""Objectives, gradient estimators and evidence: from a model and a guide to numbers. Names are imported lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_rationale.registry import lazy_names

if TYPE_CHECKING:
    from pyro_rationale.inference.estimators import ESTIMATORS
    from pyro_rationale.inference.estimators.tracegraph import TemperedTraceGraph
    from pyro_rationale.inference.objectives.elbo import Estimate, MaskELBO

__all__ = ["ESTIMATORS", "Estimate", "MaskELBO", "TemperedTraceGraph"]

__getattr__ = lazy_names(
    __name__,
    {
        "estimators": "ESTIMATORS",
        "estimators.tracegraph": "TemperedTraceGraph",
        "objectives.elbo": "Estimate MaskELBO",
    },
)
