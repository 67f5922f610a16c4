"""The fit of Lei et al. (2016) by REINFORCE, with the independent guide."""

from __future__ import annotations

from pyro_rationale.experiments.baselines._run import LEI, trained

REGISTERED = trained("reinforce-independent", "REINFORCE, independent (Lei et al. 2016)", guide="independent", **LEI)
