"""From scores of words to masks: the same share of every document."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.document import highest
from pyro_rationale.prediction.decoding import Mask


def share_of(words: int, rate: float) -> int:
    """Words of a document that may be kept: the nearest number to `rate * words`, but at least one."""
    return min(words, max(1, round(rate * words)))


def top_words(scores: NDArray[np.float64], rate: float) -> NDArray[np.bool_]:
    """Flags of the words with the highest scores, `(n,)`; of equal ones the first. Words that score 0 are never kept.

    Args:
        scores: `(n,)`, none below 0.
        rate: share of the words, see :func:`share_of`.
    """
    return highest(scores, share_of(len(scores), rate)) & (scores > 0)


def all_top_words(scores: Sequence[NDArray[np.float64]], rate: float) -> list[Mask]:
    """Masks of the top words of each of several documents."""
    return [tuple(top_words(row, rate).tolist()) for row in scores]


def scaled(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores of at least 0, divided by the highest of the document."""
    most = scores.max(initial=0.0)
    return scores / most if most > 0 else scores
