"""Documents that are asked about one of their targets: a row for each, where every target has a mask of its own.

A row has the words of its document, that target alone, and the rationale that was annotated for it. Whatever reads
documents, one mask each, reads rows all the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

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
