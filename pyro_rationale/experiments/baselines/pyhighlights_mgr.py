"""MGR (Liu et al. 2023): three generators before one predictor, as pyhighlights has it."""

from __future__ import annotations

from pyro_rationale.experiments.baselines._pyhighlights import rival

REGISTERED = rival("mgr", "MGR (Liu et al. 2023)")
