"""Objectives, gradient estimators and evidence: from a model and a guide to numbers. Names are imported lazily."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_rationale.inference.estimators import ESTIMATORS
    from pyro_rationale.inference.estimators.tracegraph import TemperedTraceGraph
    from pyro_rationale.inference.objectives.elbo import Estimate, MaskELBO

_EXPORTS = {
    "ESTIMATORS": "estimators",
    "Estimate": "objectives.elbo",
    "MaskELBO": "objectives.elbo",
    "TemperedTraceGraph": "estimators.tracegraph",
}

__all__ = ["ESTIMATORS", "Estimate", "MaskELBO", "TemperedTraceGraph"]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return resolve_name(f"{__name__}.{_EXPORTS[name]}:{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
