"""How good rationales and predictions are: plain functions on masks, documents and numbers.

A *mask* is one bool per word of one document; functions take a list of masks, as long as the list of documents, so
padding cannot enter. A ratio without a denominator is 0 by convention (nothing kept has precision 0); always read
precision next to `empty`, the share of documents that keep nothing.

`*_metrics` give numbers by name, `*_statistics` the same as sums over documents, for intervals and tests.
"""

from pyro_rationale.evaluation.metrics.agreement import agreement_metrics, agreement_statistics
from pyro_rationale.evaluation.metrics.eraser import eraser_metrics, eraser_statistics
from pyro_rationale.evaluation.metrics.faithfulness import BINS, Judge, faithfulness_metrics, faithfulness_statistics
from pyro_rationale.evaluation.metrics.prediction import (
    Predictions,
    prediction_metrics,
    prediction_statistics,
)
from pyro_rationale.evaluation.metrics.rationale import opinion_metrics, rationale_metrics, rationale_statistics
from pyro_rationale.evaluation.metrics.selection import (
    count_runs,
    lexicon_metrics,
    lexicon_statistics,
    selection_metrics,
    selection_statistics,
)
from pyro_rationale.evaluation.metrics.statistic import Masks, Metrics, Statistic, Statistics, values_of
from pyro_rationale.evaluation.significance import (
    Difference,
    added,
    differences,
    holm,
    intervals,
    paired_test,
    seeds_test,
)

__all__ = [
    "BINS",
    "Difference",
    "Judge",
    "Masks",
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
    "faithfulness_metrics",
    "faithfulness_statistics",
    "holm",
    "intervals",
    "lexicon_metrics",
    "lexicon_statistics",
    "opinion_metrics",
    "paired_test",
    "prediction_metrics",
    "prediction_statistics",
    "rationale_metrics",
    "rationale_statistics",
    "seeds_test",
    "selection_metrics",
    "selection_statistics",
    "values_of",
]
