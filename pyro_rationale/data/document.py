"""A document, and how one is made from a text, or from words, with the rationales that stand beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyro_rationale.data.files.text import shown
from pyro_rationale.data.tokenizers import TOKENIZERS, Tokenizer
from pyro_rationale.data.tokenizers.unicode import tokenize
from pyro_rationale.errors import DataError

if TYPE_CHECKING:
    from pyro_rationale.data.options import DataOptions

_LIST = re.compile(r"[\[(][\[\](),\s\d]*[\])]")  # as JSON and Python write one
_AS_JSON = str.maketrans("()", "[]")


@dataclass(frozen=True)
class Document:
    """One document: its text, its words (tokens), and what is known of it, such as targets and a gold rationale.

    Attributes:
        id: a stable name ("row 17", "aclImdb 203").
        text: the text as given.
        tokens: words, lower-cased as the model reads them.
        offsets: `(start, end)` characters of each token in `text`.
        targets: `D` numbers in the user's units (NaN = not rated), or one class index (as float) for classes.
        gold: True on the words of the annotated rationale; `None` where there is no annotation.
        opinion: True on the words that carry the rating; `None` where unknown.
        maps: one set of flags per annotator, where several marked the document; `gold` then holds the words that at
            least half of them marked, see :func:`agreed`. `None` where there is one annotation or none.
        sentences: indices of the first words of its sentences, where the corpus has them; `None`: the rules of
            :mod:`pyro_rationale.data.sentences` find them.
        title: number of leading tokens that are its title; 0 for a text without one.
        rationales: the annotated rationale of each target, flags of words or `None`, where targets have their own.
        aspect: number of the one target that the document stands for here, see :mod:`pyro_rationale.data.aspects`;
            `None` for all of them.
        weight: how many texts it counts as in a fit.
    """

    id: str
    text: str
    tokens: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]
    targets: tuple[float, ...] = ()
    gold: tuple[bool, ...] | None = None
    opinion: tuple[bool, ...] | None = None
    maps: tuple[tuple[bool, ...], ...] | None = None
    sentences: tuple[int, ...] | None = None
    title: int = 0
    rationales: tuple[tuple[bool, ...] | None, ...] | None = None
    aspect: int | None = None
    weight: float = 1.0

    @property
    def has_target(self) -> bool:
        """Whether any of its targets is known."""
        return any(target == target for target in self.targets)


def joined(offsets: ArrayLike) -> NDArray[np.bool_]:
    """Whether each word follows the one before it without white space, `(n,)`, from their offsets `(n, 2)`."""
    begins, ends = np.asarray(offsets).reshape(-1, 2).T
    return np.append(False, begins[1:] == ends[:-1])[: len(begins)]


def make_document(
    id: str,
    text: str | Sequence[str],
    targets: Sequence[float] = (),
    max_words: int | None = None,
    rationales: Sequence[Any] = (),
    tokenizer: Tokenizer = tokenize,
) -> Document:
    """Make a document from a text, or from words that are taken as they are.

    Args:
        id: a stable name.
        text: a string, kept whole; or words, of any case, none of them empty, whose text is the words with single
            spaces between them.
        targets: see :class:`Document`.
        max_words: words to keep at most; all if `None`.
        rationales: gold rationales, one per annotator. Each is a list of `[start, end)` spans, of *words* for a list
            of words and of *characters* for a string (a word that a span touches is gold); or one 0 or 1 per word (of
            a string: per stretch between spaces, which then are the words), as a list or with spaces between them.
            Either may be written as a string. `None`, and any other string, is no rationale.
        tokenizer: splits a string.

    Returns:
        The document; with several rationales, `maps` holds them and `gold` the words that at least half marked.

    Raises:
        ValueError: If a rationale does not fit the text, or if they cut the text into different words.
    """
    parsed = [flags for rationale in rationales if (flags := parsed_rationale(rationale)) is not None]
    plain = _cut(id, text, targets, max_words, tokenizer)
    if not parsed:
        return plain
    made = [_annotated(plain, text, rationale, max_words) for rationale in parsed]
    if len({document.tokens for document in made}) > 1:
        raise ValueError("one of its rationales has flags and another has spans of characters; give all in one way")
    maps = tuple(document.gold or () for document in made)
    return replace(made[0], gold=agreed(maps), maps=maps if len(maps) > 1 else None)


def document_maker(options: DataOptions) -> Callable[..., Document]:
    """:func:`make_document` with the tokenizer and the number of words that `options` name."""
    return partial(make_document, max_words=options.max_words, tokenizer=TOKENIZERS[options.tokenizer])


def with_words(documents: Iterable[Document]) -> list[Document]:
    """Texts that can be read: each has a word, or nothing could be predicted from it.

    Raises:
        DataError: one has none.
    """
    checked = list(documents)
    for document in checked:
        if not document.tokens:
            raise DataError(f"{document.id}: no word in it; write a text there, or leave it out")
    return checked


def words_beyond(document: Document, max_words: int | None) -> int:
    """Number of words behind the last one that is read, going by the characters; 0 for a text that is not cut."""
    if max_words is None or len(document.tokens) < max_words:
        return 0
    end = document.offsets[-1][1]
    behind = len(document.text[end:].strip())
    return -(-behind * len(document.tokens) // end)


def agreed(maps: Sequence[Sequence[bool]]) -> tuple[bool, ...]:
    """The words that at least half of the annotators marked: two of three, and either of two.

    Args:
        maps: one or more sets of flags, one flag per word each.
    """
    return tuple(2 * sum(marks) >= len(maps) for marks in zip(*maps, strict=True))


def flags_of(spans: Sequence[tuple[int, int]], length: int) -> tuple[bool, ...]:
    """`[start, end)` spans of words as one flag per word."""
    flags = [False] * length
    for start, end in spans:
        flags[start:end] = [True] * (end - start)
    return tuple(flags)


def spans_of(flags: Iterable[bool]) -> list[tuple[int, int]]:
    """First word of each maximal run of flagged words, and the one after its last; the inverse of `flags_of`."""
    marks = bytes(map(bool, flags))
    spans, start = [], marks.find(1)
    while start >= 0:
        end = marks.find(0, start)
        end = len(marks) if end < 0 else end
        spans.append((start, end))
        start = marks.find(1, end)
    return spans


def highest(scores: ArrayLike, count: int) -> NDArray[np.bool_]:
    """Flags of the words with the highest scores, `(n,)`; of equal scores the earlier words.

    Args:
        scores: `(n,)`, one per word.
        count: words to flag; all of them where there are fewer.
    """
    values = np.asarray(scores, dtype=float)
    flags = np.zeros(len(values), dtype=bool)
    flags[np.argsort(-values, kind="stable")[:count]] = True
    return flags


def _cut(
    id: str, text: str | Sequence[str], targets: Sequence[float], max_words: int | None, tokenizer: Tokenizer
) -> Document:
    """A document without a rationale."""
    if isinstance(text, str):
        return Document(id, text, *tokenizer(text, max_words), tuple(targets))
    words = text[:max_words]
    starts = accumulate((len(word) + 1 for word in words), initial=0)
    offsets = tuple((start, start + len(word)) for start, word in zip(starts, words, strict=False))
    return Document(id, " ".join(text), tuple(word.lower() for word in words), offsets, tuple(targets))


def _annotated(plain: Document, text: str | Sequence[str], rationale: list[Any], max_words: int | None) -> Document:
    """A document with one rationale; flags for a string make its stretches between spaces the words."""
    if rationale and all(type(flag) in (int, bool) and flag in (0, 1) for flag in rationale):
        words = text.split() if isinstance(text, str) else text
        if len(rationale) != len(words):
            raise ValueError(f"its rationale has {len(rationale)} flags for {len(words)} words")
        if isinstance(text, str):
            plain = _cut(plain.id, words, plain.targets, max_words, tokenize)
        return replace(plain, gold=tuple(map(bool, rationale[:max_words])))
    spans = [_span(value, len(text)) for value in rationale]
    if isinstance(text, str):
        gold = tuple(any(start < e and s < end for s, e in spans if s < e) for start, end in plain.offsets)
    else:
        gold = flags_of(spans, len(text))[:max_words]
    return replace(plain, gold=gold)


def parsed_rationale(rationale: Any) -> list[Any] | None:
    """A rationale as a list; `None` if there is none.

    Raises:
        ValueError: it is neither a list nor a string.
    """
    if isinstance(rationale, str):
        return _written(rationale.strip())
    if isinstance(rationale, list | None):
        return rationale
    raise ValueError(f"its rationale is {shown(rationale)}, not a list")


def _written(text: str) -> list[Any] | None:
    """A list that a table without lists, such as CSV, has as a string: flags, or spans in brackets."""
    is_list = _LIST.fullmatch(text) is not None
    flags = (text[1:-1] if is_list else text).replace(",", " ").split()
    if flags and set(flags) <= {"0", "1"}:
        return [int(flag) for flag in flags]
    try:
        found = json.loads(text.translate(_AS_JSON)) if is_list else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _span(value: Any, length: int) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, (list, tuple)) else ()
    if len(pair) != 2 or any(type(end) is not int for end in pair) or not 0 <= pair[0] <= pair[1] <= length:
        raise ValueError(f"its rationale holds {shown(value)}, expected [start, end] within 0 and {length}")
    return pair
