"""The amortized guides q(z | x) and q(z | x, y). Import this package as `pyro_rationale.guides`.

`GUIDES` is the one list of their names: the command line, the tests and the documentation read it.
"""

from __future__ import annotations

from pyro_rationale.guides._base import RationaleGuide
from pyro_rationale.guides._target import TargetContext
from pyro_rationale.guides.chain import ChainGuide
from pyro_rationale.guides.hardkuma import HardKumaGuide
from pyro_rationale.guides.independent import IndependentGuide
from pyro_rationale.guides.recurrent import RecurrentGuide
from pyro_rationale.guides.relaxed import RelaxedGuide

GUIDES: dict[str, type[RationaleGuide]] = {
    "independent": IndependentGuide,
    "relaxed": RelaxedGuide,
    "recurrent": RecurrentGuide,
    "chain": ChainGuide,
    "hardkuma": HardKumaGuide,
}

__all__ = [
    "GUIDES",
    "ChainGuide",
    "HardKumaGuide",
    "IndependentGuide",
    "RationaleGuide",
    "RecurrentGuide",
    "RelaxedGuide",
    "TargetContext",
]
