"""The vocabulary of a model: the words that it knows, and their numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from pyro_rationale.data.cache.dataset import count_words
from pyro_rationale.data.document import Document
from pyro_rationale.data.word_classes import Exclusion
from pyro_rationale.errors import RunError
from pyro_rationale.storage import read_json, write_bytes

PADDING, UNKNOWN = 0, 1
_SPECIAL = ("<pad>", "<unk>")
_FORMAT = "pyro_rationale vocabulary 1"


class Vocabulary:
    """A fixed list of words; 0 is padding, 1 stands for every word that is not in the list.

    A text may contain the strings `<pad>` and `<unk>` themselves: both are read as unknown, so that no text can
    hold padding.

    Args:
        words: known words, without the two special ones; numbered from 2 in this order.
        excluded: says of words, known or not, whether a rationale may be about them; `None`: about all.

    Raises:
        ValueError: If a word is repeated, empty or special.
    """

    excluded: Exclusion | None = None  # of vocabularies that were pickled before there was one

    def __init__(self, words: Iterable[str], excluded: Exclusion | None = None) -> None:
        self.excluded = excluded
        known = tuple(words)
        self.words: tuple[str, ...] = _SPECIAL + known
        self._number = {word: i for i, word in enumerate(known, start=len(_SPECIAL))}
        if len(self._number) != len(known) or any(not w or w in _SPECIAL for w in known):
            raise ValueError("expected distinct words, none of them empty, <pad> or <unk>")

    @classmethod
    def build(cls, documents: Sequence[Document], min_count: int = 2, max_size: int | None = None) -> Vocabulary:
        """Count the words of documents (the training ones) and keep the frequent ones, see :meth:`of_counts`."""
        return cls.of_counts(count_words(documents), min_count, max_size)

    @classmethod
    def of_counts(cls, counts: Mapping[str, int], min_count: int = 2, max_size: int | None = None) -> Vocabulary:
        """The frequent words.

        Args:
            counts: how often each word occurs.
            min_count: a word must occur this often.
            max_size: largest number of words, the two special ones included; `None` for no limit.

        Returns:
            Words by falling count, equal counts in alphabetical order: the same texts give the same numbers.
        """
        frequent = [w for w, n in counts.items() if n >= min_count and w and w not in _SPECIAL]
        frequent.sort(key=lambda word: (-counts[word], word))
        limit = None if max_size is None else max(max_size - len(_SPECIAL), 0)
        return cls(frequent[:limit])

    def extended(self, words: Iterable[str], max_size: int | None = None) -> Vocabulary:
        """The vocabulary with further words behind its own, whose numbers stay; `max_size` as for :meth:`build`."""
        new = [word for word in dict.fromkeys(words) if word and word not in self and word not in _SPECIAL]
        room = len(new) if max_size is None else max(max_size - len(self), 0)
        return Vocabulary((*self.words[len(_SPECIAL) :], *new[:room]), self.excluded)

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    __hash__ = None  # type: ignore[assignment]  # a table, not a key

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} words)"

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """The numbers of the tokens; 1 for unknown ones."""
        return list(map(self._number.get, tokens, repeat(UNKNOWN)))

    def count_known(self, tokens: Sequence[str]) -> int:
        """How many of the tokens are in the vocabulary."""
        return sum(map(self._number.__contains__, tokens))

    def unknown_of(self, tokens: Sequence[str]) -> tuple[str, ...]:
        """Tokens that are not in the vocabulary, each once, in their order."""
        return tuple(dict.fromkeys(word for word in tokens if word not in self))

    def coverage(self, documents: Sequence[Document]) -> float:
        """Share of the running words of `documents` that are known, 0 to 1; 1 where there are no words."""
        counts = count_words(documents)
        return sum(n for word, n in counts.items() if word in self) / counts.total() if counts else 1.0

    def save(self, path: str | os.PathLike[str], listed: bool = False) -> None:
        """Write the words as JSON, see :func:`pyro_rationale.storage.write_bytes`."""
        content: dict[str, Any] = {"format": _FORMAT, "words": self.words[len(_SPECIAL) :]}
        if self.excluded is not None:
            content["excluded"] = {
                "punctuation": self.excluded.punctuation,
                "words": sorted(self.excluded.words),
                "sentence_ends": self.excluded.sentence_ends,
                "negations": self.excluded.negations,
                "written_words": self.excluded.written_words,
            }
        text = json.dumps(content, indent=0)
        write_bytes(Path(path), f"{text}\n".encode(), listed)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read what `save` wrote.

        Raises:
            RunError: If the file is missing, damaged or of another version.
        """
        remedy = "fit again or restore the file"
        content = read_json(Path(path))
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise RunError(f"{path}: expected format {_FORMAT!r}; {remedy}")
        words = content.get("words")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise RunError(f"{path}: expected a list of words; {remedy}")
        try:
            return cls(words, _exclusion(content.get("excluded")))
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(f"{path}: the vocabulary is damaged ({error}); {remedy}") from error


def _exclusion(stored: Any) -> Exclusion | None:
    if stored is None:
        return None
    words = frozenset(map(str, stored["words"]))
    later = ("sentence_ends", "negations", "written_words")  # older runs have none
    marks = (bool(stored.get(name, False)) for name in later)
    return Exclusion(bool(stored["punctuation"]), words, *marks)
