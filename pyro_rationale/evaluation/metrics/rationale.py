"""Agreement of masks with the annotated rationale, word by word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyro_rationale.data.corpus import Document
from pyro_rationale.evaluation.metrics._base import Metric, MetricFamily, MetricInputs, numbers, rows_by_target
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
        `foreign`: share of the kept words that are in the rationale of another target only, of rows about one target.
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
    } | opinion_statistics(documents, masks) | foreign_statistics(documents, masks)


def opinion_statistics(documents: Sequence[Document], masks: Masks) -> Statistics:
    """`opinion_recall`, the share of the words that carry the rating which are kept; empty where unknown."""
    pairs = [(as_flags(d.opinion), as_flags(mask)) for d, mask in zip(documents, masks, strict=True)]
    total = [opinion.sum() for opinion, _ in pairs]
    hits = [(opinion & mask).sum() if opinion.size else 0 for opinion, mask in pairs]
    return {"opinion_recall": quotient(hits, total)} if any(total) else {}


def foreign_statistics(documents: Sequence[Document], masks: Masks) -> Statistics:
    """`foreign`, the share of kept words that another target's rationale holds and the own one does not.

    Empty unless documents are rows about one target, with the rationales of all.
    """
    if not any(document.aspect is not None and document.rationales is not None for document in documents):
        return {}
    strange, kept = [], []
    for document, mask in zip(documents, masks, strict=True):
        flags = as_flags(mask)
        own, others = np.zeros_like(flags), np.zeros_like(flags)
        for number, rationale in enumerate(document.rationales or ()):
            if rationale is not None:
                part = own if number == document.aspect else others
                part |= as_flags(rationale)
        strange.append(int((flags & others & ~own).sum()))
        kept.append(int(flags.sum()))
    return {"foreign": quotient(strange, kept)}


def _compute(inputs: MetricInputs) -> Mapping[str, Any]:
    figures: dict[str, Any] = dict(rationale_statistics(inputs.documents, inputs.masks or ()))
    each = {name: rationale_metrics(*own) for name, own in rows_by_target(inputs).items()}
    return figures | ({"aspects": each} if any(each.values()) else {})


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
        Metric("precision", "precision", "%", "higher", tested=True, main=True),
        Metric("recall", "recall", "%", "higher", tested=True, main=True),
        Metric("f1", "F1", "%", "higher", tested=True, main=True),
        Metric("precision_macro", "precision, mean of documents", "%", "higher"),
        Metric("recall_macro", "recall, mean of documents", "%", "higher"),
        Metric("f1_macro", "F1, mean of documents", "%", "higher", tested=True),
        Metric("precision_lei", "precision as in Lei et al.", "%", "higher"),
        Metric("opinion_recall", "opinion words kept", "%", "higher", tested=True),
        Metric("foreign", "kept words of another target", "%", "lower"),
    ),
    _compute,
)
