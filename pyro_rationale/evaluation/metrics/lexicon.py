"""Share of kept words that stand in a lexicon."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np

from pyro_rationale.data.corpus import Document
from pyro_rationale.evaluation.metrics._base import Metric, MetricFamily, numbers
from pyro_rationale.evaluation.statistic import Masks, Numbers, Statistics, as_flags, combined, quotient


def lexicon_statistics(documents: Sequence[Document], masks: Masks, lexicon: Container[str]) -> Statistics:
    """How much more often kept words stand in a lexicon than words in general.

    Returns:
        `lexicon_kept` and `lexicon_base`: shares of kept and of all words that are in the lexicon;
        `lexicon_lift`: their ratio, NaN if no word at all is in the lexicon.
    """
    listed = [np.array([token in lexicon for token in d.tokens], dtype=bool) for d in documents]
    kept = [as_flags(mask) for mask in masks]
    both = [(f & k).sum() for f, k in zip(listed, kept, strict=True)]
    share = quotient(both, [k.sum() for k in kept])
    base = quotient([f.sum() for f in listed], [f.size for f in listed])
    return {"lexicon_kept": share, "lexicon_base": base, "lexicon_lift": combined(_lift, share, base)}


def _lift(share: Numbers, base: Numbers) -> Numbers:
    return np.where(base > 0, share / np.where(base > 0, base, 1.0), np.nan)


lexicon_metrics = numbers(lexicon_statistics)

REGISTERED = MetricFamily(
    (
        Metric("lexicon_kept", "kept words in the lexicon", "%", main=True),
        Metric("lexicon_base", "all words in the lexicon", "%", main=True),
        Metric("lexicon_lift", "lexicon lift", ".3g", "higher", main=True),
    ),
    lambda inputs: lexicon_statistics(inputs.documents, inputs.masks or (), inputs.lexicon or ()),
    needs=("masks", "lexicon"),
)
