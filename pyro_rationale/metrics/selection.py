"""What masks look like, whatever they should be; and whether they prefer the words of a lexicon."""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import groupby

import numpy as np

from pyro_rationale.data.corpus import Document
from pyro_rationale.metrics.common import Masks, Metrics, as_flags, ratio


def selection_metrics(masks: Masks) -> Metrics:
    """What the masks look like, whatever they should be.

    Returns:
        `selected`: share of all words that are kept (pooled); `span`: mean length of a run of kept words;
        `empty`: share of documents that keep nothing.
    """
    words = sum(len(mask) for mask in masks)
    kept = sum(sum(map(bool, mask)) for mask in masks)
    runs = sum(count_runs(mask) for mask in masks)
    return {
        "selected": ratio(kept, words),
        "span": ratio(kept, runs),
        "empty": ratio(sum(not any(mask) for mask in masks), len(masks)),
    }


def count_runs(mask: Sequence[bool]) -> int:
    """Number of maximal runs of kept words."""
    return sum(value for value, _ in groupby(map(bool, mask)))


def lexicon_metrics(documents: Sequence[Document], masks: Masks, lexicon: Container[str]) -> Metrics:
    """How much more often kept words stand in a lexicon than words in general.

    Returns:
        `lexicon_kept` and `lexicon_base`: shares of kept and of all words that are in the lexicon;
        `lexicon_lift`: their ratio, NaN if no word at all is in the lexicon.
    """
    found = [np.array([token in lexicon for token in d.tokens], dtype=bool) for d in documents]
    kept = [as_flags(mask) for mask in masks]
    base = ratio(sum(f.sum() for f in found), sum(f.size for f in found))
    share = ratio(sum((f & k).sum() for f, k in zip(found, kept, strict=True)), sum(k.sum() for k in kept))
    return {"lexicon_kept": share, "lexicon_base": base, "lexicon_lift": share / base if base else float("nan")}
