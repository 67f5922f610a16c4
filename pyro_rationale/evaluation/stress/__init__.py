"""Stress tests of a fitted run: attempts to break rationales that rest on anything but the evidence.

Each public module registers one :class:`StressTest`, whose `check(subject)` gives a :class:`Verdict`.
"""

from typing import TYPE_CHECKING

from pyro_rationale.evaluation.stress._base import Row, StressTest, Verdict
from pyro_rationale.evaluation.stress._options import RefitOptions, Settings
from pyro_rationale.registry import Registry, lazy_names

if TYPE_CHECKING:
    from pyro_rationale.evaluation.stress._subject import Subject

__all__ = ["TESTS", "RefitOptions", "Row", "Settings", "StressTest", "Subject", "Verdict"]

# Cheap ones first, so that something is there to read while others fit.
TESTS: Registry[StressTest] = Registry(
    "stress_tests",
    __name__,
    "--only",
    (
        *("random-masks", "trivial-patterns", "mask-shape", "positions", "distractors"),
        *("skewed-predictor", "skewed-generator", "correlation"),
    ),
)

__getattr__ = lazy_names(__name__, {"_subject": "Subject"})
