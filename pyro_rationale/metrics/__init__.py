"""How good rationales and predictions are: plain functions on masks, documents and numbers.

A *mask* is one bool per word of one document; functions take a list of masks, as long as the list of documents, so
padding cannot enter. A ratio without a denominator is 0 by convention (nothing kept has precision 0); always read
precision next to `empty`, the share of documents that keep nothing.
"""

from pyro_rationale.metrics.common import Masks, Metrics
from pyro_rationale.metrics.prediction import SMALLEST_PROBABILITY, Predictions, prediction_metrics
from pyro_rationale.metrics.rationale import opinion_metrics, rationale_metrics
from pyro_rationale.metrics.selection import count_runs, lexicon_metrics, selection_metrics

__all__ = [
    "SMALLEST_PROBABILITY",
    "Masks",
    "Metrics",
    "Predictions",
    "count_runs",
    "lexicon_metrics",
    "opinion_metrics",
    "prediction_metrics",
    "rationale_metrics",
    "selection_metrics",
]
