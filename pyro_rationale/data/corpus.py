"""A corpus: documents with targets in the user's units, in three splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyro_rationale.data.document import Document
from pyro_rationale.data.tokenizers import Tokenizer
from pyro_rationale.data.tokenizers.unicode import tokenize
from pyro_rationale.tasks._spec import TargetSpec


@dataclass(frozen=True)
class Copies:
    """How many documents of one list also stand in another: word for word, or nearly."""

    exact: int = 0
    near: int = 0

    @property
    def total(self) -> int:
        """Exact and near copies."""
        return self.exact + self.near


@dataclass(frozen=True)
class Leaks:
    """Copies between the splits and within training, see :mod:`pyro_rationale.data.duplicates`.

    Attributes:
        test: test documents that stand in training as well.
        dev: dev documents that stand in training as well.
        test_dev: test documents that stand in dev as well.
        train: training documents that repeat an earlier one.
        leaked: training documents that stand in dev or test as well.
        conflicts: documents that repeat another one, in whatever split, with another target: another class, or a
            rating that is more than a tenth of the range away.
        dropped: training documents left out for it (`--drop-leaks`).
        near: whether near copies were looked for; among very many documents only exact ones are.
    """

    test: Copies = Copies()
    dev: Copies = Copies()
    test_dev: Copies = Copies()
    train: Copies = Copies()
    leaked: int = 0
    conflicts: int = 0
    dropped: int = 0
    near: bool = True


@dataclass(frozen=True)
class Corpus:
    """Three lists of documents, in memory or on disk, and what is predicted of them.

    Attributes:
        name: as `--data` names it.
        spec: the targets.
        train: documents to fit on.
        dev: documents to choose an epoch by.
        test: documents to measure on.
        noise_floor: the smallest possible expected squared error, in the user's units squared, where it is
            known by construction (synthetic reviews); else `None`.
        leaks: copies that were found when it was loaded; `None` for documents that were never searched for copies.
        tokenizer: splits further texts as the documents were split.
        max_words: words that were read of each text at most; `None` if nobody has decided yet.
    """

    name: str
    spec: TargetSpec
    train: Sequence[Document]
    dev: Sequence[Document]
    test: Sequence[Document]
    noise_floor: float | None = None
    leaks: Leaks | None = None
    tokenizer: Tokenizer = tokenize
    max_words: int | None = None
