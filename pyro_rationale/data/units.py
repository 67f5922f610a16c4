"""Stretches of text that a rationale keeps or drops as a whole: words, clauses or sentences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.clauses import clause_starts
from pyro_rationale.data.document import Document
from pyro_rationale.data.sentences import sentence_starts

UNITS = ("word", "clause", "sentence")


def unit_starts(document: Document, unit: str) -> NDArray[np.int64]:
    """Indices of the first words of the clauses, or sentences, `(U,)`, the first of them 0; of no words that too.

    Args:
        document: a text.
        unit: `clause` or `sentence`.
    """
    return clause_starts(document) if unit == "clause" else sentence_starts(document)
