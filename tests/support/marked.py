"""Documents and masks written as strings of 0 and 1, for the tests of metrics."""

from __future__ import annotations

from collections.abc import Sequence

from pyro_rationale.data.corpus import Document


def bits(pattern: str) -> tuple[bool, ...]:
    """`1101` as flags."""
    return tuple(c == "1" for c in pattern)


def document(
    gold: str | None = None,
    maps: Sequence[str] | None = None,
    words: str = "",
    targets: tuple[float, ...] = (),
    length: int = 0,
) -> Document:
    """A document of given words, or of as many as there are flags."""
    flags = gold if gold is not None else (maps or ["w" * length])[0]
    tokens = tuple(words.split()) if words else tuple("w" for _ in flags)
    return Document(
        id="d",
        text=" ".join(tokens),
        tokens=tokens,
        offsets=tuple((2 * i, 2 * i + 1) for i in range(len(tokens))),
        targets=targets,
        gold=None if gold is None else bits(gold),
        maps=None if maps is None else tuple(map(bits, maps)),
    )
