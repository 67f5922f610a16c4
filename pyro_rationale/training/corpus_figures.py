"""Figures of a corpus that options are chosen by."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from pyro_rationale.data.cache.dataset import target_rows, word_counts
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.data.pairs import PairCorpus
from pyro_rationale.data.units import unit_starts


def words_of(corpus: Corpus) -> int:
    """Words of all texts."""
    return sum(sum(word_counts(part)) for part in (corpus.train, corpus.dev, corpus.test))


def median_words(corpus: Corpus) -> float:
    """Words of a median training text, at least 1: a text without any is read as one unknown word."""
    return max(1.0, float(np.median(word_counts(corpus.train))))


def examples_of(corpus: Corpus) -> int:
    """Number of examples in an epoch of training: texts, or, of pairs, queries."""
    return len(corpus.queries["train"]) if isinstance(corpus, PairCorpus) else len(corpus.train)


def correlation_of(corpus: Corpus) -> float:
    """Mean size of the correlation of two targets, by the training texts that have both; 0 of a single target."""
    targets = target_rows(corpus.train, len(corpus.spec.names))
    pairs: list[float] = []
    for i, j in combinations(range(targets.shape[1]), 2):
        both = targets[:, [i, j]][~np.isnan(targets[:, [i, j]]).any(1)]
        if len(both) > 1 and both.std(0).all():
            pairs.append(abs(float(np.corrcoef(both.T).ravel()[1])))
    return float(np.mean(pairs)) if pairs else 0.0


def median_units(corpus: Corpus, unit: str) -> float:
    """Median number of clauses, or sentences, of a training text, by a thousand of them at most."""
    return float(np.median([len(unit_starts(document, unit)) for document in _some(corpus)]))


def words_of_units(corpus: Corpus, unit: str) -> float:
    """Mean number of words of a unit: 1, or that of the clauses or sentences of a thousand training texts at most."""
    if unit == "word":
        return 1.0
    some = _some(corpus)
    units = sum(len(unit_starts(document, unit)) for document in some)
    return max(1.0, sum(len(document.tokens) for document in some) / units)


def _some(corpus: Corpus) -> Sequence[Document]:
    """A thousand training texts or so, evenly spread over their order; all of fewer."""
    return corpus.train[:: max(1, len(corpus.train) // 1000)]
