"""How far masks agree with the annotated rationale, word by word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyro_rationale.data.corpus import Document
from pyro_rationale.metrics.common import Masks, Metrics, Numbers, as_flags, f1_of, ratio


def rationale_metrics(documents: Sequence[Document], masks: Masks) -> Metrics:
    """Agreement with the annotated rationales, over the documents that have one; empty where none has.

    Returns:
        `precision`, `recall`, `f1`: pooled over words. `precision_macro`, `recall_macro`, `f1_macro`: means over
        documents with at least one gold word, an empty mask counting 0. `precision_lei`: the mean over documents
        that keep something, as the paper's authors compute it (Lei et al. 2016): it forgives empty masks.
        `gold`: the gold share of words. `opinion_recall`: share of opinion words kept, where they are known.
    """
    pairs = [(as_flags(d.gold), as_flags(m)) for d, m in zip(documents, masks, strict=True) if d.gold is not None]
    if not any(gold.any() for gold, _ in pairs):
        return {}
    counts = np.array([((gold & kept).sum(), kept.sum(), gold.sum()) for gold, kept in pairs], dtype=float)
    hits, kept, gold = counts.sum(0)
    precision, recall = ratio(hits, kept), ratio(hits, gold)
    metrics = {"precision": precision, "recall": recall, "f1": f1_of(precision, recall)}
    metrics |= _macro(counts[counts[:, 2] > 0])
    chosen = counts[counts[:, 1] > 0]
    metrics["precision_lei"] = float(np.mean(chosen[:, 0] / chosen[:, 1])) if len(chosen) else 0.0
    metrics["gold"] = ratio(gold, sum(len(mask) for mask, _ in pairs))
    return metrics | opinion_metrics(documents, masks)


def opinion_metrics(documents: Sequence[Document], masks: Masks) -> Metrics:
    """`opinion_recall`, the share of the words that carry the rating which are kept; empty where unknown."""
    known = [(d.opinion, mask) for d, mask in zip(documents, masks, strict=True) if d.opinion is not None]
    total = sum(sum(opinion) for opinion, _ in known)
    hits = sum(int((as_flags(opinion) & as_flags(mask)).sum()) for opinion, mask in known)
    return {"opinion_recall": hits / total} if total else {}


def _macro(counts: Numbers) -> Metrics:
    """Means over documents; `counts` `(N, 3)`: hits, kept, gold > 0."""
    hits, kept, gold = counts.T
    precision = hits / np.maximum(kept, 1)
    recall = hits / gold
    f1 = 2 * hits / (kept + gold)
    values = {"precision_macro": precision, "recall_macro": recall, "f1_macro": f1}
    return {name: float(value.mean()) for name, value in values.items()}
