"""From scores of words to masks: the same share of every document."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.prediction.decoding import Mask


def share_of(words: int, rate: float) -> int:
    """Words of a document that may be kept: the nearest number to `rate * words`, but at least one."""
    return min(words, max(1, round(rate * words)))


def top_words(scores: NDArray[np.float64], rate: float) -> Mask:
    """The words with the highest scores; of equal ones the first. Words that score 0 are never kept."""
    best = np.argsort(-scores, kind="stable")[: share_of(len(scores), rate)]
    kept = np.zeros(len(scores), dtype=bool)
    kept[best] = True
    return tuple((kept & (scores > 0)).tolist())


def all_top_words(scores: Sequence[NDArray[np.float64]], rate: float) -> list[Mask]:
    """Masks of the top words of each of several documents."""
    return [top_words(row, rate) for row in scores]


def scaled(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores of at least 0, divided by the highest of the document."""
    most = scores.max(initial=0.0)
    return scores / most if most > 0 else scores
