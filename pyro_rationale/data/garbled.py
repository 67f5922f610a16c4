"""Texts whose characters were lost or mistaken on the way: UTF-8 that was read as cp1252, and what became U+FFFD."""

from __future__ import annotations

import re
from pathlib import Path

from pyro_rationale.data.files.text import log, shown

_ENOUGH = 0.01  # share of the texts that is worth a line
_LOST = "\ufffd"
_BEHIND = "".join({bytes([byte]).decode(name, errors="ignore") for byte in range(0x80, 0xC0)
                   for name in ("cp1252", "latin-1")})  # fmt: skip
# First bytes of accented letters, Greek, Cyrillic, quotation marks and dashes, emoji. Of others there are honest texts.
_MISTAKEN = re.compile(rf"(?:[\xc2-\xc5\xce-\xd1][{re.escape(_BEHIND)}]|[\xe2\xf0][{re.escape(_BEHIND)}]{{2,3}})+")
_WORD = 10  # characters around the place


def mistaken(text: str) -> tuple[str, str] | None:
    """The first characters of a text that were UTF-8 and were read as cp1252 or Latin-1, and what they were.

    Returns:
        Both with the letters around them, such as `cafÃ©` and `café`; `None` if there are none.
    """
    for match in () if text.isascii() else _MISTAKEN.finditer(text):
        try:
            meant = b"".join(map(_byte, match[0])).decode("utf-8")
        except UnicodeDecodeError:
            continue
        before = re.findall(r"\w*$", text[max(match.start() - _WORD, 0) : match.start()])[0]
        after = re.findall(r"^[A-Za-z]*", text[match.end() : match.end() + _WORD])[0]
        return f"{before}{match[0]}{after}", f"{before}{meant}{after}"
    return None


def _byte(character: str) -> bytes:
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:
        return character.encode("latin-1")


class Garbled:
    """Texts of one file that are garbled, as they are met.

    Attributes:
        texts: number of those that were looked at.
        found: for each kind the number of such texts, and the place of the first with what is wrong with it.
    """

    def __init__(self) -> None:
        self.texts = 0
        self.found: dict[str, tuple[int, str]] = {}

    def add(self, place: str, text: str) -> None:
        """Look at a text."""
        self.texts += 1
        if text.isascii():
            return
        if _LOST in text:
            self._count("lost", place, f"hold {_LOST!r}, which stands for a character that was lost")
        elif (pair := mistaken(text)) is not None:
            was, meant = map(shown, pair)
            self._count("mistaken", place, f"look like UTF-8 read in another encoding ({was} for {meant})")

    def _count(self, kind: str, place: str, what: str) -> None:
        count, first = self.found.get(kind, (0, f"{what}, first {place}"))
        self.found[kind] = (count + 1, first)

    def report(self, path: Path, encoding: str | None = None) -> None:
        """Log how many there are, unless they are very few.

        Args:
            path: the file.
            encoding: what the user said that it is in; `None` for UTF-8.
        """
        remedy = "write the file anew from its source" if encoding is None else "is it the right --encoding?"
        for count, first in self.found.values():
            if count >= _ENOUGH * self.texts:
                log.warning("%s: %d of %d texts %s; %s", path, count, self.texts, first, remedy)
