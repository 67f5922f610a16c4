"""Errors of predicted targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.evaluation.metrics.statistic import (
    Flags,
    Metrics,
    Numbers,
    Statistic,
    Statistics,
    quotient,
    values_of,
)

SMALLEST_PROBABILITY = 1e-7
EVERY = slice(None)


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
    metrics = values_of(prediction_statistics(spec, predictions))
    if metrics and len(spec.names) > 1:
        columns = {name: slice(i, i + 1) for i, name in enumerate(spec.names)}
        found = {name: prediction_statistics(spec, predictions, column) for name, column in columns.items()}
        metrics["aspects"] = {name: values_of(statistics) for name, statistics in found.items()}
    return metrics


def prediction_statistics(spec: TargetSpec, predictions: Predictions, columns: slice = EVERY) -> Statistics:
    """The same as statistics over documents, of all targets together or of those in some columns.

    Unknown targets add nothing to a document's sums; a prediction of NaN shows, by making the figure NaN.
    """
    targets = predictions.targets[:, columns]
    known = ~np.isnan(targets)
    if not known.any():
        return {}
    if spec.kind == "multiclass":
        return _multiclass(targets, predictions.values, known)
    values = predictions.values[:, columns]
    if spec.kind == "binary":
        right = np.where(targets == 1, values, 1 - values)
        hits = (values >= 0.5) == (targets == 1)
        return {"accuracy": _mean(hits, known), "log_loss": _mean(_log_loss(right), known)}
    error = values - targets
    scaled = error / np.array([high - low for low, high in spec.ranges])[columns]
    return {
        "mse": _mean(error**2, known),
        "mse_scaled": _mean(scaled**2, known),
        "mae": _mean(np.abs(error), known),
    }


def _multiclass(targets: Numbers, values: Numbers, known: Flags) -> Statistics:
    truth = np.where(known, targets, 0.0).astype(int)
    right = np.take_along_axis(values, truth, axis=1)
    hits = values.argmax(1)[:, None] == truth
    return {"accuracy": _mean(hits, known), "log_loss": _mean(_log_loss(right), known)}


def _mean(values: Numbers | Flags, known: Flags) -> Statistic:
    """Over known targets `(N, D)`, however many of them a document has."""
    return quotient(np.where(known, values, 0.0).sum(1), known.sum(1))


def _log_loss(right: Numbers) -> Numbers:
    """-log of the probabilities given to what was true, bounded away from infinity."""
    return -np.log(np.maximum(right, SMALLEST_PROBABILITY))
