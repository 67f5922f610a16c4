"""DR (Liu et al. 2023): the predictor's learning rate is times the share of kept words, as pyhighlights has it."""

from __future__ import annotations

from pyro_rationale.experiments.baselines._pyhighlights import rival

REGISTERED = rival("dr", "DR (Liu et al. 2023)")
