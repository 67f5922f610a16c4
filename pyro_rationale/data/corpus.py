"""What every corpus is turned into: documents with targets in the user's units, in three splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyro_rationale.tasks._spec import TargetSpec as TargetSpec


@dataclass(frozen=True)
class Document:
    """One text. Tokens are what the model reads; offsets point back into `text`.

    Attributes:
        id: a stable name ("row 17", "aclImdb 203").
        text: the text as given.
        tokens: words, lower-cased as the model reads them.
        offsets: `(start, end)` characters of each token in `text`.
        targets: `D` numbers in the user's units (NaN = not rated), or one class index (as float) for classes.
        gold: True on the words of the annotated rationale; `None` where there is no annotation.
        opinion: True on the words that carry the rating; `None` where unknown.
        maps: one set of flags per annotator, where several marked the document; `gold` then holds the words that at
            least half of them marked (:func:`pyro_rationale.data.rationale.agreed`). `None` where there is one
            annotation or none.
    """

    id: str
    text: str
    tokens: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]
    targets: tuple[float, ...] = ()
    gold: tuple[bool, ...] | None = None
    opinion: tuple[bool, ...] | None = None
    maps: tuple[tuple[bool, ...], ...] | None = None


@dataclass(frozen=True)
class Copies:
    """How many documents of one list stand in another: word for word, or else nearly."""

    exact: int = 0
    near: int = 0

    @property
    def total(self) -> int:
        """Both."""
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
    """Three lists of documents, in memory or in a file, and what is predicted of them.

    Attributes:
        noise_floor: the smallest possible expected squared error, in the user's units squared, where it is
            known by construction (planted reviews); else `None`.
        leaks: copies that were found when it was loaded; `None` for documents that were never looked through.
    """

    name: str
    spec: TargetSpec
    train: Sequence[Document]
    dev: Sequence[Document]
    test: Sequence[Document]
    noise_floor: float | None = None
    leaks: Leaks | None = None
