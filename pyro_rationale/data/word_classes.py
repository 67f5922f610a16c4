"""Classes of words that rationales are not about, or must not be cut off from, by `--exclude`."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.errors import ConfigError, no_choice
from pyro_rationale.optional import optional

WORD_CLASSES = ("punctuation", "stopwords", "sentence-ends", "cut-negations", "cut-words")
# Kinds of words: at no end of a run; in no run; first of none, for a negation stands before it; last of none; neither,
# in the middle of what is written as one word.
ENDS_NO_RUN, BARRIER, NEVER_FIRST, NEVER_LAST, INSIDE = 1, 2, 3, 4, 5
# Of a word that is looked at alone: behind a negation it is not what that is about.
DEGREE = 6
# Further marks of a word that is looked at alone, added to its kind: it is none of punctuation; it links the words that
# it stands between without white space; it belongs to the word before it.
WORD, LINK, CLITIC = 8, 16, 32
# Ends of sentences; the last four are those of Chinese, Japanese, Arabic and Hindi.
SENTENCE_ENDS = frozenset([".", "!", "?", "...", "\u3002", "\uff01", "\uff1f", "\u061f", "\u0964"])
CLITICS = frozenset(("'s", "'re", "'m", "'ve", "'ll", "'d"))  # as the tokenizers cut them off; "n't" is a negation
LINKS = frozenset("-\u2010\u2011'\u2019&_")  # hyphens, apostrophes: "full-length", "O'Hare", "R&B"
# Words in scikit-learn's list that can be all the evidence that there is: negations, degrees, words with a content
# (that list has known oddities: Nothman, Qin and Yurchak, "Stop Word Lists in Free Open-source Software Packages",
# 2018).
SPARED = frozenset(
    "cannot cant couldnt hasnt neither never no nobody none noone nor not nothing nowhere without "
    "almost always enough few least less more most only several too very well "
    "amount bill bottom cry describe detail empty fill find fire found front full interest mill mine move please "
    "serious sincere system thick thin top".split()
)


# Words that turn round what comes next, also as they are typed without an apostrophe.
NEGATIONS = frozenset(
    "not n't no never neither nor without hardly barely cannot cant couldnt dont doesnt didnt isnt wasnt arent werent "
    "wont wouldnt shouldnt hasnt havent".split()
)
DEGREES = frozenset(
    "too very really quite always longer particularly especially exactly entirely completely totally terribly overly "
    "nearly truly remotely necessarily that all so as even ever".split()
)
REACH = 3  # words behind a negation, stop words between them, among which is the one that it is about


@dataclass(frozen=True)
class Exclusion:
    """Says of words whether a rationale may be about them.

    Args:
        punctuation: leave out words all of whose characters are punctuation (Unicode category P). Emoji and other
            symbols are none.
        words: lower-case words to leave out.
        sentence_ends: let no run of kept words go across a mark that ends a sentence.
        negations: let none begin between a negation and what it is about ("not easy", "not very easy"), or end there.
        written_words: let none begin or end within what is written as one word ("full-length", "didn't"). Such a word
            may be at an end of a run if a part of it may.
    """

    punctuation: bool = False
    words: frozenset[str] = frozenset()
    sentence_ends: bool = False
    negations: bool = False
    written_words: bool = False

    @classmethod
    def of(cls, classes: Iterable[str]) -> Exclusion:
        """The exclusion of classes of words, by the names in `WORD_CLASSES`.

        Raises:
            ConfigError: the library that lists the stop words is not installed.
        """
        chosen = set(classes)
        words = stop_words() if "stopwords" in chosen else frozenset()
        flags = (name in chosen for name in ("sentence-ends", "cut-negations", "cut-words"))
        return cls("punctuation" in chosen, words, *flags)

    def __call__(self, words: Sequence[str], joined: NDArray[np.bool_] | None = None) -> list[int]:
        """The kind of each word of a text, 0 for none; arguments as for `in_context`."""
        return self.in_context(np.array(self.alone(words), dtype=np.uint8), joined).tolist()

    def alone(self, words: Sequence[str]) -> list[int]:
        """The kind that each word has whatever stands around it; `NEVER_LAST` for negations, `DEGREE` for "very".

        With `written_words` also the marks `WORD`, `LINK` and `CLITIC`.
        """
        lower = [word.lower() for word in words]
        return [self._kind(word) + (_marks(word) if self.written_words else 0) for word in lower]

    def in_context(self, alone: NDArray[np.uint8], joined: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
        """The kinds of the words of a text, from those that they have alone.

        A negation is about the next word that is none of these, unless its sentence ends before; of what "very" and
        the like stand before, if anything follows them. One that is about nothing ("I think not.") may be the last
        word of a run.

        Args:
            alone: what `alone` says of the words, `(n,)`.
            joined: whether each word follows the one before it without white space, `(n,)`, False for the first;
                `None`: none does.
        """
        kinds = alone % WORD
        written = _written_words(alone, joined) if self.written_words and joined is not None else []
        for first, last in written:  # its ends are those of a word that says something, if a part of it does
            parts = slice(first, last + 1)
            if ((alone[parts] >= WORD) & (kinds[parts] != ENDS_NO_RUN)).any():
                for end in (first, last):
                    kinds[end] = 0 if kinds[end] == ENDS_NO_RUN else kinds[end]
        kinds = self._negated(kinds)
        for first, last in written:
            for i in range(first, last + 1):
                if kinds[i] not in (ENDS_NO_RUN, BARRIER):
                    begins, stops = i > first or kinds[i] == NEVER_FIRST, i < last or kinds[i] == NEVER_LAST
                    kinds[i] = INSIDE if begins and stops else NEVER_FIRST if begins else NEVER_LAST
        return kinds

    def _negated(self, kinds: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Kinds with those of negations, and of what they are about."""
        degrees = kinds == DEGREE
        kinds = np.where(degrees, 0, kinds).astype(np.uint8)
        for place in np.flatnonzero(kinds == NEVER_LAST).tolist():
            kinds[place] = 0
            between: list[int] = []  # words of degree before what the negation is about
            for i in range(place + 1, min(place + 1 + REACH, len(kinds))):
                if kinds[i] == ENDS_NO_RUN:
                    continue
                if kinds[i] != 0:
                    break
                between.append(i)
                if not degrees[i]:
                    break
            if between:
                kinds[place], kinds[between[-1]] = NEVER_LAST, NEVER_FIRST
                kinds[between[:-1]] = ENDS_NO_RUN
        return kinds

    def _kind(self, word: str) -> int:
        if self.negations and word in NEGATIONS:
            return NEVER_LAST
        if self.sentence_ends and word in SENTENCE_ENDS:
            return BARRIER
        if self.negations and word in DEGREES and word not in self.words:
            return DEGREE
        return ENDS_NO_RUN if word in self.words or (self.punctuation and is_punctuation(word)) else 0


