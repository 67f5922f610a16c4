"""What rationales are compared with: other ways to mark words and to predict from them, behind one face."""

from __future__ import annotations

from pyro_rationale.experiments.baselines.methods import METHODS, Method, fit_method
from pyro_rationale.prediction.rationalizer import ModelRationalizer, Rationalizer

__all__ = ["METHODS", "Method", "ModelRationalizer", "Rationalizer", "fit_method"]
