"""FR (Liu et al. 2022): selector and predictor share one encoder, as pyhighlights has it."""

from __future__ import annotations

from pyro_rationale.experiments.baselines._pyhighlights import rival

REGISTERED = rival("fr", "FR (Liu et al. 2022)")
