"""How far masks agree with the annotated rationale, word by word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyro_rationale.data.corpus import Document
from pyro_rationale.evaluation.metrics.statistic import (
    Masks,
    Metrics,
    Statistics,
    as_flags,
    average,
    quotient,
    ratio,
    values_of,
)


def rationale_metrics(documents: Sequence[Document], masks: Masks) -> Metrics:
    """Agreement with the annotated rationales, over the documents that have one; empty where none has.

    Returns:
        `precision`, `recall`, `f1`: pooled over words. `precision_macro`, `recall_macro`, `f1_macro`: means over
        documents with at least one gold word, an empty mask counting 0. `precision_lei`: the mean over documents
        that keep something, as the paper's authors compute it (Lei et al. 2016): it forgives empty masks.
        `gold`: the gold share of words. `opinion_recall`: share of opinion words kept, where they are known.
    """
    return values_of(rationale_statistics(documents, masks))


def rationale_statistics(documents: Sequence[Document], masks: Masks) -> Statistics:
    """The same as statistics over documents; those without annotation add nothing."""
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


def opinion_metrics(documents: Sequence[Document], masks: Masks) -> Metrics:
    """`opinion_recall`, the share of the words that carry the rating which are kept; empty where unknown."""
    return values_of(opinion_statistics(documents, masks))


def opinion_statistics(documents: Sequence[Document], masks: Masks) -> Statistics:
    """The same as statistics over documents."""
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
