"""Words of Chinese, Japanese, Thai, Lao, Khmer and Burmese, which put no spaces between them: `icu`, an extra.

The dictionaries of ICU cut what is written in these scripts; everything else is cut as by `unicode`.
"""

from __future__ import annotations

import re
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

from pyro_rationale.data.tokenizers import Tokens
from pyro_rationale.data.tokenizers.unicode import UnicodeTokenizer
from pyro_rationale.data.tokenizers.words import digest
from pyro_rationale.optional import optional

_DICTIONARIES = (  # letters of the scripts that ICU has dictionaries for; digits and punctuation are not among them
    r"\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ebd\u0ec0-\u0ecd\u0edc-\u0edf\u1000-\u103f\u1050-\u108f\u109a-\u109f"
    r"\u1780-\u17d3\u17d7\u17dc\u17dd\u3005-\u3007\u3040-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
)


class IcuTokenizer(UnicodeTokenizer):
    """Words as by `unicode`, where ICU's dictionaries cut the scripts that put no spaces between words.

    Raises:
        ConfigError: when it is called, if the package `icu4py` is missing.
    """

    unspaced = rf"[{_DICTIONARIES}]+"  # a run of them is one match
    _starts_unspaced = re.compile(rf"[{_DICTIONARIES}]")

    @cached_property
    def version(self) -> str:
        """A string that changes with the rules and with ICU's dictionaries."""
        return digest(super().version, _icu("icu4py").icu_version)

    def cut(self, text: str, limit: int | None) -> Tokens:
        """The tokens of a cleaned text."""
        breaker = _icu("icu4py.breakers").WordBreaker
        tokens: list[str] = []
        offsets: list[tuple[int, int]] = []
        for token, (start, end) in zip(*self.by_pattern(text, limit), strict=True):
            pieces = list(breaker(text[start:end], "")) if self._starts_unspaced.match(token) else [token]
            ends = accumulate(map(len, pieces), initial=start)
            tokens += pieces
            offsets += pairwise(ends) if len(pieces) > 1 else [(start, end)]
        return tuple(tokens[:limit]), tuple(offsets[:limit])


def _icu(module: str) -> Any:
    return optional(module, "--tokenizer icu needs", "icu")


REGISTERED = tokenize = IcuTokenizer()
