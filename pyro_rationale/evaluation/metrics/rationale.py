"""Agreement of masks with the annotated rationale, word by word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyro_rationale.data.corpus import Document
from pyro_rationale.evaluation.metrics._base import Metric, MetricFamily, numbers
from pyro_rationale.evaluation.statistic import (
    Masks,
    Statistics,
    as_flags,
    average,
    quotient,
    ratio,
)


def rationale_statistics(documents: Sequence[Document], masks: Masks) -> Statistics:
    """Agreement with the annotated rationales, over the documents that have one; empty where none has.

    Returns:
        `precision`, `recall`, `f1`: pooled over words. `precision_macro`, `recall_macro`, `f1_macro`: means over
        documents with at least one gold word, an empty mask counting 0. `precision_lei`: the mean over documents
        that keep something, as the paper's authors compute it (Lei et al. 2016): it forgives empty masks.
        `gold`: the gold share of words. `opinion_recall`: share of opinion words kept, where they are known.
    """
    rows = [_counts(document, mask) for document, mask in zip(documents, masks, strict=True)]
    hits, kept, gold, words = np.array(rows, dtype=float).reshape(-1, 4).T
    if not gold.any():
        return {}
    known = gold > 0
    return {
        "precision": quotient(hits, kept),
        "recall": quotient(hits, gold),
        "f1": quotient(2 * hits, kept + gold),
        "precision_macro": average(ratio(hits, kept), known),
        "recall_macro": average(ratio(hits, gold), known),
        "f1_macro": average(ratio(2 * hits, kept + gold), known),
        "precision_lei": average(ratio(hits, kept), kept > 0),
        "gold": quotient(gold, words),
    } | opinion_statistics(documents, masks)


def opinion_statistics(documents: Sequence[Document], masks: Masks) -> Statistics:
    """`opinion_recall`, the share of the words that carry the rating which are kept; empty where unknown."""
    pairs = [(as_flags(d.opinion), as_flags(mask)) for d, mask in zip(documents, masks, strict=True)]
    total = [opinion.sum() for opinion, _ in pairs]
    hits = [(opinion & mask).sum() if opinion.size else 0 for opinion, mask in pairs]
    return {"opinion_recall": quotient(hits, total)} if any(total) else {}


def _counts(document: Document, mask: Sequence[bool]) -> tuple[int, int, int, int]:
    """Gold words kept, words kept, gold words, words; nothing of a document that nobody has annotated."""
    if document.gold is None:
        return 0, 0, 0, 0
    gold, kept = as_flags(document.gold), as_flags(mask)
    return int((gold & kept).sum()), int(kept.sum()), int(gold.sum()), kept.size


rationale_metrics = numbers(rationale_statistics)

REGISTERED = MetricFamily(
    (
        Metric("gold", "words in the gold rationale", "%"),
        Metric("precision", "precision", "%", "higher", tested=True),
        Metric("recall", "recall", "%", "higher", tested=True),
        Metric("f1", "F1", "%", "higher", tested=True),
        Metric("precision_macro", "precision, mean of documents", "%", "higher"),
        Metric("recall_macro", "recall, mean of documents", "%", "higher"),
        Metric("f1_macro", "F1, mean of documents", "%", "higher", tested=True),
        Metric("precision_lei", "precision as in Lei et al.", "%", "higher"),
        Metric("opinion_recall", "opinion words kept", "%", "higher", tested=True),
    ),
    lambda inputs: rationale_statistics(inputs.documents, inputs.masks or ()),
)
