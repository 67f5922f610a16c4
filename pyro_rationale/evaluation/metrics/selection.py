"""Shape of masks: how many words they keep, in how long runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyro_rationale.data.document import Document, spans_of
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


def shared_statistics(documents: Sequence[Document], masks: Masks) -> Statistics:
    """`shared`, the share of kept words that are kept for another target of the same text too.

    Args:
        documents: rows about one target each; those of a text stand together, in the order of the targets.
        masks: one of each row.
    """
    kept, also = [], []
    for rows in _texts(documents, masks):
        flags = np.array(rows, dtype=bool)
        kept += flags.sum(1).tolist()
        also += (flags & (flags.sum(0) > 1)).sum(1).tolist()
    return {"shared": quotient(also, kept)}


def _texts(documents: Sequence[Document], masks: Masks) -> list[list[Sequence[bool]]]:
    """The masks of each text."""
    texts: list[list[Sequence[bool]]] = []
    last = math.inf
    for document, mask in zip(documents, masks, strict=True):
        assert document.aspect is not None
        if document.aspect <= last:
            texts.append([])
        texts[-1].append(mask)
        last = document.aspect
    return texts


def _compute(inputs: MetricInputs) -> Mapping[str, Any]:
    figures: dict[str, Any] = dict(selection_statistics(inputs.masks or ()))
    if any(document.aspect is not None for document in inputs.documents):
        figures |= shared_statistics(inputs.documents, inputs.masks or ())
        figures["aspects"] = {name: selection_metrics(masks) for name, (_, masks) in rows_by_target(inputs).items()}
    return figures


REGISTERED = MetricFamily(
    (
        Metric("selected", "words kept", "%", tested=True, main=True),
        Metric("span", "mean run of kept words", ".3g", main=True),
        Metric("empty", "documents with none kept", "%", tested=True, main=True),
        Metric("shared", "kept words that are kept for another target too", "%", main=True),
    ),
    _compute,
)
