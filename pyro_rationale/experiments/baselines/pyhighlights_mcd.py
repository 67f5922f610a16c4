"""MCD (Liu et al. 2023): what is kept must predict as the whole text does, as pyhighlights has it."""

from __future__ import annotations

from pyro_rationale.experiments.baselines._pyhighlights import rival

REGISTERED = rival("mcd", "MCD (Liu et al. 2023)")
