"""What masks look like, whatever they should be; and whether they prefer the words of a lexicon."""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import groupby

import numpy as np

from pyro_rationale.data.corpus import Document
from pyro_rationale.evaluation.metrics.statistic import (
    Masks,
    Metrics,
    Numbers,
    Statistics,
    as_flags,
    average,
    combined,
    quotient,
    values_of,
)


def selection_metrics(masks: Masks) -> Metrics:
    """What the masks look like, whatever they should be.

    Returns:
        `selected`: share of all words that are kept (pooled); `span`: mean length of a run of kept words;
        `empty`: share of documents that keep nothing.
    """
    return values_of(selection_statistics(masks))


def selection_statistics(masks: Masks) -> Statistics:
    """The same as statistics over documents."""
    kept = [sum(map(bool, mask)) for mask in masks]
    return {
        "selected": quotient(kept, [len(mask) for mask in masks]),
        "span": quotient(kept, [count_runs(mask) for mask in masks]),
        "empty": average([count == 0 for count in kept]),
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
    return values_of(lexicon_statistics(documents, masks, lexicon))


def lexicon_statistics(documents: Sequence[Document], masks: Masks, lexicon: Container[str]) -> Statistics:
    """The same as statistics over documents."""
    found = [np.array([token in lexicon for token in d.tokens], dtype=bool) for d in documents]
    kept = [as_flags(mask) for mask in masks]
    both = [(f & k).sum() for f, k in zip(found, kept, strict=True)]
    share = quotient(both, [k.sum() for k in kept])
    base = quotient([f.sum() for f in found], [f.size for f in found])
    return {"lexicon_kept": share, "lexicon_base": base, "lexicon_lift": combined(_lift, share, base)}


def _lift(share: Numbers, base: Numbers) -> Numbers:
    return np.where(base > 0, share / np.where(base > 0, base, 1.0), np.nan)
