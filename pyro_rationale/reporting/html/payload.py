"""Documents as the page gets them: compact values for its script, ready pieces for readers without scripts."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.prediction.text_spans import harmless, snippets, visible
from pyro_rationale.tasks import task_of

if TYPE_CHECKING:
    from pyro_rationale.prediction.predictor import Prediction

LEVELS = 10  # of shading
_UNPAIRED = re.compile("[\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Piece:
    """A stretch of text and its CSS classes."""

    text: str
    classes: str


def clean(text: str) -> str:
    """The text with what would disturb a page (control characters, bidi overrides, lone surrogates) replaced, one
    character for one."""
    return _UNPAIRED.sub("\ufffd", harmless(text))


def percent(share: float) -> str:
    """A share with three digits and a proper minus sign: `90 %`."""
    return f"{100 * share:.3g} %".replace("-", "\N{MINUS SIGN}")


def pack(read: Prediction) -> dict[str, Any]:
    """What the script needs of a document, under one-letter names.

    `i` id; `t` text; `o` gap before each word and its length, in UTF-16 units as scripts count; `p` inclusion in
    percent; `k` and `g` the kept and the gold words as [start, end) pairs in one flat list; `v` predictions; `y`
    truth; `n` interval ends, flat; `a` alternatives as [share of draws in percent, log q, runs, values]; `u` number
    of characters that are left out at the end. What is not known is left out.
    """
    document = read.document
    words = len(document.tokens)
    if any(len(mask) != words for mask in (read.inclusion, read.kept, *(other.mask for other in read.alternatives))):
        raise ValueError(f"expected {words} entries per mask, one per word of {document.id}")
    text, unread = _shown(document)
    packed: dict[str, Any] = {
        "i": clean(document.id),
        "t": text,
        "o": _steps(text, document.offsets),
        "p": [round(100 * p) for p in read.inclusion],
        "k": runs(read.kept),
        "v": [number(v) for v in read.values],
    }
    if document.gold is not None:
        packed["g"] = runs(document.gold)
    if document.targets and not all(math.isnan(y) for y in document.targets):
        packed["y"] = [number(y) for y in document.targets]
    if read.interval is not None:
        packed["n"] = [number(end) for ends in read.interval for end in ends]
    if read.alternatives:
        packed["a"] = [
            [round(100 * a.frequency), number(a.log_probability), runs(a.mask), [number(v) for v in a.values]]
            for a in read.alternatives
        ]
    if unread:
        packed["u"] = unread
    return packed


def number(value: float) -> float | int | None:
    """Four digits; `None` for what is not finite."""
    if not math.isfinite(value):
        return None
    short = float(f"{value:.4g}")
    return int(short) if short == int(short) else short


def runs(mask: Sequence[bool]) -> list[int]:
    """Maximal runs of True as start, end, start, end, ..."""
    found, position = [], 0
    for flag, group in groupby(mask):
        length = len(list(group))
        if flag:
            found += [position, position + length]
        position += length
    return found


def level(inclusion: float) -> int:
    """Of 0 to `LEVELS`: the nearest tenth, of whole percents, as the script computes it."""
    return (round(100 * inclusion) + 5) // LEVELS


def pieces(read: Prediction) -> Iterator[Piece]:
    """The text in stretches of one look. A gap looks as its neighbours do where both are kept, or both gold."""
    document = read.document
    text, _ = _shown(document)
    gold = document.gold or (False,) * len(document.tokens)
    looks: list[tuple[str, str]] = []
    position, before = 0, (False, False)
    for (start, end), p, kept, true in zip(document.offsets, read.inclusion, read.kept, gold, strict=True):
        looks.append((text[position:start], _classes(0, kept and before[0], true and before[1])))
        looks.append((text[start:end], _classes(level(p), kept, true)))
        position, before = end, (kept, true)
    looks.append((text[position:], "un"))
    for classes, group in groupby((look for look in looks if look[0]), key=lambda look: look[1]):
        yield Piece("".join(part for part, _ in group), classes)


def _classes(shade: int, kept: bool, gold: bool) -> str:
    return " ".join([f"s{shade}"] * (shade > 0) + ["k"] * kept + ["g"] * gold)


def prediction_lines(read: Prediction, spec: TargetSpec, percent: str) -> list[list[tuple[str, str]]]:
    """Per target, what is predicted and what is true, as (label, value) pairs for people."""
    truth = read.document.targets
    found = []
    for i, (name, point) in enumerate(task_of(spec).point(read.values).items()):
        if "value" in point:
            line = [(f"{name}, predicted", f"{point['value']:.3g}")]
        else:
            label = point["label"]
            line = [(f"{name}, predicted", f"{label} ({point['probabilities'][label]:.0%})")]
        if read.interval is not None:
            low, high = read.interval[i]
            line.append((f"{percent} interval", f"{low:.3g} to {high:.3g}"))
        actual = "unknown"
        if truth and math.isfinite(truth[i]):
            actual = spec.classes[int(truth[i])] if spec.classes else f"{truth[i]:.3g}"
        found.append([*line, ("true", actual)])
    return found


def rationale_text(read: Prediction, mask: Sequence[bool]) -> str:
    """The words of a mask on one line."""
    return clean(snippets(read.document, mask))


def _shown(document: Document) -> tuple[str, int]:
    """The clean text without the end of a long unread tail, and how many characters that end has."""
    text, hidden = visible(document.text, document.offsets)
    return clean(text), hidden


def _steps(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Gap and length of each word, in UTF-16 units."""
    wide = [i for i, letter in enumerate(text) if ord(letter) > 0xFFFF]
    flat, before = [], 0
    for start, end in offsets:
        first, last = (place + bisect_left(wide, place) for place in (start, end))
        flat += [first - before, last - first]
        before = last
    return flat
