"""Documents in batches and cut to a length, for the studies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Document
from pyro_rationale.fitted import FittedModel

Row = dict[str, Any]


def batches_of(fitted: FittedModel, documents: Sequence[Document], size: int = 64) -> Iterator[Batch]:
    """Every document once, on the run's device, the shortest first; `index` says where each came from."""
    for batch in fitted.batches(documents, size).ordered():
        yield batch.to(fitted.device)


def shorten(documents: Sequence[Document], words: int) -> tuple[list[Document], int]:
    """The documents, none longer than `words` (0: as they are), and how many have been cut."""
    if not words:
        return list(documents), 0
    return [_first(d, words) for d in documents], sum(len(d.tokens) > words for d in documents)


def _first(document: Document, words: int) -> Document:
    return replace(
        document,
        tokens=document.tokens[:words],
        offsets=document.offsets[:words],
        gold=None if document.gold is None else document.gold[:words],
        opinion=None if document.opinion is None else document.opinion[:words],
        maps=None if document.maps is None else tuple(flags[:words] for flags in document.maps),
        rationales=None,
    )
