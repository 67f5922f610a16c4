"""A metric: how often the first word of a text is kept."""

from __future__ import annotations

import numpy as np

from pyro_rationale.evaluation.metrics import Metric, MetricFamily, MetricInputs, Statistics
from pyro_rationale.evaluation.statistic import average


def first_word(inputs: MetricInputs) -> Statistics:
    """Share of texts whose first word is kept."""
    kept = np.array([float(bool(mask) and mask[0]) for mask in inputs.masks or ()])
    return {"first_word": average(kept)}


FIRST_WORD = MetricFamily((Metric("first_word", "first word kept", "%"),), first_word)
