"""Errors of predictions averaged over masks, beside those of :mod:`prediction`, which come from one mask each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyro_rationale.evaluation.metrics._base import Metric, MetricFamily, MetricInputs
from pyro_rationale.evaluation.metrics.prediction import Predictions, errors_by_target, prediction_statistics

PREFIX = "averaged_"


def _compute(inputs: MetricInputs) -> Mapping[str, Any]:
    assert inputs.averaged is not None
    predictions = Predictions(inputs.averaged, inputs.targets, inputs.decision)
    errors = prediction_statistics(inputs.spec, predictions)
    together = {f"{PREFIX}{name}": statistic for name, statistic in errors.items()}
    return {**together, **errors_by_target(inputs.spec, predictions, PREFIX)}


REGISTERED = MetricFamily(
    (
        Metric("averaged_mse", "mean squared error, averaged over masks", ".4g", "lower", main=True),
        Metric("averaged_mse_scaled", format=".4g", better="lower"),
        Metric("averaged_mae", format=".4g", better="lower"),
        Metric("averaged_accuracy", "accuracy, averaged over masks", "%", "higher", main=True),
        Metric("averaged_log_loss", format=".4g", better="lower"),
    ),
    _compute,
    needs=("averaged",),
)
