"""Documents that are asked about one of their targets: a row for each, where every target has a mask of its own.

A row has the words of its document, that target alone, and the rationale that was annotated for it. Whatever reads
documents, one mask each, reads rows all the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from pyro_rationale.data.document import Document


def asked(document: Document, aspect: int) -> Document:
    """The row of a document that is about target number `aspect`; other targets are unknown (NaN) there."""
    targets = tuple(value if i == aspect else math.nan for i, value in enumerate(document.targets))
    if document.rationales is None:
        return replace(document, targets=targets, aspect=aspect)
    gold, opinion = document.rationales[aspect], document.opinion
    if opinion is not None:
        inside = gold or (False,) * len(opinion)
        opinion = tuple(one and other for one, other in zip(opinion, inside, strict=True))
    return replace(document, targets=targets, gold=gold, opinion=opinion, maps=None, aspect=aspect)


def by_aspect(documents: Iterable[Document], count: int) -> list[Document]:
    """Rows of all `count` targets, document after document; what is a row already stays as it is."""
    return [
        row
        for document in documents
        for row in (
            [asked(document, aspect) for aspect in range(count)] if document.aspect is None else [document]
        )
    ]


def documents_of(rows: Sequence[Document]) -> int:
    """Number of documents that rows are of, which stand document after document, their targets in order.

    Ids need not differ: a row of an earlier target than the one before it, or of other words, is another document's.
    """

    def is_next(row: Document, other: Document) -> bool:
        assert row.aspect is not None
        assert other.aspect is not None
        same = row.id == other.id and row.text == other.text and row.tokens == other.tokens
        return same and row.aspect < other.aspect

    return sum(not is_next(row, other) for row, other in pairwise(rows)) + bool(rows)
