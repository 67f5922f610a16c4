"""What rationales are compared with: other ways to mark words and to predict from them, behind one face."""

from __future__ import annotations

from pyro_rationale.baselines.face import Marker, RunMarker

__all__ = ["Marker", "RunMarker"]
