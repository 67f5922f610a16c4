"""Documents of an Arrow file as a sequence, of which only lengths and targets are in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from itertools import chain
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.cache.arrow import ArrowFile, Chunk
from pyro_rationale.data.cache.columns import keys_of_texts, keys_of_words
from pyro_rationale.data.compact import CompactDocuments
from pyro_rationale.data.document import Document, joined
from pyro_rationale.errors import DataError

Indices = NDArray[np.int64]
T = TypeVar("T")


class ArrowDocuments(Sequence[Document]):
    """Some documents of an Arrow file. Memory: 12 bytes a document, and 8 for each target and for a weight.

    Args:
        file: holds them.
        rows: int64, `(N,)`, which of its documents, in which order.
        targets: float64, `(N, D)`, or `None` where nothing is known.
        annotated: whether the documents have their gold rationales.
        weights: float64, `(N,)`, how many texts each counts as in a fit; `None`: one.
    """

    def __init__(
        self,
        file: ArrowFile,
        rows: Indices,
        targets: NDArray[np.float64] | None,
        annotated: bool = True,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        self.file, self.rows, self.targets, self.annotated = file, rows, targets, annotated
        self.weights = weights
        self.lengths: NDArray[np.int32] = file.lengths[rows]

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Document: ...

    @overload
    def __getitem__(self, index: slice) -> ArrowDocuments: ...

    def __getitem__(self, index: int | slice) -> Document | ArrowDocuments:
        if isinstance(index, slice):
            return self.taken(np.arange(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"document {index} of {len(self)}")
        chunk, row = self._located(index)
        columns = chunk.columns
        start, end = chunk.starts[row : row + 2].tolist()
        try:
            tokens = tuple(map(self.file.spellings.__getitem__, chunk.words[start:end].view(np.uint32).tolist()))
        except IndexError:
            raise self._damaged() from None
        spans = chunk.spans[2 * start : 2 * end].tolist()
        return Document(
            id=columns.column("id")[row].as_py(),
            text=columns.column("text")[row].as_py(),
            tokens=tokens,
            offsets=tuple(zip(spans[::2], spans[1::2], strict=True)),
            targets=() if self.targets is None else tuple(self.targets[index].tolist()),
            gold=_tuple(self.flags(index, "gold")),
            opinion=_tuple(self.flags(index, "opinion")),
            maps=self._maps(chunk, row),
            rationales=self._rationales(chunk, row),
            weight=1.0 if self.weights is None else float(self.weights[index]),
        )

    def __iter__(self) -> Iterator[Document]:
        return (self[index] for index in range(len(self)))

    def taken(self, positions: Indices) -> ArrowDocuments:
        """The documents at `positions`, in that order."""
        targets = None if self.targets is None else self.targets[positions]
        weights = None if self.weights is None else self.weights[positions]
        return ArrowDocuments(self.file, self.rows[positions], targets, self.annotated, weights)

    def unlabelled(self) -> ArrowDocuments:
        """These texts without targets and rationales."""
        return ArrowDocuments(self.file, self.rows, None, annotated=False)

    def encode(self, index: int, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of a document's words `(n,)`, given those of all spellings."""
        chunk, row = self._located(index)
        words = chunk.words[chunk.starts[row] : chunk.starts[row + 1]]
        try:
            return numbers[words.view(np.uint32)]  # a negative number is as much too large as others
        except IndexError:
            raise self._damaged() from None

    def joined(self, index: int) -> NDArray[np.bool_]:
        """Whether each word of a document follows the one before it without white space, `(n,)`."""
        chunk, row = self._located(index)
        start, end = chunk.starts[row : row + 2].tolist()
        return joined(chunk.spans[2 * start : 2 * end])

    def flags(self, index: int, name: str) -> NDArray[np.bool_] | None:
        """`gold` or `opinion` of a document, `(n,)`; `None` if unknown."""
        chunk, row = self._located(index)
        return chunk.flags(row, name) if self.annotated else None

    def _located(self, index: int) -> tuple[Chunk, int]:
        return self.file.locate(int(self.rows[index]))

    def has_gold(self) -> NDArray[np.bool_]:
        """Which documents have a gold rationale, `(N,)`."""
        if not self.annotated:
            return np.zeros(len(self), dtype=bool)
        columns = (column for _, column in self.file.streamed("gold"))
        known = [column.is_valid().to_numpy(zero_copy_only=False) for column in columns]
        return np.concatenate(known)[self.rows] if known else np.zeros(len(self), dtype=bool)

    def keys(self, column: str) -> NDArray[np.int64]:
        """`text_key` or `word_key` of each document, `(N,)`."""
        return self.file.keys(column)[self.rows]

    def count_words(self) -> Counter[str]:
        """How often each word occurs, counted in one pass over the file."""
        here = np.bincount(self.rows, minlength=len(self.file))
        size = len(self.file.spellings)
        counts = np.zeros(size, dtype=np.int64)
        for first, column in self.file.streamed("words"):
            times = np.repeat(here[first : first + len(column)], np.diff(column.offsets.to_numpy()))
            words = column.values.to_numpy().view(np.uint32)
            if len(words) and words.max() >= size:
                raise self._damaged()
            counts += np.bincount(words.view(np.int32), weights=times, minlength=size).astype(np.int64)
        return Counter({self.file.spellings[i]: int(counts[i]) for i in np.flatnonzero(counts)})

    def _damaged(self) -> DataError:
        return DataError(f"{self.file.path}: damaged (a word that it does not have); delete it, and it is made again")

    def _maps(self, chunk: Chunk, row: int) -> tuple[tuple[bool, ...], ...] | None:
        maps = chunk.columns.column("maps")[row].as_py() if self.annotated else None
        return None if maps is None else tuple(map(tuple, maps))

    def _rationales(self, chunk: Chunk, row: int) -> tuple[tuple[bool, ...] | None, ...] | None:
        if not self.annotated or "rationales" not in chunk.columns.schema.names:  # of an older version
            return None
        flags = chunk.columns.column("rationales")[row].as_py()
        return None if flags is None else tuple(None if own is None else tuple(own) for own in flags)


