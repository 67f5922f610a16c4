r"""Words of every script that puts spaces between them, and punctuation marks: `unicode`, the default tokenizer.

A text is first cleaned for lookup: character references (`&amp;`), tags (`<b>`), line ends written as `\n`, characters
that cannot be seen, and letters that can be written in several ways (decomposed accents, full width, ligatures). It is
then cut by the rules of :mod:`~pyro_rationale.data.tokenizers.words`, extended to all combining marks and to emoji.
Offsets point into the text as it was given. Plain English is cut exactly as by `words`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import cache, cached_property, lru_cache
from itertools import groupby

from pyro_rationale.data.tokenizers import Tokens
from pyro_rationale.data.tokenizers.words import INVISIBLE, UNSPACED, WordTokenizer, digest, word_pattern
from pyro_rationale.data.tokenizers.words import tokenize as tokenize_plain

_TAGS = (
    "a abbr article aside b big blockquote br center code dd del div dl dt em font footer h1 h2 h3 h4 h5 h6 header hr "
    "i img ins li mark nav ol p pre q s section small span strike strong sub sup table tbody td tfoot th thead tr tt u "
    "ul wbr"
)
_ATTRIBUTE = r"""\s+[\w:-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>&]+)"""
_MARKUP = rf"""
      (?P<newline>(?:\\{{1,4}}r)?\\{{1,4}}n)                          # a line end written as \n
    | (?P<space>
          (?:<(?!br\s*/?>)|&lt;)/?(?:{_TAGS.replace(" ", "|")})(?:{_ATTRIBUTE})*\s*/?(?:>|&gt;)
        | <!--[^<>]*-->
      )
    | (?P<reference>&(?:amp;)*(?:\#\d{{1,7}}|\#x[\da-f]{{1,6}}|[a-z][a-z\d]{{1,31}});)
"""
_PATH = re.compile(r"(?<![^\W_])[A-Za-z]:\\\S*\Z")  # C:\new, without a line end in it
_LONGEST_PATH = 100
_SELECTORS = r"\ufe00-\ufe0f\U000e0100-\U000e01ef"  # which form of the character before them is to be seen
_UNSEEN = r"\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb" + _SELECTORS
_MOST = 30  # marks of one letter that are put in order: more are no writing, and would take quadratic time
_UNCLEAN = re.compile(rf"[&<\\{_UNSEEN}]")  # beside letters that are not in normal form
_START = re.compile(r"[&<\\\x80-\U0010ffff]")  # of whatever may have to be cleaned
_SPACE = "\u200b"  # of no width. It separates words in scripts that put no spaces between them; elsewhere it is garbage
_SPACED_BY_IT = re.compile(r"[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_TSHEG = r"\u0f0b\u0f0c"  # stands between the syllables of a Tibetan text, as a space would
_TONE = r"\U0001f3fb-\U0001f3ff"
_PICTURE = (
    r"\u00a9\u00ae\u203c\u2049\u2122\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u2775\u2794-\u27bf\u2900-\u297f\u2b00-\u2bff"
    r"\u3030\u303d\u3297\u3299\U0001f000-\U0001f0ff\U0001f10d-\U0001f1e5\U0001f200-\U0001f3fa\U0001f400-\U0001faff"
)
_PERSON = rf"[{_PICTURE}]\ufe0f?[{_TONE}]?"
_EMOJI = (
    r"[\U0001f1e6-\U0001f1ff]{2}"  # a flag; those of regions are a black flag and letters that cannot be seen
    rf"|\U0001f3f4[\U000e0020-\U000e007f]+|{_PERSON}(?:\u200d{_PERSON})*"
)
# Beyond Latin, Greek, Cyrillic, Kana, Chinese characters, and usual punctuation.
_RARE = re.compile(
    r"[^\x00-\u02ff\u0370-\u0482\u048a-\u0589\u2010-\u2027\u2030-\u205e\u20a0-\u20bf"
    r"\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff]"
)
# Kinds of characters that are other forms of a letter. The other kinds say something of their own (½, ², ™).
_FORMS = ("<font>", "<wide>", "<narrow>", "<initial>", "<medial>", "<final>", "<isolated>", "<compat>")
_NO_FORMS = re.compile("[\u0149\u3131-\u318e]")  # an n and its apostrophe; Korean letters that stand alone


class UnicodeTokenizer(WordTokenizer):
    r"""Lower-cased words, punctuation marks and emoji.

    Clitics, hyphens, runs of one mark, quotes and dashes are read as
    :class:`~pyro_rationale.data.tokenizers.words.WordTokenizer` reads them. A combining mark belongs to its word. An
    emoji with its skin tone, a family, and a flag are one token each. A character reference is read as its character.
    Tags, line ends written as `\n`, control characters and invisible ones belong to no token.
    """

    unspaced = rf"[{UNSPACED}]"

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The pattern of a token of a cleaned text."""
        mark = rf"(?:[^\w\s{INVISIBLE}{_UNSEEN}{_TSHEG}]|_)[{marks()}]*"
        run = rf"(?P<run>{_EMOJI}|{mark})(?:(?P=run)(?![{_TONE}\u200d{marks()}]))*"
        return word_pattern(marks(), rf"{self.unspaced}[{marks()}]*", run)

    @cached_property
    def version(self) -> str:
        """A string that changes with the rules and with Python's Unicode tables."""
        return digest(_cleaned().pattern, self.pattern.pattern, unicodedata.unidata_version, tokenize_plain.version)

    def __call__(self, text: str, limit: int | None = None) -> Tokens:
        """The tokens of a text, see :class:`pyro_rationale.data.tokenizers.Tokenizer`."""
        if text.isascii() and "&" not in text and "<" not in text and "\\" not in text:
            return tokenize_plain(text, limit)
        cleaned, spans = clean(text)
        tokens, offsets = self.cut(cleaned, limit)
        if spans is not None:
            offsets = tuple((spans[start][0], spans[end - 1][1]) for start, end in offsets)
        return tokens, offsets

    def cut(self, text: str, limit: int | None) -> Tokens:
        """The tokens of a cleaned text."""
        if _RARE.search(text):
            return self.by_pattern(text, limit)
        return tokenize_plain(text, limit)  # cuts such texts in the same way, and in half the time


@cache
def marks() -> str:
    r"""Combining marks (`\p{M}`) as the inside of a character class, without those that cannot be seen."""
    unseen = re.compile(f"[{_UNSEEN}]")
    points = [i for i in range(0x300, 0x1F000) if unicodedata.category(chr(i))[0] == "M" and not unseen.match(chr(i))]
    runs = [[i for _, i in run] for _, run in groupby(enumerate(points), key=lambda pair: pair[1] - pair[0])]
    return "".join(rf"\U{run[0]:08x}-\U{run[-1]:08x}" for run in runs)


@cache
def _cleaned() -> re.Pattern[str]:
    """The pattern of all that may have to be cleaned: markup, invisible characters, letters with their marks."""
    return re.compile(
        rf"""(?i:{_MARKUP})
        | (?P<emoji>{_EMOJI})
        | (?P<selector>[{_SELECTORS}]+)
        | (?P<unseen>[{_UNSEEN}])
        | (?P<mark>[{marks()}]{{1,{_MOST}}})                # of an ASCII letter, which is not part of the match
        | (?P<letter>
              [\u1100-\u115f][\u1160-\u11a7][\u11a8-\u11ff]?         # a Korean syllable
            | [\uff66-\uff9d][\uff9e\uff9f]                          # half-width Kana with its voice mark
            | [^\x00-\x7f][{marks()}]{{0,{_MOST}}}
          )
        """,
        re.VERBOSE,
    )


def clean(text: str) -> tuple[str, list[tuple[int, int]] | None]:
    """Clean a text, so that words which look alike are spelt alike.

    Returns:
        The cleaned text, and for each of its characters the `(start, end)` characters of `text` that it stands for;
        `None` where nothing had to be cleaned.
    """
    if unicodedata.is_normalized("NFKC", text) and not _UNCLEAN.search(text):
        return text, None
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    pattern, position, done = _cleaned(), 0, 0
    while found := _START.search(text, done):
        match = pattern.match(text, found.start())
        if match is None:
            done = found.end()
            continue
        start, done = match.span()
        if match["mark"] and start > position:
            start -= 1
        old = text[start:done]
        new = _replacement(match, old)
        if new == old:
            continue
        pieces += [text[position:start], new]
        spans += [(i, i + 1) for i in range(position, start)]
        spans += [(start, done)] * len(new)
        if match["selector"] and spans:
            spans[-1] = (spans[-1][0], done)
        position = done
    if not pieces:
        return text, None
    pieces.append(text[position:])
    spans += [(i, i + 1) for i in range(position, len(text))]
    return "".join(pieces), spans


def _replacement(match: re.Match[str], old: str) -> str:
    """Reading of a match; `old` is the match, and the letter before it if it begins with a combining mark."""
    kind = match.lastgroup
    if kind in ("letter", "mark"):
        return normalized(old)
    if kind == "emoji":
        return old.replace("\ufe0f", "")
    if kind == "newline":
        before = match.string[max(match.start() - _LONGEST_PATH, 0) : match.start()]
        return old if _PATH.search(before + "\\") else " "
    if kind == "space":
        return " "
    if kind == "reference":
        character = html.unescape("&" + old[1:].replace("amp;", "") if old.lower() != "&amp;" else old)
        return old if len(character) > 1 else "" if re.match(f"[{_UNSEEN}]", character) else normalized(character)
    if old == _SPACE and _SPACED_BY_IT.search(match.string, max(match.start() - 1, 0), match.end() + 1):
        return old
    return ""


@lru_cache(1 << 14)
def normalized(part: str) -> str:
    """A letter with its marks in the one form that it is looked up by; anything else as it is."""
    composed = unicodedata.normalize("NFKC" if all(map(_is_form, part)) else "NFC", part)
    kinds = [unicodedata.category(character)[0] for character in composed]
    return composed if len(composed) == 1 or (kinds[0] == "L" and set(kinds) <= {"L", "M"}) else part


def _is_form(character: str) -> bool:
    kind = unicodedata.decomposition(character).partition(" ")[0]
    if kind == "<compat>" and not character.isalpha():
        return False
    return not kind.startswith("<") or (kind in _FORMS and not _NO_FORMS.match(character))


REGISTERED = tokenize = UnicodeTokenizer()
