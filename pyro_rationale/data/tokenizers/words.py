"""Lower-cased words and punctuation marks: `words`, which runs of version 0.2 and before were fitted with.

It takes a text as it is written. :mod:`~pyro_rationale.data.tokenizers.unicode` cleans it first, and extends these
rules to scripts and symbols that they cut into pieces.
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from itertools import islice

from pyro_rationale.data.tokenizers import Tokens

# Marks that follow a base letter (accents written as characters of their own, vowel signs) are no `\w` in Python.
_MARKS = r"\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0e31\u0e34-\u0e4e\u20d0-\u20ff"
UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
INVISIBLE = r"\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufe0f\ufeff"

_QUOTE = "\u2019"
_SPELLINGS = {
    _QUOTE: "'",
    "\u2018": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2026": "...",
    "\u2013": "--",
    "\u2014": "--",
}


# The tokens of a lower-cased text of ASCII characters, as the pattern below finds them in several times as long.
_ASCII = re.compile(
    r"""
      n't(?![a-z\d])
    | [a-z](?:[a-z\d]*+(?!'t)|[a-z\d]*(?=n't(?![a-z\d]))|[a-z\d]*+)
    | \d++(?:[.,:]\d+)+
    | \d[a-z\d]*+
    | '(?:s|m|d|re|ve|ll)(?![a-z\d])
    | <br\s*/?>
    | ([^\w\s\x00-\x1f\x7f]|_)\1*+
    """,
    re.ASCII | re.VERBOSE,
)


def word_pattern(marks: str, unspaced: str, run: str) -> re.Pattern[str]:
    """The pattern of a token.

    Args:
        marks: characters that belong to the word whose letters they follow, as the inside of a class.
        unspaced: a character of a script without spaces, each of which is a token.
        run: a punctuation mark and its repetitions, with the mark as the group `run`.
    """
    letter = rf"(?:[^\W_]|[{marks}])"
    end = rf"(?!{letter})"
    return re.compile(
        rf"""
          <(?i:br)\s*/?>                                         # line breaks of web pages: no word
        | {unspaced}
        | \d+(?:[.,:]\d+)+                                      # 3.5  4,000  11:30
        | (?i:n['\u2019]t){end}                                  # the tail of "don't"
        | ['\u2019](?i:s|m|d|re|ve|ll){end}                      # the tail of "it's"
        | [^\W\d_](?:(?!(?i:n['\u2019]t){end})(?!{unspaced}){letter})*
        | \d{letter}*                                           # 90s  1st
        | {run}
        """,
        re.VERBOSE,  # not IGNORECASE for all: Greek iota would be a mark then, in which U+0345 turns by case
    )


class WordTokenizer:
    """Lower-cased words and punctuation marks.

    Clitics are words of their own, as in the vocabulary of GloVe (`do n't`, `it 's`); a hyphen separates; a run of
    one punctuation mark is one token (`!!!` is read as `!`, two or more dots as `...`); typographic quotes and
    dashes are read as plain ones. Web line breaks, control characters and invisible ones belong to no token.
    """

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The pattern of a token."""
        return word_pattern(_MARKS, f"[{UNSPACED}]", rf"(?P<run>[^\w\s{INVISIBLE}]|_)(?i:(?P=run))*")

    @cached_property
    def version(self) -> str:
        """A string that changes with the rules."""
        return digest(self.pattern.pattern, _SPELLINGS)

    def __call__(self, text: str, limit: int | None = None) -> Tokens:
        """The tokens of a text, see :class:`pyro_rationale.data.tokenizers.Tokenizer`."""
        return _ascii_tokens(text, limit) if text.isascii() else self.by_pattern(text, limit)

    def by_pattern(self, text: str, limit: int | None) -> Tokens:
        """The tokens that the pattern finds."""
        tokens: list[str] = []
        offsets: list[tuple[int, int]] = []
        for match in self.pattern.finditer(text):
            if len(tokens) == limit:
                break
            run = match["run"]
            if run is not None:
                token = _punctuation(run, match.end() - match.start() > len(run))
            else:
                token = match[0].lower().replace(_QUOTE, "'")
                if token[0] == "<":
                    continue
            tokens.append(token)
            offsets.append(match.span())
        return tuple(tokens), tuple(offsets)


def _ascii_tokens(text: str, limit: int | None) -> Tokens:
    """The tokens of a text of ASCII characters."""
    plain = text.lower()
    breaks = plain.count("<br")  # web line breaks are found, and are no tokens
    most = None if limit is None else limit + breaks
    spans = list(map(re.Match.span, islice(_ASCII.finditer(plain), most)))
    if breaks:
        spans = [(a, b) for a, b in spans if b - a < 4 or not plain.startswith("<br", a)][:limit]
    tokens = [plain[start:end] for start, end in spans]
    if runs := {token for token in set(tokens) if token[:1] == token[1:2] and not token[0].isalnum()}:
        tokens = [_punctuation(token[0], True) if token in runs else token for token in tokens]
    return tuple(tokens), tuple(spans)


def digest(*rules: object) -> str:
    """A version made of rules that `repr` shows in full."""
    return hashlib.blake2b(repr(rules).encode(), digest_size=8).hexdigest()


def _punctuation(mark: str, repeated: bool) -> str:
    if repeated and mark in ".-":
        return "..." if mark == "." else "--"
    return _SPELLINGS.get(mark, mark)


REGISTERED = tokenize = WordTokenizer()