def _tuple(flags: NDArray[np.bool_] | None) -> tuple[bool, ...] | None:
    return None if flags is None else tuple(flags.tolist())


def taken(documents: Sequence[T], positions: Sequence[int] | Indices) -> Sequence[T]:
    """The documents at `positions`, in that order."""
    if isinstance(documents, ArrowDocuments | CompactDocuments):
        return documents.taken(np.asarray(positions, dtype=np.int64))  # type: ignore[return-value]
    return tuple(documents[i] for i in positions)


def text_keys(documents: Sequence[Document]) -> list[Hashable]:
    """A key of each document, equal for equal texts."""
    if isinstance(documents, ArrowDocuments):
        return list(documents.keys("text_key").tolist())
    return [document.text for document in documents]


def target_rows(documents: Sequence[Document], width: int) -> NDArray[np.float64]:
    """Targets in the user's units, `(N, D)`; NaN where a document has none."""
    if isinstance(documents, ArrowDocuments) and documents.targets is not None:
        return documents.targets
    missing = (float("nan"),) * width
    rows = [document.targets or missing for document in documents]
    return np.array(rows, dtype=float).reshape(-1, width)


def document_weights(documents: Sequence[Document]) -> NDArray[np.float64]:
    """How many texts each document counts as in a fit, `(N,)`."""
    if isinstance(documents, ArrowDocuments):
        return np.ones(len(documents)) if documents.weights is None else documents.weights
    return np.array([document.weight for document in documents], dtype=float)


def word_counts(documents: Sequence[Document]) -> list[int]:
    """Words of each document."""
    if isinstance(documents, ArrowDocuments | CompactDocuments):
        lengths: list[int] = documents.lengths.tolist()
        return lengths
    return [len(document.tokens) for document in documents]


def count_words(documents: Sequence[Document]) -> Counter[str]:
    """How often each word occurs in documents."""
    if isinstance(documents, ArrowDocuments):
        return documents.count_words()
    return Counter(chain.from_iterable(document.tokens for document in documents))


def text_hashes(documents: Sequence[Document]) -> Indices:
    """int64, `(N,)`: equal for documents of equal texts."""
    return documents.keys("text_key") if isinstance(documents, ArrowDocuments) else keys_of_texts(documents)


def word_keys(documents: Sequence[Document]) -> Indices:
    """int64, `(N,)`: equal for documents of equal words, whatever the punctuation; `NO_WORD` for those without any."""
    return documents.keys("word_key") if isinstance(documents, ArrowDocuments) else keys_of_words(documents)
