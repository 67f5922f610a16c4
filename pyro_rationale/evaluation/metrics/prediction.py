"""Errors of predicted targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.evaluation.metrics._base import Metric, MetricFamily, MetricInputs
from pyro_rationale.evaluation.statistic import (
    Flags,
    Metrics,
    Numbers,
    Statistic,
    Statistics,
    quotient,
    values_of,
)
from pyro_rationale.tasks import Decision, task_of

EVERY = slice(None)


@dataclass(frozen=True)
class Predictions:
    """Predicted and true targets of `N` documents.

    Attributes:
        values: `(N, D)` ratings in the user's units; `(N, D)` probabilities of the second class for binary labels;
            `(N, C)` class probabilities for multiclass.
        targets: `(N, D)` in the user's units or 0/1, NaN where unknown; `(N, 1)` class indices for multiclass.
        decision: the rule that names classes; `None`: the most probable one is named.
    """

    values: Numbers
    targets: Numbers
    decision: Decision | None = None


def prediction_metrics(spec: TargetSpec, predictions: Predictions) -> Metrics:
    """Errors of the predictions over the known targets; empty where no target is known.

    Returns:
        Ratings: `mse` and `mae` in the user's units (squared), `mse_scaled` with every rating range mapped to
        [0, 1]. Classes: `accuracy`, and `log_loss` in nats per label. With several targets also `aspects`: the
        same by target.
    """
    return values_of(prediction_statistics(spec, predictions)) | errors_by_target(spec, predictions)


def errors_by_target(spec: TargetSpec, predictions: Predictions, prefix: str = "") -> Metrics:
    """Errors by the targets' names under `aspects`; empty for one target, or if none is known.

    Args:
        spec: of the targets.
        predictions: of all targets.
        prefix: before the name of each error.
    """
    if len(spec.names) == 1 or np.isnan(predictions.targets).all():
        return {}
    statistics = (prediction_statistics(spec, predictions, slice(i, i + 1)) for i in range(len(spec.names)))
    each = ({f"{prefix}{name}": value for name, value in values_of(one).items()} for one in statistics)
    return {"aspects": dict(zip(spec.names, each, strict=True))}


def prediction_statistics(spec: TargetSpec, predictions: Predictions, columns: slice = EVERY) -> Statistics:
    """Errors of the predictions as statistics over documents, of all targets together or of those in some columns.

    Unknown targets add nothing to a document's sums; a prediction of NaN shows, by making the figure NaN.
    """
    targets = predictions.targets[:, columns]
    known = ~np.isnan(targets)
    if not known.any():
        return {}
    errors = task_of(spec, predictions.decision).errors(predictions.values, predictions.targets)
    return {name: _mean(values[:, columns], known) for name, values in errors.items()}


def _mean(values: Numbers | Flags, known: Flags) -> Statistic:
    """Over known targets `(N, D)`, however many of them a document has."""
    return quotient(np.where(known, values, 0.0).sum(1), known.sum(1))


def _compute(inputs: MetricInputs) -> Mapping[str, Any]:
    assert inputs.values is not None
    predictions = Predictions(inputs.values, inputs.targets, inputs.task.alone.decision)
    return {**prediction_statistics(inputs.spec, predictions), **errors_by_target(inputs.spec, predictions)}


REGISTERED = MetricFamily(
    (
        Metric("documents", "documents", "d", main=True),
        Metric("mse", "mean squared error", ".4g", "lower", tested=True, main=True),
        Metric("mse_scaled", "  on a [0, 1] scale", ".4g", "lower"),
        Metric("noise_floor", "  the least possible", ".4g", main=True),
        Metric("mae", "mean absolute error", ".4g", "lower", tested=True, main=True),
        Metric("accuracy", "accuracy", "%", "higher", tested=True, main=True),
        Metric("log_loss", "log loss (nats)", ".4g", "lower", tested=True, main=True),
    ),
    _compute,
    needs=("values",),
)
