"""Digests of the rows of a corpus, by which a run or a result knows its data again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from pyro_rationale.data.cache.dataset import (
    ArrowDocuments,
    document_weights,
    target_rows,
    text_hashes,
    word_counts,
)
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.document import Document
from pyro_rationale.data.pairs import PairCorpus

SPLITS = ("train", "dev", "test")
DOCUMENT_WEIGHTS = "weights"  # name of the digest of the weights of all splits


def row_digests(corpus: Corpus, splits: Sequence[str] = SPLITS) -> dict[str, str]:
    """The digest of each split: of its texts, their numbers of words, targets and gold rationales, in their order.

    A corpus in memory and its Arrow files have the same ones. Of a corpus of pairs they are also of the queries.
    """
    more = {split: _pairs(corpus, split) if isinstance(corpus, PairCorpus) else b"" for split in splits}
    return {split: _digest(getattr(corpus, split), len(corpus.spec.names), more[split]) for split in splits}


def weight_digests(corpus: Corpus) -> dict[str, str]:
    """The digest of the documents' weights (`--weight-column`) by its name; nothing where all documents weigh 1."""
    parts = [document_weights(getattr(corpus, split)) for split in SPLITS]
    if all((part == 1.0).all() for part in parts):
        return {}
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part.astype("<f8").tobytes())
    return {DOCUMENT_WEIGHTS: digest.hexdigest()}


def _pairs(corpus: PairCorpus, split: str) -> bytes:
    """The queries of a split, with their similar texts and their candidates."""
    queries = ((query.document, query.positives, query.candidates) for query in corpus.queries[split])
    return repr([*queries]).encode()


def _digest(documents: Sequence[Document], width: int, more: bytes) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(np.array([len(documents), width], dtype="<i8").tobytes())
    digest.update(text_hashes(documents).astype("<i8").tobytes())
    digest.update(np.array(word_counts(documents), dtype="<i8").tobytes())
    targets = target_rows(documents, width).astype("<f8")
    digest.update(np.where(np.isnan(targets), np.nan, targets).tobytes())  # one NaN of the many that there are
    for index, flags in _gold(documents):
        digest.update(index.to_bytes(8, "little") + flags)
    digest.update(more)
    return digest.hexdigest()


def _gold(documents: Sequence[Document]) -> Iterator[tuple[int, bytes]]:
    """Index and gold flags of each document that has some."""
    if isinstance(documents, ArrowDocuments):
        for index in np.flatnonzero(documents.has_gold()).tolist():
            flags = documents.flags(index, "gold")
            yield index, b"" if flags is None else flags.tobytes()
    else:
        yield from ((i, bytes(document.gold)) for i, document in enumerate(documents) if document.gold is not None)
