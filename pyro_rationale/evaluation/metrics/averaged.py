"""Errors of predictions averaged over masks, beside those of :mod:`prediction`, which come from one mask each."""

from __future__ import annotations

from pyro_rationale.evaluation.metrics._base import Metric, MetricFamily, MetricInputs
from pyro_rationale.evaluation.metrics.prediction import Predictions, prediction_statistics
from pyro_rationale.evaluation.statistic import Statistics


def _compute(inputs: MetricInputs) -> Statistics:
    assert inputs.averaged is not None
    predictions = Predictions(inputs.averaged, inputs.targets, inputs.decision)
    errors = prediction_statistics(inputs.spec, predictions)
    return {f"averaged_{name}": statistic for name, statistic in errors.items()}


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
