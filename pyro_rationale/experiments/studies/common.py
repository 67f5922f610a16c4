"""Rows of results, and documents cut to a length, for the studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pyro_rationale.data.corpus import Document

Row = dict[str, Any]


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
