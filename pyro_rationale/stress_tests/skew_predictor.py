"""The encoder starts out from first sentences, where the answer is not: does the fit find its way back?"""

from __future__ import annotations

from pyro_rationale.stress_tests.result import Verdict
from pyro_rationale.stress_tests.skewing import cost_of_skew, skew_predictor
from pyro_rationale.stress_tests.subject import Subject

MILD = (10,)


def check(subject: Subject) -> Verdict:
    """F1 of fits whose encoder was trained for k epochs on first sentences, against a fresh start."""
    levels = subject.settings.skew_epochs
    return cost_of_skew(subject, "predictor", levels, MILD, lambda fit, level: skew_predictor(fit, int(level)))
