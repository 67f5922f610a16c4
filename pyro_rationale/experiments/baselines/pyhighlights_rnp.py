"""RNP (Lei et al. 2016): a selector and a predictor with encoders of their own, as pyhighlights has it."""

from __future__ import annotations

from pyro_rationale.experiments.baselines._pyhighlights import rival

REGISTERED = rival("rnp", "RNP (Lei et al. 2016)")
