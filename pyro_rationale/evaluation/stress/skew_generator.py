"""The guide starts out telling the label by the first word: do encoder and guide agree on that code?"""

from __future__ import annotations

from pyro_rationale.evaluation.stress.adversarial_init import cost_of_skew, skew_generator
from pyro_rationale.evaluation.stress.subject import Subject
from pyro_rationale.evaluation.stress.verdict import Verdict

MILD = (0.6, 0.65)


def check(subject: Subject) -> Verdict:
    """F1 of fits whose guide was trained to keep the first word if the label is 1, against a fresh start."""
    return cost_of_skew(subject, "generator", subject.settings.skew_accuracy, MILD, skew_generator)
