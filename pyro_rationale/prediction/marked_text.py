"""A text with the stretches that a model has kept, which stands alone: it needs neither words nor a model."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.document import Document
from pyro_rationale.errors import harmless
from pyro_rationale.prediction.text_spans import Span, spans, visible

KEPT = "text-decoration-thickness:.15em;text-underline-offset:.2em;font-weight:600;background:rgba(255,160,0,.3)"


@dataclass(frozen=True)
class MarkedText:
    """A text, and the words of it that a match rests on.

    `str()` is the text with the kept stretches in brackets; a notebook underlines them.

    Attributes:
        text: as given.
        spans: the kept runs of words as `(start, end)` characters of the text.
        mask: True on the kept words, and on those of a title that is always read.
        read: character at which reading ended; a tail behind it was not read.
        title: leading words that are read whatever is kept (`--keep-title`): they are marked, and count as none that
            is kept.
    """

    text: str
    spans: tuple[Span, ...]
    mask: tuple[bool, ...]
    read: int
    title: int = 0

    @classmethod
    def of(
        cls, document: Document, mask: Sequence[bool] | NDArray[np.bool_], keep_title: bool = False
    ) -> MarkedText:
        """The text of a document.

        Args:
            document: the text and its words.
            mask: one flag per word.
            keep_title: whether its title is read as well, whatever the mask says.
        """
        title = min(document.title, len(mask)) if keep_title else 0
        flags = (True,) * title + tuple(map(bool, mask[title:]))
        end = document.offsets[-1][1] if document.offsets else 0
        return cls(document.text, tuple(spans(document, flags)), flags, end, title)

    @property
    def kept(self) -> str:
        """The kept runs alone, on one line."""
        runs = (" ".join(harmless(self.text[start:end]).split()) for start, end in self.spans)
        return " … ".join(runs) or "(nothing)"

    @property
    def words_kept(self) -> int:
        """Number of words that a mask keeps; none of a title that is always read."""
        return sum(self.mask[self.title :])

    @property
    def share(self) -> float:
        """Share of the words that is kept; 0 for a text without words."""
        return self.words_kept / max(len(self.mask), 1)

    def shown(self) -> tuple[str, int]:
        """The harmless text without a long tail that was not read, and how many characters that tail has."""
        return visible(self.text, [(0, self.read)] if self.mask else ())

    def pieces(self) -> list[tuple[str, bool]]:
        """The shown text in pieces, each with whether it is kept."""
        text, hidden = self.shown()
        pieces, position = [], 0
        for start, end in self.spans:
            pieces += [(text[position:start], False), (text[start:end], True)]
            position = end
        pieces.append((text[position:] + (f"… ({hidden:,} more characters not read)" if hidden else ""), False))
        return [piece for piece in pieces if piece[0]]

    def __str__(self) -> str:
        return "".join(f"[{piece}]" if kept else piece for piece, kept in self.pieces())

    def _repr_html_(self) -> str:
        """One block without scripts, style sheets or links; it takes letters and background from the page."""
        marked = (
            f'<u style="{KEPT}">{html.escape(piece)}</u>' if kept else html.escape(piece)
            for piece, kept in self.pieces()
        )
        return f'<div dir="auto" style="white-space:pre-wrap;overflow-wrap:anywhere">{"".join(marked)}</div>'
