"""Where in their documents the kept words stand, beside where the words stand that they should be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.corpus import Document

BINS = 10
Flags = Sequence[bool]


def position_metrics(documents: Sequence[Document], masks: Sequence[Flags]) -> dict[str, float]:
    """Relative positions of kept words, 0 the start of a document and 1 its end.

    Returns:
        `position_mean`; `position_last_fifth`, the share of kept words in the last fifth of their document; and
        `position_distance`, the total variation distance (0 to 1) between the histogram of kept words in ten bins
        and that of the words that carry the rating where these are known, of all words where not. NaN where
        nothing is kept.
    """
    kept = relative_positions(masks)
    known = [d.opinion for d in documents]
    where: Sequence[Flags] = [o for o in known if o is not None]
    if len(where) < len(documents):
        where = [[True] * len(d.tokens) for d in documents]
    if not kept.size:
        return dict.fromkeys(("position_mean", "position_last_fifth", "position_distance"), float("nan"))
    distance = 0.5 * np.abs(histogram(kept) - histogram(relative_positions(where))).sum()
    return {
        "position_mean": float(kept.mean()),
        "position_last_fifth": float((kept >= 0.8).mean()),
        "position_distance": float(distance),
    }


def relative_positions(masks: Sequence[Flags]) -> NDArray[np.float64]:
    """(t + 1/2) / n of every flagged word of every document."""
    found = [(np.flatnonzero(np.asarray(mask, dtype=bool)) + 0.5) / max(1, len(mask)) for mask in masks]
    return np.concatenate(found) if found else np.zeros(0)


def histogram(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of relative positions in ten equal parts of a document, `(10,)`; all 0 without any."""
    counts = np.histogram(positions, bins=BINS, range=(0.0, 1.0))[0]
    return counts / max(1, counts.sum())