def _written_words(alone: NDArray[np.uint8], joined: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last of words that are written as one.

    A clitic is written as one with the word before it, a hyphen between words with both. Words that merely touch are
    not: other scripts have no white space, and "good,bad" is two words.
    """
    found: list[tuple[int, int]] = []
    for i in np.flatnonzero(joined & (alone >= LINK)).tolist():
        if not alone[i - 1] & WORD:
            continue
        if alone[i] & CLITIC:
            last = i
        elif i + 1 < len(alone) and joined[i + 1] and alone[i + 1] & WORD:
            last = i + 1
        else:
            continue
        if found and found[-1][1] == i - 1:
            found[-1] = (found[-1][0], last)
        else:
            found.append((i - 1, last))
    return found


def parse_classes(value: str) -> tuple[str, ...]:
    """Names of word classes from `punctuation,stopwords`, say; none from `none`.

    Raises:
        ConfigError: one is none.
    """
    if value == "none":
        return ()
    classes = tuple(part.strip() for part in value.split(","))
    for name in classes:
        if name not in WORD_CLASSES:
            raise ConfigError(no_choice("--exclude", name, (*WORD_CLASSES, "none")))
    return classes


@lru_cache(maxsize=2**16)
def is_punctuation(word: str) -> bool:
    """Whether a word is made of punctuation marks."""
    return bool(word) and all(unicodedata.category(character).startswith("P") for character in word)


@lru_cache(maxsize=2**16)
def _marks(word: str) -> int:
    clitic = word in CLITICS or word == "n't"
    return WORD * (not is_punctuation(word)) + LINK * (word in LINKS) + CLITIC * clitic


def stop_words() -> frozenset[str]:
    """English stop words: those of scikit-learn and clitics, without negations, degrees and words with a content.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    text = optional("sklearn.feature_extraction.text", "--exclude stopwords needs", "sklearn")
    return frozenset(text.ENGLISH_STOP_WORDS) - SPARED | CLITICS
