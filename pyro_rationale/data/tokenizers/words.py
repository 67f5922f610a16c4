"""Lower-cased words and punctuation marks: `words`, the default tokenizer."""

from __future__ import annotations

import hashlib
import re

from pyro_rationale.data.tokenizers import Tokens

# Marks that follow a base letter (accents written as characters of their own, vowel signs) are no `\w` in Python.
_MARKS = r"\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0e31\u0e34-\u0e4e\u20d0-\u20ff"
_CHARACTER = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_INVISIBLE = r"\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufe0f\ufeff"
_LETTER = rf"(?:[^\W_]|[{_MARKS}])"
_CLITIC = r"(?:s|m|d|re|ve|ll)"
_END = rf"(?!{_LETTER})"

_TOKEN = re.compile(
    rf"""
      <br\s*/?>                                             # line breaks of web pages: no word
    | [{_CHARACTER}]                                        # scripts without spaces: one token a character
    | \d+(?:[.,:]\d+)+                                      # 3.5  4,000  11:30
    | n['\u2019]t{_END}                                     # the tail of "don't"
    | ['\u2019]{_CLITIC}{_END}                              # the tail of "it's"
    | [^\W\d_](?:(?!n['\u2019]t{_END})(?![{_CHARACTER}]){_LETTER})*
    | \d{_LETTER}*                                          # 90s  1st
    | (?P<run>[^\w\s{_INVISIBLE}]|_)(?P=run)*
    """,
    re.VERBOSE | re.IGNORECASE,
)
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

class WordTokenizer:
    """Lower-cased words and punctuation marks.

    Clitics are words of their own, as in the vocabulary of GloVe (`do n't`, `it 's`); a hyphen separates; a run of
    one punctuation mark is one token (`!!!` is read as `!`, two or more dots as `...`); typographic quotes and
    dashes are read as plain ones. Web line breaks, control characters and invisible ones belong to no token.
    """

    version = hashlib.blake2b(repr((_TOKEN.pattern, _SPELLINGS)).encode(), digest_size=8).hexdigest()

    def __call__(self, text: str, limit: int | None = None) -> Tokens:
        """The tokens of a text, see :class:`pyro_rationale.data.tokenizers.Tokenizer`."""
        tokens: list[str] = []
        offsets: list[tuple[int, int]] = []
        for match in _TOKEN.finditer(text):
            if len(tokens) == limit:
                break
            run = match["run"]
            if run is not None:
                token = _punctuation(run, match.end() - match.start())
            else:
                token = match[0].lower().replace(_QUOTE, "'")
                if token[0] == "<":
                    continue
            tokens.append(token)
            offsets.append(match.span())
        return tuple(tokens), tuple(offsets)


def _punctuation(mark: str, repeats: int) -> str:
    if repeats > 1 and mark in ".-":
        return "..." if mark == "." else "--"
    return _SPELLINGS.get(mark, mark)


REGISTERED = tokenize = WordTokenizer()
