"""Classes of words that rationales are not about: punctuation marks and stop words, by `--exclude`."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pyro_rationale.errors import ConfigError
from pyro_rationale.optional import optional
from pyro_rationale.options import no_choice

WORD_CLASSES = ("punctuation", "stopwords")
CLITICS = frozenset(("'s", "'re", "'m", "'ve", "'ll", "'d"))  # as the tokenizers cut them off; "n't" is a negation
# Words in scikit-learn's list that can be all the evidence that there is: negations, degrees, words with a content
# (that list has known oddities: Nothman, Qin and Yurchak, "Stop Word Lists in Free Open-source Software Packages",
# 2018).
SPARED = frozenset(
    "cannot cant couldnt hasnt neither never no nobody none noone nor not nothing nowhere without "
    "almost always enough few least less more most only several too very well "
    "amount bill bottom cry describe detail empty fill find fire found front full interest mill mine move please "
    "serious sincere system thick thin top".split()
)


@dataclass(frozen=True)
class Exclusion:
    """Says of words whether a rationale may be about them.

    Args:
        punctuation: leave out words all of whose characters are punctuation (Unicode category P). Emoji and other
            symbols are none.
        words: lower-case words to leave out.
    """

    punctuation: bool = False
    words: frozenset[str] = frozenset()

    @classmethod
    def of(cls, classes: Iterable[str]) -> Exclusion:
        """The exclusion of classes of words, by the names in `WORD_CLASSES`.

        Raises:
            ConfigError: the library that lists the stop words is not installed.
        """
        chosen = set(classes)
        return cls("punctuation" in chosen, stop_words() if "stopwords" in chosen else frozenset())

    def __call__(self, words: Sequence[str]) -> list[bool]:
        """Which of the words are excluded."""
        return [word in self.words or (self.punctuation and is_punctuation(word)) for word in map(str.lower, words)]


def parse_classes(value: str) -> tuple[str, ...]:
    """Names of word classes from `punctuation,stopwords`; none from `none`.

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


def stop_words() -> frozenset[str]:
    """English stop words: those of scikit-learn and clitics, without negations, degrees and words with a content.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    text = optional("sklearn.feature_extraction.text", "--exclude stopwords needs", "sklearn")
    return frozenset(text.ENGLISH_STOP_WORDS) - SPARED | CLITICS
