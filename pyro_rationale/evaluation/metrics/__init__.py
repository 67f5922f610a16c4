"""Quality of rationales and predictions: a registry of metrics, and plain functions on masks, documents and numbers.

A *mask* is one bool per word of one document; functions take a list of masks, as long as the list of documents, so
padding cannot enter. A ratio without a denominator is 0 by convention (nothing kept has precision 0); always read
precision next to `empty`, the share of documents that keep nothing.

`*_metrics` give numbers by name, `*_statistics` give sums over documents, for intervals and tests. Each public module
registers a family of metrics that are computed together; :mod:`pyro_rationale.evaluation.evaluate` computes them all.
"""

from pyro_rationale.evaluation.metrics._base import Judge, Metric, MetricFamily, MetricInputs, targets_of
from pyro_rationale.evaluation.metrics.agreement import agreement_metrics, agreement_statistics
from pyro_rationale.evaluation.metrics.eraser import eraser_metrics, eraser_statistics
from pyro_rationale.evaluation.metrics.faithfulness import BINS, faithfulness_metrics, faithfulness_statistics
from pyro_rationale.evaluation.metrics.lexicon import lexicon_metrics, lexicon_statistics
from pyro_rationale.evaluation.metrics.prediction import (
    Predictions,
    prediction_metrics,
    prediction_statistics,
)
from pyro_rationale.evaluation.metrics.rationale import opinion_metrics, rationale_metrics, rationale_statistics
from pyro_rationale.evaluation.metrics.selection import count_runs, selection_metrics, selection_statistics
from pyro_rationale.evaluation.significance import (
    Difference,
    added,
    differences,
    holm,
    intervals,
    paired_test,
    seeds_test,
)
from pyro_rationale.evaluation.statistic import Masks, Metrics, Statistic, Statistics, values_of
from pyro_rationale.registry import Registry

METRICS: Registry[MetricFamily] = Registry(
    "metrics",
    __name__,
    "metrics",
    ("prediction", "selection", "rationale", "eraser", "agreement", "faithfulness", "lexicon", "objective"),
)


def metric_named(name: str) -> Metric | None:
    """The metric of a name; `None` if no family has one."""
    return next((metric for metric in every_metric() if metric.name == name), None)


def every_metric() -> list[Metric]:
    """All metrics of all families, in the order of tables."""
    return [metric for family in METRICS.values() for metric in family.metrics]


__all__ = [
    "BINS",
    "METRICS",
    "Difference",
    "Judge",
    "Masks",
    "Metric",
    "MetricFamily",
    "MetricInputs",
    "Metrics",
    "Predictions",
    "Statistic",
    "Statistics",
    "added",
    "agreement_metrics",
    "agreement_statistics",
    "count_runs",
    "differences",
    "eraser_metrics",
    "eraser_statistics",
    "every_metric",
    "faithfulness_metrics",
    "faithfulness_statistics",
    "holm",
    "intervals",
    "lexicon_metrics",
    "lexicon_statistics",
    "metric_named",
    "opinion_metrics",
    "paired_test",
    "prediction_metrics",
    "prediction_statistics",
    "rationale_metrics",
    "rationale_statistics",
    "seeds_test",
    "selection_metrics",
    "selection_statistics",
    "targets_of",
    "values_of",
]
