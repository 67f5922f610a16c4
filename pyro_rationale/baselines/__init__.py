"""What rationales are compared with: other ways to mark words and to predict from them, behind one face."""

from __future__ import annotations

from pyro_rationale.baselines.face import Marker, RunMarker
from pyro_rationale.baselines.methods import METHODS, Method, fit_method

__all__ = ["METHODS", "Marker", "Method", "RunMarker", "fit_method"]
