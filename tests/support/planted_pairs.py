"""Planted pairs of similar texts for quick fits: two words of many fillers say what a text is about."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence

from pyro_rationale.data.document import Document, make_document
from pyro_rationale.data.pairs import PairCorpus, pair_corpus, pairs_of_groups, queries_of, split_queries

KINDS, PARTS = 6, 6  # a text is about a pair of these; each has two wordings


@functools.cache
def planted_pairs(copies: int = 4, words: int = 16, seed: int = 0) -> PairCorpus:
    """Texts in groups of `copies` about the same pair; gold are the two words. To be read only."""
    draw = random.Random(seed)
    documents: list[Document] = []
    groups: list[tuple[int, int]] = []
    for kind in range(KINDS):
        for part in range(PARTS):
            for _ in range(copies):
                said = [f"kind{kind}{draw.choice('ab')}", f"part{part}{draw.choice('ab')}"]
                text = [f"filler{draw.randrange(30)}" for _ in range(words - 2)]
                places = sorted(draw.sample(range(words), 2))
                for place, word in zip(places, said, strict=True):
                    text.insert(place, word)
                spans = [[text.index(word), text.index(word) + 1] for word in said]
                documents.append(make_document(f"text {len(documents)}", text, rationales=[spans]))
                groups.append((kind, part))
    return pairs_of_groups(documents, groups, seed)


def linked_pairs(documents: Sequence[Document], links: Sequence[tuple[int, int]], seed: int = 0) -> PairCorpus:
    """Pairs of documents, divided by connected component; documents in no pair are trained on."""
    return pair_corpus("linked", documents, split_queries(queries_of(links), documents, seed))
