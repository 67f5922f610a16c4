"""Stress tests of a fitted run: attempts to break rationales that rest on anything but the evidence.

Each public module registers one :class:`StressTest`, whose `check(subject)` gives a :class:`Verdict`.
"""

from pyro_rationale.evaluation.stress._base import Row, StressTest, Verdict
from pyro_rationale.evaluation.stress._subject import RefitOptions, Settings, Subject
from pyro_rationale.registry import Registry

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
