"""The amortized guides q(z | x) and q(z | x, y). Import this package as `pyro_rationale.guides`.

Each public module registers one guide under its own name. The names are listed without importing torch; the classes
are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_rationale.registry import Registry, lazy_names

if TYPE_CHECKING:
    from pyro_rationale.guides._base import RationaleGuide
    from pyro_rationale.guides._mixture import MixtureGuide
    from pyro_rationale.guides._target import TargetContext
    from pyro_rationale.guides.chain import ChainGuide
    from pyro_rationale.guides.hardkuma import HardKumaGuide
    from pyro_rationale.guides.independent import IndependentGuide
    from pyro_rationale.guides.recurrent import RecurrentGuide
    from pyro_rationale.guides.relaxed import RelaxedGuide

GUIDES: Registry[type[RationaleGuide]] = Registry(
    "guides", __name__, "--guide", ("independent", "relaxed", "recurrent", "chain", "hardkuma")
)

START_RATE = 0.75  # share of words that an untrained guide keeps, and where annealing starts: encoders learn first

__all__ = [
    "GUIDES",
    "START_RATE",
    "ChainGuide",
    "HardKumaGuide",
    "IndependentGuide",
    "MixtureGuide",
    "RationaleGuide",
    "RecurrentGuide",
    "RelaxedGuide",
    "TargetContext",
    "own_guides",
]


def own_guides() -> tuple[str, ...]:
    """Names of all guides but those that stand for a method of others, to compare with."""
    return tuple(name for name, guide in GUIDES.items() if not guide.is_baseline)


__getattr__ = lazy_names(
    __name__,
    {
        "_base": "RationaleGuide",
        "_mixture": "MixtureGuide",
        "_target": "TargetContext",
        "chain": "ChainGuide",
        "hardkuma": "HardKumaGuide",
        "independent": "IndependentGuide",
        "recurrent": "RecurrentGuide",
        "relaxed": "RelaxedGuide",
    },
)
