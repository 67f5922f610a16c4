"""Quality of rationales and predictions: a registry of metrics, and plain functions on masks, documents and numbers.

A *mask* is one bool per word of one document; functions take a list of masks, as long as the list of documents, so
padding cannot enter. A ratio without a denominator is 0 by convention (nothing kept has precision 0); always read
precision next to `empty`, the share of documents that keep nothing.

`*_metrics` give numbers by name, `*_statistics` give sums over documents, for intervals and tests. Each public module
registers a family of metrics that are computed together; :mod:`pyro_rationale.evaluation.evaluate` computes them all.
"""

from pyro_rationale.evaluation.metrics._base import Metric, MetricFamily, MetricInputs, targets_of
from pyro_rationale.evaluation.metrics.agreement import agreement_metrics
from pyro_rationale.evaluation.metrics.eraser import eraser_metrics
from pyro_rationale.evaluation.metrics.faithfulness import faithfulness_metrics
from pyro_rationale.evaluation.metrics.lexicon import lexicon_metrics
from pyro_rationale.evaluation.metrics.prediction import Predictions, prediction_metrics
from pyro_rationale.evaluation.metrics.ranking import ranking_metrics, ranking_statistics
from pyro_rationale.evaluation.metrics.rationale import rationale_metrics
from pyro_rationale.evaluation.metrics.selection import count_runs, selection_metrics
from pyro_rationale.evaluation.statistic import Masks, Metrics, Statistic, Statistics
from pyro_rationale.registry import Registry

METRICS: Registry[MetricFamily] = Registry(
    "metrics",
    __name__,
    "metrics",
    (
        *("prediction", "classification", "averaged", "uncertainty", "selection", "rationale"),
        *("eraser", "agreement", "faithfulness", "lexicon", "ranking", "objective"),
    ),
)


def metric_named(name: str) -> Metric | None:
    """The metric of a name; `None` if no family has one."""
    return next((metric for metric in every_metric() if metric.name == name), None)


def every_metric() -> list[Metric]:
    """All metrics of all families, in the order of tables."""
    return [metric for family in METRICS.values() for metric in family.metrics]


__all__ = [
    "METRICS",
    "Masks",
    "Metric",
    "MetricFamily",
    "MetricInputs",
    "Metrics",
    "Predictions",
    "Statistic",
    "Statistics",
    "agreement_metrics",
    "count_runs",
    "eraser_metrics",
    "every_metric",
    "faithfulness_metrics",
    "lexicon_metrics",
    "metric_named",
    "prediction_metrics",
    "ranking_metrics",
    "ranking_statistics",
    "rationale_metrics",
    "selection_metrics",
    "targets_of",
]
