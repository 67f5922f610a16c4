"""Agreement with the annotated rationale as ERASER measures it (DeYoung et al. 2020, section 4.1).

The definitions are those of the benchmark's scoring program, `rationale_benchmark/metrics.py`, which its users report:
the paper's text leaves averages and ties open. One thing differs: spans are maximal runs of words here, for masks and
gold alike, while ERASER's annotators may mark spans that touch or overlap.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pyro_rationale.data.corpus import Document
from pyro_rationale.data.document import spans_of
from pyro_rationale.evaluation.metrics._base import Metric, MetricFamily, numbers
from pyro_rationale.evaluation.statistic import (
    Flags,
    Masks,
    Numbers,
    Statistics,
    as_flags,
    average,
    balanced,
    quotient,
    ratio,
)

THRESHOLD = 0.5  # of intersection over union, from which a span counts as found
Span = tuple[int, int]


def eraser_statistics(
    documents: Sequence[Document], masks: Masks, scores: Sequence[Numbers] | None = None, threshold: float = THRESHOLD
) -> Statistics:
    """ERASER's plausibility metrics, over the annotated documents; empty where no document has a gold word.

    Args:
        documents: with gold rationales where they are annotated.
        masks: one flag per word.
        scores: by which words are ranked, a number per word; without them there is no AUPRC.
        threshold: for the overlap of spans, above 0 and at most 1.

    Returns:
        `iou_precision`: share of kept spans that overlap a gold span by `threshold`, mean over documents that keep a
        word; `iou_recall`: as many over gold spans, mean over documents with gold words; `iou_f1`: of these two means;
        `iou_f1_micro`: of the pooled counts of spans. `token_precision`, `token_recall`, `token_f1`: means over
        documents with a gold or a kept word (pooled, they are `f1` and so on of `rationale_metrics`). `auprc`: area
        under the curve of precision over recall by trapezoids, and `average_precision`: by steps; means over
        documents with gold words, the latter without documents that are gold throughout.
    """
    if not any(any(document.gold or ()) for document in documents):
        return {}
    pairs = [
        (as_flags(document.gold), as_flags(None if document.gold is None else mask))
        for document, mask in zip(documents, masks, strict=True)
    ]
    statistics = _span_statistics(pairs, threshold) | _token_statistics(pairs)
    return statistics if scores is None else statistics | ranking_statistics([gold for gold, _ in pairs], scores)


def _span_statistics(pairs: Sequence[tuple[Flags, Flags]], threshold: float) -> Statistics:
    rows = [span_counts(gold, kept, threshold) for gold, kept in pairs]
    hits, kept, gold = np.array(rows, dtype=float).reshape(-1, 3).T
    precision, recall = average(ratio(hits, kept), kept > 0), average(ratio(hits, gold), gold > 0)
    return {
        "iou_precision": precision,
        "iou_recall": recall,
        "iou_f1": balanced(precision, recall),
        "iou_f1_micro": balanced(quotient(hits, kept), quotient(hits, gold)),
    }


def _token_statistics(pairs: Sequence[tuple[Flags, Flags]]) -> Statistics:
    rows = [((gold & kept).sum(), kept.sum(), gold.sum()) for gold, kept in pairs]
    hits, kept, gold = np.array(rows, dtype=float).reshape(-1, 3).T
    either = kept + gold > 0
    return {
        "token_precision": average(ratio(hits, kept), either),
        "token_recall": average(ratio(hits, gold), either),
        "token_f1": average(ratio(2 * hits, kept + gold), either),
    }


def overlap(one: Span, other: Span) -> float:
    """Intersection over union of two spans that are not empty."""
    shared = max(0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / (one[1] - one[0] + other[1] - other[0] - shared)


def span_counts(gold: Flags, kept: Flags, threshold: float = THRESHOLD) -> tuple[int, int, int]:
    """Kept spans that overlap some gold span by `threshold`, kept spans, gold spans."""
    gold_spans, kept_spans = spans_of(gold), spans_of(kept)
    hits = sum(max((overlap(span, other) for other in gold_spans), default=0.0) >= threshold for span in kept_spans)
    return hits, len(kept_spans), len(gold_spans)


def ranking_statistics(golds: Sequence[Flags], scores: Sequence[Numbers]) -> Statistics:
    """`auprc` and `average_precision` as statistics over documents; `golds` are empty where nobody annotated."""
    rows = [
        (*areas(gold, score), gold.all()) if gold.any() else (0.0, 0.0, False)
        for gold, score in zip(golds, scores, strict=True)
    ]
    some = np.array([gold.any() for gold in golds], dtype=bool)
    trapezoids, steps, whole = np.array(rows, dtype=float).reshape(-1, 3).T
    return {"auprc": average(trapezoids, some), "average_precision": average(steps, some & (whole == 0))}


def areas(gold: Flags, scores: ArrayLike) -> tuple[float, float]:
    """Area under one document's curve of precision over recall, by trapezoids and by steps.

    Words of equal score enter together. The trapezoids start from precision 1 at recall 0, as scikit-learn's
    `auc(*precision_recall_curve)` does, which ERASER calls: where all words have one score, the area is (1 + g) / 2,
    g being the gold share, while that of the steps is g.

    Raises:
        ValueError: no word is gold, or scores are missing or no numbers.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.shape != gold.shape or np.isnan(scores).any():
        raise ValueError(f"expected {gold.size} scores that are numbers, got {scores.tolist()}")
    if not gold.any():
        raise ValueError("a document without gold words has no recall")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # of the words that share a score
    hits, above = np.cumsum(gold[order])[last], np.flatnonzero(last) + 1
    precision, recall = np.append(1.0, hits / above), np.append(0.0, hits / gold.sum())
    steps = np.diff(recall)
    return float(steps @ (precision[1:] + precision[:-1]) / 2), float(steps @ precision[1:])


eraser_metrics = numbers(eraser_statistics)

REGISTERED = MetricFamily(
    (
        Metric("iou_f1", "IOU F1 (ERASER)", "%", "higher", tested=True),
        Metric("token_f1", "token F1 (ERASER)", "%", "higher"),
        Metric("auprc", "AUPRC (ERASER)", "%", "higher", tested=True),
        *(
            Metric(name, format="%", better="higher")
            for name in ("iou_precision", "iou_recall", "iou_f1_micro", "token_precision", "token_recall")
        ),
        Metric("average_precision", format="%", better="higher"),
    ),
    lambda inputs: eraser_statistics(inputs.documents, inputs.masks or (), inputs.scores),
)
