"""Figures in which every class counts alike, however many documents it has, and figures of each class.

Accuracy says little where 95 of 100 labels are the same: a constant prediction is right as often. Macro-F1 and
balanced accuracy are means over classes; AUC asks whether probabilities rank the documents of a class above others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.evaluation.metrics._base import Metric, MetricFamily, MetricInputs
from pyro_rationale.evaluation.metrics.uncertainty import ranks
from pyro_rationale.evaluation.statistic import Metrics, Numbers, Statistic, Statistics, combined, ratio, values_of
from pyro_rationale.tasks import Task
from pyro_rationale.tasks._decision import macro_f1

Labels = NDArray[np.int64]
UNKNOWN = -1  # instead of the index of a class


def confusion_matrix(true: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """How many documents of each class, by row, are predicted to be of each, by column; those unknown are left out."""
    known = true != UNKNOWN
    counts = np.bincount(true[known] * classes + predicted[known], minlength=classes**2)
    return counts.reshape(classes, classes).astype(np.int64)


def class_figures(matrix: NDArray[np.int64], labels: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """`documents`, `precision`, `recall` and `f1` of each class, from a confusion matrix."""
    sums = np.stack([matrix.diagonal(), matrix.sum(0), matrix.sum(1)])
    each = zip(matrix.sum(1), ratio(sums[0], sums[1]), ratio(sums[0], sums[2]), _f1(sums), strict=True)
    rows = ({"documents": int(n), "precision": float(p), "recall": float(r), "f1": float(f)} for n, p, r, f in each)
    return dict(zip(labels, rows, strict=True))


def area_under_roc(scores: Numbers, positive: NDArray[np.bool_]) -> float:
    """Probability that a positive document has a higher score than another, ties counting half; NaN without both.

    Args:
        scores: `(N,)`.
        positive: which documents are, `(N,)`.
    """
    count, rest = int(positive.sum()), int((~positive).sum())
    if not count or not rest:
        return float("nan")
    return float((ranks(scores)[positive].sum() - count * (count + 1) / 2) / (count * rest))


def mean_area(probabilities: Numbers, true: Labels) -> float:
    """Mean over classes of the area under the ROC curve of each against the rest; NaN where only one occurs.

    Args:
        probabilities: `(N, C)`; of two classes both have the same area.
        true: `(N,)`.
    """
    known = true != UNKNOWN
    areas = np.array([area_under_roc(column[known], true[known] == i) for i, column in enumerate(probabilities.T)])
    return float(np.nanmean(areas)) if not np.isnan(areas).all() else float("nan")


def class_statistics(true: Labels, predicted: Labels, classes: int) -> Statistics:
    """`macro_f1` and `balanced_accuracy` of one target, as functions of sums over documents.

    As in scikit-learn: classes that are neither true nor predicted of any document have no F1, and those that are true
    of none have no recall.
    """
    known = (true != UNKNOWN)[:, None]
    marks = [known & (labels[:, None] == np.arange(classes)) for labels in (predicted, true)]
    table = np.hstack([marks[0] & marks[1], *marks]).astype(float)
    return {"macro_f1": Statistic(table, _macro_f1), "balanced_accuracy": Statistic(table, _balanced_accuracy)}


def _parts(sums: Numbers) -> Numbers:
    """Sums `(*, 3 C)` as those of hits, predicted and true, `(3, *, C)`."""
    return np.stack(np.split(sums, 3, axis=-1))


def _f1(parts: Numbers) -> Numbers:
    return ratio(2 * parts[0], parts[1] + parts[2])


def _macro_f1(sums: Numbers) -> Numbers:
    return macro_f1(*_parts(sums))


def _balanced_accuracy(sums: Numbers) -> Numbers:
    parts = _parts(sums)
    return ratio(ratio(parts[0], parts[2]).sum(-1), (parts[2] > 0).sum(-1))


def _mean_of(*figures: Numbers) -> Numbers:
    mean: Numbers = np.mean(figures, axis=0)
    return mean


def _labels(inputs: MetricInputs) -> Labels:
    """Indices of true classes, `(N, D)`."""
    return np.where(np.isnan(inputs.targets), UNKNOWN, inputs.targets).astype(np.int64)


def _figures(task: Task, values: Numbers, true: Labels) -> list[tuple[Statistics, Metrics]]:
    """Statistics of each target with known labels, and its `auc`, `classes` and `confusion`."""
    spec = task.spec
    predicted, probabilities = task.decisions(values), task.probabilities(values)
    if probabilities is None:
        return []
    each = []
    for i, labels in enumerate(true.T):
        if (labels != UNKNOWN).any():
            matrix = confusion_matrix(labels, predicted[:, i], len(spec.classes))
            rows = (dict(zip(spec.classes, row, strict=True)) for row in matrix.tolist())
            named = dict(zip(spec.classes, rows, strict=True))
            more: Metrics = {"auc": mean_area(probabilities[:, i], labels)}
            more |= {"classes": class_figures(matrix, spec.classes), "confusion": named}
            each.append((class_statistics(labels, predicted[:, i], len(spec.classes)), more))
    return each


def _pooled(each: list[tuple[Statistics, Metrics]]) -> dict[str, Any]:
    """Means of the figures over targets; that of `auc` only over targets of which several classes occur."""
    first = each[0][0]
    means: dict[str, Any] = {name: combined(_mean_of, *(one[name] for one, _ in each)) for name in first}
    areas = [more["auc"] for _, more in each if not math.isnan(more["auc"])]
    return means | {"auc": float(np.mean(areas)) if areas else math.nan}


def _compute(inputs: MetricInputs) -> Mapping[str, Any]:
    spec, true = inputs.spec, _labels(inputs)
    found: dict[str, Any] = {}
    each: list[tuple[Statistics, Metrics]] = []
    task = inputs.task
    for prefix, own, values in (("", task.alone, inputs.values), ("averaged_", task, inputs.averaged)):
        if spec.classes and values is not None and (figures := _figures(own, values, true)):
            found |= {f"{prefix}{name}": value for name, value in _pooled(figures).items()}
            each = figures  # of the average, which people see, where there is one
    if len(spec.names) == 1:
        return found | {name: each[0][1][name] for name in ("classes", "confusion") if each}
    known = [name for name, column in zip(spec.names, true.T, strict=True) if (column != UNKNOWN).any()]
    aspects = {name: values_of(one) | more for name, (one, more) in zip(known, each, strict=False)}
    return found | ({"aspects": aspects} if aspects else {})


REGISTERED = MetricFamily(
    (
        Metric("balanced_accuracy", "balanced accuracy", "%", "higher"),
        Metric("macro_f1", "macro F1", ".3f", "higher", main=True),
        Metric("auc", "area under ROC (AUC)", ".3f", "higher", main=True),
        Metric("averaged_balanced_accuracy", format="%", better="higher"),
        Metric("averaged_macro_f1", format=".3f", better="higher"),
        Metric("averaged_auc", format=".3f", better="higher"),
        Metric("classes"),
        Metric("confusion"),
    ),
    _compute,
    needs=(),
)
