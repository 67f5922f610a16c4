"""Shape of masks: how many words they keep, in how long runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyro_rationale.data.document import spans_of
from pyro_rationale.evaluation.metrics._base import Metric, MetricFamily, MetricInputs, numbers, rows_by_target
from pyro_rationale.evaluation.statistic import Masks, Statistics, average, quotient


def selection_statistics(masks: Masks) -> Statistics:
    """Shape of the masks.

    Returns:
        `selected`: share of all words that are kept (pooled); `span`: mean length of a run of kept words;
        `empty`: share of documents that keep nothing.
    """
    kept = [sum(map(bool, mask)) for mask in masks]
    return {
        "selected": quotient(kept, [len(mask) for mask in masks]),
        "span": quotient(kept, [count_runs(mask) for mask in masks]),
        "empty": average([count == 0 for count in kept]),
    }


def count_runs(mask: Sequence[bool]) -> int:
    """Number of maximal runs of kept words."""
    return len(spans_of(mask))


selection_metrics = numbers(selection_statistics)

def _compute(inputs: MetricInputs) -> Mapping[str, Any]:
    figures: dict[str, Any] = dict(selection_statistics(inputs.masks or ()))
    if any(document.aspect is not None for document in inputs.documents):
        figures["aspects"] = {name: selection_metrics(masks) for name, (_, masks) in rows_by_target(inputs).items()}
    return figures


REGISTERED = MetricFamily(
    (
        Metric("selected", "words kept", "%", tested=True, main=True),
        Metric("span", "mean run of kept words", ".3g", main=True),
        Metric("empty", "documents with none kept", "%", tested=True, main=True),
    ),
    _compute,
)
