"""Errors of predicted targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.metrics.common import Metrics, Numbers

SMALLEST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Predictions:
    """Predicted and true targets of `N` documents.

    Attributes:
        values: `(N, D)` ratings in the user's units; `(N, D)` probabilities of the second class for binary labels;
            `(N, C)` class probabilities for multiclass.
        targets: `(N, D)` in the user's units or 0/1, NaN where unknown; `(N, 1)` class indices for multiclass.
    """

    values: Numbers
    targets: Numbers


def prediction_metrics(spec: TargetSpec, predictions: Predictions) -> Metrics:
    """Errors of the predictions over the known targets; empty where no target is known.

    Returns:
        Ratings: `mse` and `mae` in the user's units (squared), `mse_scaled` with every rating range mapped to
        [0, 1]. Classes: `accuracy`, and `log_loss` in nats per label. With several targets also `aspects`: the
        same by target.
    """
    if np.isnan(predictions.targets).all():
        return {}
    if spec.kind == "multiclass":
        return _multiclass(predictions)
    measure = _regression if spec.kind == "regression" else _binary
    metrics = measure(spec, predictions, slice(None))
    if len(spec.names) > 1:
        columns = {name: slice(i, i + 1) for i, name in enumerate(spec.names)}
        metrics["aspects"] = {name: measure(spec, predictions, column) for name, column in columns.items()}
    return metrics


def _regression(spec: TargetSpec, predictions: Predictions, columns: slice) -> Metrics:
    known = ~np.isnan(predictions.targets[:, columns])  # by target: a prediction of NaN must show
    if not known.any():
        return {}
    error = (predictions.values - predictions.targets)[:, columns]
    scaled = error / np.array([high - low for low, high in spec.ranges])[columns]
    return {
        "mse": float(np.mean(error[known] ** 2)),
        "mse_scaled": float(np.mean(scaled[known] ** 2)),
        "mae": float(np.mean(np.abs(error[known]))),
    }


def _binary(spec: TargetSpec, predictions: Predictions, columns: slice) -> Metrics:
    targets = predictions.targets[:, columns]
    known = ~np.isnan(targets)
    if not known.any():
        return {}
    truth, yes = targets[known], predictions.values[:, columns][known]
    right = np.where(truth == 1, yes, 1 - yes)
    return {"accuracy": float(np.mean((yes >= 0.5) == (truth == 1))), "log_loss": _log_loss(right)}


def _multiclass(predictions: Predictions) -> Metrics:
    known = ~np.isnan(predictions.targets[:, 0])
    truth, values = predictions.targets[known, 0].astype(int), predictions.values[known]
    right = values[np.arange(len(truth)), truth]
    return {"accuracy": float(np.mean(values.argmax(1) == truth)), "log_loss": _log_loss(right)}


def _log_loss(right: Numbers) -> float:
    """Mean -log of the probabilities given to what was true, bounded away from infinity."""
    return float(-np.log(np.maximum(right, SMALLEST_PROBABILITY)).mean())
