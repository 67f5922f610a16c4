"""The encoder starts out from first sentences, where the answer is not: does the fit find its way back?"""

from __future__ import annotations

from pyro_rationale.evaluation.stress.adversarial_init import cost_of_skew, skew_predictor
from pyro_rationale.evaluation.stress.subject import Subject
from pyro_rationale.evaluation.stress.verdict import Verdict

MILD = (10,)


def check(subject: Subject) -> Verdict:
    """F1 of fits whose encoder was trained for k epochs on first sentences, against a fresh start."""
    levels = subject.settings.skew_epochs
    return cost_of_skew(subject, "predictor", levels, MILD, lambda fit, level: skew_predictor(fit, int(level)))
