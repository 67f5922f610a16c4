"""Share of true ratings inside the predicted intervals."""

from __future__ import annotations

import numpy as np

from pyro_rationale.evaluation.metrics._base import Metric, MetricFamily, MetricInputs
from pyro_rationale.evaluation.statistic import Statistics, quotient


def _compute(inputs: MetricInputs) -> Statistics:
    assert inputs.intervals is not None
    low, high = np.moveaxis(inputs.intervals, -1, 0)
    known = ~np.isnan(inputs.targets)
    inside = known & (low <= inputs.targets) & (inputs.targets <= high)
    return {"covered": quotient(inside.sum(1), known.sum(1))} if known.any() else {}


REGISTERED = MetricFamily((Metric("covered", "truth in interval", "%"),), _compute, needs=("intervals",))
