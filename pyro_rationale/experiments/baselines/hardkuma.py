"""HardKuma (Bastings et al. 2019), the share of kept words steered to the rate."""

from __future__ import annotations

from typing import Any

from pyro_rationale.experiments.baselines._run import trained

OPTIONS: dict[str, Any] = {"guide": "hardkuma", "tau": None}

REGISTERED = trained("hardkuma", "HardKuma (Bastings et al. 2019)", **OPTIONS)
