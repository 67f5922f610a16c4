"""DAR (Liu et al. 2024): a frozen network that reads everything must read the rationale too, as pyhighlights has it."""

from __future__ import annotations

from pyro_rationale.experiments.baselines._pyhighlights import rival

REGISTERED = rival("dar", "DAR (Liu et al. 2024)")
