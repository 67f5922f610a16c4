"""Documents in arrays of numbers: 12 bytes a word instead of a hundred, so that many texts need little memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.document import Document

Indices = NDArray[np.int64]


class CompactDocuments(Sequence[Document]):
    """Documents without targets and rationales, each made anew when it is asked for.

    Args:
        documents: gone through once.
    """

    def __init__(self, documents: Iterable[Document]) -> None:
        numbers: dict[str, int] = {}
        words, spans, titles, lengths = array("i"), array("i"), array("i"), array("i")
        self.ids: list[str] = []
        self.texts: list[str] = []
        for document in documents:
            self.ids.append(document.id)
            self.texts.append(document.text)
            words.extend([numbers.setdefault(token, len(numbers)) for token in document.tokens])
            spans.extend([end for span in document.offsets for end in span])
            titles.append(document.title)
            lengths.append(len(document.tokens))
        self.spellings = list(numbers)
        self.words, self.spans = np.array(words, dtype=np.int32), np.array(spans, dtype=np.int32)
        self.titles = np.array(titles, dtype=np.int32)
        self.starts = np.cumsum([0, *lengths], dtype=np.int64)
        self.rows: Indices = np.arange(len(self.ids))
        self.limit: int | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Words of each document, `(N,)`."""
        whole = np.diff(self.starts)[self.rows]
        return whole if self.limit is None else np.minimum(whole, self.limit)

    @overload
    def __getitem__(self, index: int) -> Document: ...

    @overload
    def __getitem__(self, index: slice) -> CompactDocuments: ...

    def __getitem__(self, index: int | slice) -> Document | CompactDocuments:
        if isinstance(index, slice):
            return self.taken(np.arange(len(self))[index])
        row = int(self.rows[index])
        start, end = self.starts[row : row + 2].tolist()
        if self.limit is not None:
            end = min(end, start + self.limit)
        spans = self.spans[2 * start : 2 * end].tolist()
        return Document(
            id=self.ids[row],
            text=self.texts[row],
            tokens=tuple(map(self.spellings.__getitem__, self.words[start:end].tolist())),
            offsets=tuple(zip(spans[::2], spans[1::2], strict=True)),
            title=min(int(self.titles[row]), end - start),
        )

    def __iter__(self) -> Iterator[Document]:
        return (self[index] for index in range(len(self)))

    def taken(self, positions: Sequence[int] | Indices) -> CompactDocuments:
        """The documents at `positions`, in that order; the words are shared."""
        return self._view(self.rows[np.asarray(positions, dtype=np.int64)], self.limit)

    def cut(self, length: int) -> CompactDocuments:
        """These documents with at most `length` words each."""
        return self._view(self.rows, length if self.limit is None else min(length, self.limit))

    def _view(self, rows: Indices, limit: int | None) -> CompactDocuments:
        view = object.__new__(CompactDocuments)
        view.__dict__.update(self.__dict__)
        view.rows, view.limit = rows, limit
        return view
