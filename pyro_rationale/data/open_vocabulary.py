"""A vocabulary without unknown words, for networks that spell words out in pieces."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from pyro_rationale.data.vocabulary import UNKNOWN, Vocabulary
from pyro_rationale.data.word_classes import Exclusion

MOST_WORDS = 1_000_000  # seen by one process beside the known ones; later new words are unknown


class _Met(dict[str, int]):
    """Numbers of the words met, and how often all of them were forgotten."""

    forgotten = 0


class OpenVocabulary(Vocabulary):
    """A vocabulary that numbers a word it does not know when it first meets it.

    Such numbers, from `len(vocabulary)` on, are this process's own: they are not saved, and an embedding has no row for
    them. They stand for a spelling, which `spellings` gives back.
    """

    def __init__(self, words: Any, excluded: Exclusion | None = None) -> None:
        super().__init__(words, excluded)
        self._met = _Met()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> OpenVocabulary:
        """A vocabulary with the words and numbers of another, which excludes the words that it excludes."""
        return vocabulary if isinstance(vocabulary, cls) else cls(vocabulary.words[2:], vocabulary.excluded)

    @property
    def has_grown(self) -> bool:
        """Whether a word has been met and numbered."""
        return bool(self._met)

    @property
    def forgotten(self) -> int:
        """How often the words met were forgotten: whoever keeps something by their numbers throws it away then."""
        return self._met.forgotten

    def forget(self) -> None:
        """Forget the words met, whose numbers are given to others from now on."""
        with self._lock:
            if self._met:
                self._met.clear()
                self._met.forgotten += 1

    def join(self, other: OpenVocabulary) -> None:
        """Number new words together with another vocabulary of the same words from now on.

        Raises:
            ValueError: the words differ, or some have been numbered already.
        """
        if self != other or self.has_grown:
            raise ValueError("expected a vocabulary of the same words that has met no others yet")
        self._met, self._lock = other._met, other._lock

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """Numbers of the tokens; new ones are given to unknown tokens."""
        numbers = super().encode(tokens)
        for i, number in enumerate(numbers):
            if number == UNKNOWN:
                numbers[i] = self._number_of(tokens[i])
        return numbers

    def _number_of(self, word: str) -> int:
        number = self._met.get(word)
        if number is None:
            with self._lock:
                if len(self._met) >= MOST_WORDS:
                    return UNKNOWN
                number = self._met.setdefault(word, len(self) + len(self._met))
        return number

    def spellings(self, start: int) -> list[str]:
        """The words numbered from `start` on, those met so far included."""
        with self._lock:
            met = list(self._met)
        return [*self.words, *met][start:]

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["_lock"]
        return {**state, "_met": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._met = _Met()
        self._lock = threading.Lock()
