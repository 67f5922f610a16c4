"""Padded batches of documents of similar lengths, made ahead of their use if wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.cache.dataset import ArrowDocuments
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import Document, joined
from pyro_rationale.data.parallel import in_order
from pyro_rationale.data.units import unit_starts
from pyro_rationale.data.vocabulary import UNKNOWN, Vocabulary
from pyro_rationale.data.word_classes import BARRIER
from pyro_rationale.errors import DataError
from pyro_rationale.tasks import task_of

_POOL = 50  # batches sorted by length together: little padding, yet documents meet others in every epoch


@dataclass(frozen=True)
class Encoded:
    """A document as arrays: tokens `(n,)`, targets `(D,)` scaled or `None`, flags of words `(n,)` or `None`.

    And the first words of its sentences `(U,)`, or `None`; the target that it is asked about; and how many words its
    title has, where that is always read.
    """

    tokens: NDArray[np.int64]
    targets: NDArray[np.float32] | None
    gold: NDArray[np.bool_] | None
    opinion: NDArray[np.bool_] | None
    excluded: NDArray[np.uint8] | None
    starts: NDArray[np.int64] | None = None
    aspect: int | None = None
    title: int | None = None


def encode_batch(
    documents: Sequence[Document],
    vocabulary: Vocabulary,
    spec: TargetSpec,
    indices: Sequence[int] | None = None,
    unit: str = "word",
    aspects: int = 1,
    titles: bool = False,
) -> Batch:
    """Turn documents into one padded batch.

    Ratings are scaled to [0, 1] by `spec.ranges` (NaN stays NaN). A document without words is read as one unknown
    word, so that every length is at least 1. `targets` is `None` only if no document has any; for ratings and
    binary labels a document without targets gets NaN. `gold` and `opinion` are `None` unless every document has
    them: a document without annotation must not pass for one whose rationale is empty.

    Args:
        documents: `B` of them, at least one.
        vocabulary: numbers for the words.
        spec: what the targets mean.
        indices: indices of the documents in their list, for `Batch.index`; default `0 .. B-1`.
        unit: what masks keep or drop as a whole, in :data:`pyro_rationale.data.units.UNITS`.
        aspects: number of masks that a text has, one for each target; 1: one for all of them. A document that is not
            asked about one target gets a row for each that is known, see :meth:`Batch.by_aspect`.
        titles: titles are read whatever a mask keeps; no mask holds a word of one.

    Returns:
        A batch with tokens `(B, T)`, `T` the longest length.

    Raises:
        DataError: If a document has not as many targets as `spec` names, or a class that it does not know.
    """
    encoded = [encode_document(document, vocabulary, spec, unit, titles) for document in documents]
    return collate(encoded, range(len(encoded)) if indices is None else indices, spec, aspects)


class Batches(Protocol):
    """Batches of a split, epoch after epoch, as a trainer takes them.

    Attributes:
        batch_size: largest number of documents, or of queries, in a batch.
        whole: batches that hold each of them once.
    """

    batch_size: int
    whole: int

    def __len__(self) -> int:
        """Batches per epoch."""

    def __iter__(self) -> Iterator[Batch]:
        """Batches of the first epoch."""

    def epoch(self, number: int, share: slice = slice(None)) -> Iterator[Batch]:
        """Batches of an epoch, in an order that depends on its number and the seed; see :class:`BucketedBatches`."""


class BucketedBatches:
    """The documents of one split as batches of similar lengths, reproducible by seed and epoch.

    Documents are shuffled, sorted by length within pools of 50 batches, cut into batches whose sizes differ by one
    at most, and the batches shuffled. Random batches would spend half the work on padding.

    Args:
        documents: at least one.
        vocabulary: numbers for the words.
        spec: what the targets mean.
        batch_size: largest number of documents in a batch.
        seed: seed of the order.
        steps: batches per epoch; by default as many as hold every document once. Passes over the documents follow each
            other without end, and an epoch takes the next `steps` batches.
        unit: what masks keep or drop as a whole, in :data:`pyro_rationale.data.units.UNITS`.
        aspects: as for :func:`encode_batch`; a batch then has more rows than documents.
        weights: how many texts each document counts as, `(N,)`, for `Batch.weights`; `None`: all count alike.
        titles: titles are read whatever a mask keeps; see :func:`encode_batch`.

    Raises:
        DataError: If there is no document, or one does not fit `spec`.
        ValueError: If `batch_size` is below 1.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        vocabulary: Vocabulary,
        spec: TargetSpec,
        batch_size: int,
        seed: int = 0,
        steps: int | None = None,
        unit: str = "word",
        aspects: int = 1,
        weights: NDArray[np.float64] | None = None,
        titles: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"expected a batch size of at least 1, got {batch_size}")
        if not documents:
            raise DataError("expected at least one document to make batches of, got none; check the split")
        self.batch_size, self.seed, self._spec, self._aspects = batch_size, seed, spec, aspects
        self._weights = None if weights is None else torch.from_numpy(weights.astype(np.float32))
        self._encoded: Sequence[Encoded]
        if isinstance(documents, ArrowDocuments) and not titles:
            self._encoded = _ArrowRows(documents, vocabulary, spec, unit)
            self._lengths = np.maximum(documents.lengths, 1)
        else:
            self._encoded = [encode_document(document, vocabulary, spec, unit, titles) for document in documents]
            self._lengths = np.array([len(e.tokens) for e in self._encoded])

        self.whole = -(-len(self._encoded) // batch_size)  # batches that hold every document once
        self._steps = self.whole if steps is None else steps

    def __len__(self) -> int:
        """Batches per epoch."""
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def epoch(self, number: int, share: slice = slice(None)) -> Iterator[Batch]:
        """Yield the batches of one epoch, in an order that depends on `(seed, number)` and nothing else.

        Args:
            number: number of the epoch.
            share: which documents of each batch to read, shortest first: the part of one process.
        """
        begin, end = number * len(self), (number + 1) * len(self)
        while begin < end:
            whole, first = divmod(begin, self.whole)
            batches = self._order(whole)[first : first + end - begin]
            for indices in batches:
                yield self._batch(indices[share])
            begin += len(batches)

    def _order(self, number: int) -> list[NDArray[np.int64]]:
        """Indices of the documents in each batch, every document once."""
        random = np.random.default_rng([self.seed % 2**63, number])
        order = random.permutation(len(self._encoded))
        pools = np.array_split(order, -(-self.whole // _POOL))
        order = np.concatenate([pool[np.argsort(self._lengths[pool], kind="stable")] for pool in pools])
        batches = np.array_split(order, self.whole)
        return [batches[i] for i in random.permutation(len(batches))]

    def ordered(self, batch_size: int | None = None) -> Iterator[Batch]:
        """Yield batches of every document once, from the shortest to the longest; `Batch.index` holds their indices."""
        size = self.batch_size if batch_size is None else batch_size
        order = np.argsort(self._lengths, kind="stable")
        for start in range(0, len(order), size):
            yield self._batch(order[start : start + size])

    def _batch(self, indices: NDArray[np.int64]) -> Batch:
        batch = collate([self._encoded[i] for i in indices], indices, self._spec, self._aspects)
        assert batch.index is not None
        return batch if self._weights is None else replace(batch, weights=self._weights[batch.index])


def encode_document(
    document: Document, vocabulary: Vocabulary, spec: TargetSpec, unit: str, titles: bool = False
) -> Encoded:
    """One document for :func:`collate`; arguments as for :func:`encode_batch`."""
    tokens = np.array(vocabulary.encode(document.tokens) or [UNKNOWN], dtype=np.int64)
    excluded = None
    if vocabulary.excluded is not None:
        excluded = np.array(vocabulary.excluded(document.tokens, joined(document.offsets)) or [0], dtype=np.uint8)
    if titles:
        excluded = np.zeros(len(tokens), dtype=np.uint8) if excluded is None else excluded
        excluded[: document.title] = BARRIER
    return Encoded(
        tokens,
        _scaled_rows(np.array([document.targets]), spec, lambda _: document.id)[0] if document.targets else None,
        _flags(document, document.gold, "gold flags"),
        _flags(document, document.opinion, "opinion flags"),
        excluded,
        unit_starts(document, unit) if unit != "word" else None,
        document.aspect,
        document.title if titles else None,
    )


def _flags(document: Document, flags: Sequence[bool] | None, name: str) -> NDArray[np.bool_] | None:
    if flags is None:
        return None
    if len(flags) != len(document.tokens):
        raise DataError(f"{document.id}: expected {len(document.tokens)} {name}, one a word, got {len(flags)}")
    return np.array(flags or [False], dtype=bool)


def _of_a_word(flags: Any) -> Any:
    """Flags of words as they are; of a text without words, which is read as one unknown word, a single 0."""
    return flags if flags is None or len(flags) else np.zeros(1, dtype=flags.dtype)


class _ArrowRows(Sequence[Encoded]):
    """Documents of an Arrow file, each encoded when it is needed."""

    def __init__(
        self, documents: ArrowDocuments, vocabulary: Vocabulary, spec: TargetSpec, unit: str
    ) -> None:
        self._documents = documents
        self._unit, self._starts = unit, dict[int, NDArray[np.int64]]()
        self._numbers = np.array(vocabulary.encode(documents.file.spellings), dtype=np.int64)
        self._excluded = None
        if vocabulary.excluded is not None:
            self._excluded = np.array(vocabulary.excluded.alone(documents.file.spellings), dtype=np.int64)
            self._in_context = vocabulary.excluded.in_context
        self._targets = None
        if documents.targets is not None:
            self._targets = _scaled_rows(documents.targets, spec, lambda i: documents[i].id)

    def __len__(self) -> int:
        return len(self._documents)

    def __getitem__(self, index: Any) -> Any:
        documents, tokens = self._documents, self._documents.encode(index, self._numbers)
        return Encoded(
            tokens if len(tokens) else np.array([UNKNOWN]),
            None if self._targets is None else self._targets[index],
            _of_a_word(documents.flags(index, "gold")),
            _of_a_word(documents.flags(index, "opinion")),
            None if self._excluded is None else self._kinds(index),
            self._starts_of(index) if self._unit != "word" else None,
        )

    def _kinds(self, index: int) -> NDArray[np.uint8]:
        """Kinds of a document's excluded words, from those that the words have alone."""
        assert self._excluded is not None
        alone = self._documents.encode(index, self._excluded).astype(np.uint8)
        kinds: NDArray[np.uint8] = _of_a_word(self._in_context(alone, self._documents.joined(index)))
        return kinds

    def _starts_of(self, index: int) -> NDArray[np.int64]:
        """First words of a document's units, which are looked for once."""
        if index not in self._starts:
            self._starts[index] = unit_starts(self._documents[index], self._unit)
        return self._starts[index]


def _scaled_rows(targets: NDArray[np.float64], spec: TargetSpec, name: Callable[[int], str]) -> NDArray[np.float32]:
    """Targets of many documents as the model sees them, `(N, D)`; `name` names a document at fault."""
    if targets.shape[1] != len(spec.names):
        raise DataError(f"{name(0)}: expected {len(spec.names)} targets, got {targets.shape[1]}; check the columns")
    return task_of(spec).encode(targets, name)


def collate(
    encoded: Sequence[Encoded], indices: Sequence[int] | NDArray[np.int64] | range, spec: TargetSpec, aspects: int = 1
) -> Batch:
    """Encoded documents as one padded batch, with their indices."""
    lengths = np.array([len(e.tokens) for e in encoded], dtype=np.int64)
    batch = Batch(
        _padded([e.tokens for e in encoded]),
        torch.from_numpy(lengths),
        _targets(encoded, spec),
        _padded([e.gold for e in encoded]),
        _padded([e.opinion for e in encoded]),
        torch.from_numpy(np.array(indices, dtype=np.int64)),
        _padded([e.excluded for e in encoded]),
        _padded([None if e.starts is None else _units(e.starts, len(e.tokens)) for e in encoded]),
        _padded([e.starts for e in encoded]),
        titles=None if any(e.title is None for e in encoded) else torch.tensor([e.title for e in encoded]),
    )
    if aspects == 1:
        return batch
    about = [e.aspect for e in encoded if e.aspect is not None]
    return batch.about(torch.tensor(about)) if len(about) == len(encoded) else batch.by_aspect(aspects)


def _units(starts: NDArray[np.int64], words: int) -> NDArray[np.int64]:
    """Number of the sentence of each word, `(n,)`."""
    return np.repeat(np.arange(len(starts)), np.diff(starts, append=words))


def _targets(encoded: Sequence[Encoded], spec: TargetSpec) -> torch.Tensor | None:
    if all(e.targets is None for e in encoded):
        return None
    missing = np.full(len(spec.names), np.nan, dtype=np.float32)
    targets = torch.from_numpy(np.stack([missing if e.targets is None else e.targets for e in encoded]))
    return task_of(spec).batch(targets)


def _padded(rows: Sequence[NDArray[Any] | None]) -> Any:
    """Rows of different lengths as one tensor with zeros behind them; `None` if a row is missing."""
    if any(row is None for row in rows):
        return None
    return pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True)


def prefetched(batches: Iterable[Batch], depth: int = 2) -> Iterator[Batch]:
    """Make batches in a thread ahead of their use, in pinned memory if there is a GPU.

    The batches and their order stay as they are. An error in the thread is raised here in the place of its batch; an
    iterator that is abandoned stops the thread.

    Args:
        batches: iterated over in the thread only.
        depth: most batches that wait.
    """
    iterator = iter(batches)

    def make(_: None) -> Batch | None:
        batch = next(iterator, None)
        return batch.pin_memory() if batch is not None and torch.cuda.is_available() else batch

    made = in_order(make, repeat(None), ThreadPoolExecutor(1, "batches"), depth)
    with closing(made):
        for batch in made:
            if batch is None:  # there are no more
                return
            yield batch
