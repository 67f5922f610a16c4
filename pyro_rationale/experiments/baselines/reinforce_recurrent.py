"""The fit of Lei et al. (2016) by REINFORCE, with the recurrent guide."""

from __future__ import annotations

from pyro_rationale.experiments.baselines._run import LEI, trained

REGISTERED = trained("reinforce-recurrent", "REINFORCE, recurrent (Lei et al. 2016)", guide="recurrent", **LEI)
