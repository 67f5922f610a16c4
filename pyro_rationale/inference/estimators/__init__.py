"""Gradient estimators of the reconstruction term, one module each; `ESTIMATORS` finds them by name.

The names are listed without importing torch; an estimator is imported when it is looked up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_rationale.registry import Registry

if TYPE_CHECKING:
    from pyro_rationale.inference.estimators._base import Estimator

ESTIMATORS: Registry[type[Estimator]] = Registry(
    "estimators",
    __name__,
    "--estimator",
    (
        *("reinforce", "rloo", "muprop", "sum-and-sample", "gauss-newton", "disarm", "nvil", "relaxed"),
        *("straight-through", "tracegraph"),
    ),
)
PENALTIES = ("exact", "sampled", "constant")
NORMS = ("l0", "l1", "l2")
