"""Predictions as the page holds them: compact values for its script, marked pieces of text without scripts."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import spans_of
from pyro_rationale.errors import harmless
from pyro_rationale.prediction.information import little_at, little_line
from pyro_rationale.prediction.labels import in_percent
from pyro_rationale.prediction.text_spans import letter_of, visible
from pyro_rationale.reporting.console import format_value
from pyro_rationale.reporting.effects import least_effects, signs
from pyro_rationale.tasks import Decision, task_of
from pyro_rationale.tasks._numerals import number_text

if TYPE_CHECKING:
    from pyro_rationale.prediction.predictor import Prediction

LEVELS = 10  # of shading
ASPECT_COLOURS = 8  # in style.css; of more targets, some share one, and the letters tell them apart


@dataclass(frozen=True)
class Piece:
    """A stretch of text, its CSS classes, and the letters of the targets whose rationales begin here."""

    text: str
    classes: str
    letters: str = ""

    @property
    def kept(self) -> bool:
        """Whether it belongs to a rationale."""
        return "k" in self.classes.split()


def percent(share: float) -> str:
    """A share with three digits and a proper minus sign: `90 %`."""
    return f"{100 * share:.3g} %".replace("-", "\N{MINUS SIGN}")


def metric_text(name: str, metrics: Mapping[str, Any]) -> str:
    """A metric of a table as the page shows it; empty where the table does not have it."""
    return format_value(name, metrics[name]).replace("-", "\N{MINUS SIGN}") if name in metrics else ""


def pack(prediction: Prediction) -> dict[str, Any]:
    """A prediction as JSON values under one-letter names, for the page's script.

    `i` id; `t` text; `o` gap before each word and its length, in UTF-16 units as scripts count; `p` inclusion in
    percent; `k` and `g` the kept and the gold words as [start, end) pairs in one flat list; `f` probability
    that the guide gives to just these, in words; `v` predictions; `w` those from the kept words alone, where they are
    others; `l` numbers of the targets that the kept words say little about; `y` truth; `n` interval ends, flat; `c`
    for each kept run, by target, what it adds, the change when it is removed, and what it adds to nothing; `m` where
    targets have masks of their own, the kept words of each, their `c`, `f` and `p`; `a` alternatives as
    [probability in words, log q, runs, values]; `u` number of characters that are left out at the end. Unknown values,
    and an empty `l`, are left out.
    """
    document = prediction.document
    words = len(document.tokens)
    masks = [prediction.inclusion, prediction.kept, *(other.mask for other in prediction.alternatives)]
    if any(len(mask) != words for mask in masks):
        raise ValueError(f"expected {words} entries per mask, one per word of {document.id}")
    text, unread = visible(document.text, document.offsets)
    packed: dict[str, Any] = {
        "i": harmless(document.id),
        "t": text,
        "o": _steps(text, document.offsets),
        "p": [round(100 * p) for p in prediction.inclusion],
        "k": runs(prediction.kept),
        "v": [number(v) for v in prediction.predicted],
    }
    if prediction.probability is not None:
        packed["f"] = in_percent(prediction.probability)
    if prediction.values != prediction.predicted:
        packed["w"] = [number(v) for v in prediction.values]
    if little := little_at(prediction.information or ()):
        packed["l"] = little
    if document.gold is not None:
        packed["g"] = runs(document.gold)
    if document.targets and not all(math.isnan(y) for y in document.targets):
        packed["y"] = [number(y) for y in document.targets]
    if prediction.interval is not None:
        packed["n"] = [number(end) for ends in prediction.interval for end in ends]
    if prediction.contributions is not None:
        packed["c"] = _changes(prediction)
    if prediction.aspects:
        packed["m"] = [
            [
                runs(part.kept),
                _changes(part),
                None if part.probability is None else in_percent(part.probability),
                [round(100 * p) for p in part.inclusion],
            ]
            for part in prediction.aspects
        ]
    if prediction.alternatives:
        packed["a"] = [
            [in_percent(a.probability), number(a.log_probability), runs(a.mask), [number(v) for v in a.values]]
            for a in prediction.alternatives
        ]
    if unread:
        packed["u"] = unread
    return packed


def little_lines(prediction: Prediction, spec: TargetSpec) -> list[str]:
    """Lines that tell readers which targets the kept words say little about.

    Returns:
        A line; one for each such target where targets have masks of their own; nothing where there is none.
    """
    names = [spec.names[i] for i in little_at(prediction.information or ())]
    groups = [[name] for name in names] if prediction.aspects else [names]
    return [line for group in groups if (line := little_line(group))]


def _changes(prediction: Prediction) -> list[list[list[float | int | None]]]:
    """Effect, change on removal, and effect alone of each kept span, by target."""
    return [
        [[number(v) for v in row] for row in zip(part.effects, part.removed, part.alone, strict=True)]
        for part in (prediction.contributions.spans if prediction.contributions else ())
    ]


def number(value: float) -> float | int | None:
    """Four digits, and all before the point; `None` for what is not finite."""
    if not math.isfinite(value):
        return None
    short = float(number_text(value))
    return int(short) if short == int(short) else short


def runs(mask: Sequence[bool]) -> list[int]:
    """Maximal runs of True as start, end, start, end, ..."""
    return [edge for span in spans_of(mask) for edge in span]


def level(inclusion: float) -> int:
    """Shade of a word, 0 to `LEVELS`: the nearest tenth of whole percents, as the script computes it."""
    return (round(100 * inclusion) + 5) // LEVELS


def pieces(prediction: Prediction, spec: TargetSpec) -> Iterator[Piece]:
    """The text in stretches of equal marks.

    A gap is marked like its neighbours where both are kept, and as pale as the paler of them, or where both are gold.
    Where targets have rationales of their own, a stretch has the colour of its target, and its first words the letter;
    a word that none of them keeps is not shaded then, for nothing would say whose it is.
    """
    document = prediction.document
    text, _ = visible(document.text, document.offsets)
    gold = document.gold or (False,) * len(document.tokens)
    speaking = signs(prediction.contributions, len(document.tokens), least_effects(spec, document.aspect))
    marked: list[tuple[str, str, str]] = []
    position = 0
    before: tuple[bool, bool, tuple[int, ...], int] = (False, False, (), 0)
    owners = owners_of(prediction)
    rows = zip(document.offsets, _shades(prediction, owners), prediction.kept, gold, speaking, owners, strict=True)
    for (start, end), shade, kept, true, sign, own in rows:
        joined = kept and before[0] and own == before[2]
        between = min(shade, before[3]) if joined else 0
        marked.append((text[position:start], _classes(between, joined, true and before[1], sign, own), ""))
        letters = "" if joined else "".join(map(letter_of, own))
        marked.append((text[start:end], _classes(shade, kept, true, sign, own), letters))
        position, before = end, (kept, true, own, shade)
    marked.append((text[position:], "un", ""))
    for (classes, letters), group in groupby((part for part in marked if part[0]), key=lambda part: part[1:]):
        yield Piece("".join(part[0] for part in group), classes, letters)


def _shades(prediction: Prediction, owners: Sequence[tuple[int, ...]]) -> list[int]:
    """Shade of each word; where targets have rationales of their own, that of the surest target that keeps it."""
    if not prediction.aspects:
        return [level(p) for p in prediction.inclusion]
    each = [part.inclusion for part in prediction.aspects]
    return [max((level(each[i][word]) for i in own), default=0) for word, own in enumerate(owners)]


def owners_of(prediction: Prediction) -> list[tuple[int, ...]]:
    """Numbers of the targets that keep each word, where targets have rationales of their own; else nothing."""
    masks = [part.kept for part in prediction.aspects]
    return [tuple(i for i, mask in enumerate(masks) if mask[word]) for word in range(len(prediction.kept))]


def _classes(shade: int, kept: bool, gold: bool, sign: int, own: tuple[int, ...] = ()) -> str:
    """CSS classes of a piece of text."""
    side = ["k", *(("for",) if sign > 0 else ("against",) if sign < 0 else ())]
    side += ["tt"] if len(own) > 1 else [f"t{i % ASPECT_COLOURS}" for i in own]
    return " ".join([f"s{shade}"] * (shade > 0) + side * kept + ["g"] * gold)


def prediction_lines(
    prediction: Prediction,
    spec: TargetSpec,
    percent: str,
    averaged: bool = False,
    decision: Decision | None = None,
) -> list[list[tuple[str, str]]]:
    """Per target, what is predicted and what is true, as (label, value) pairs for people.

    Args:
        prediction: of a document.
        spec: what is predicted.
        percent: probability of the intervals.
        averaged: whether the prediction averages over masks, so that the one from the kept words alone is told too.
        decision: the rule that names classes; `None`: the most probable one is named.
    """
    truth, task = prediction.document.targets, task_of(spec, decision)
    lines, levels = [], task.level_shares(prediction.predictive)
    alone = task.alone.point(prediction.values)
    for i, (name, point) in enumerate(task.point(prediction.predicted).items()):
        line = [(f"{name}, predicted", _said(point))]
        if averaged:
            line.append(("from these words alone", _said(alone[name])))
        if prediction.interval is not None:
            low, high = prediction.interval[i]
            line.append((f"{percent} interval", f"{number_text(low, '.3g')} to {number_text(high, '.3g')}"))
        if name in levels:
            shares = ", ".join(f"{level} {100 * share:.0f} %" for level, share in levels[name].items())
            line.append(("probabilities", shares))
        actual = "unknown"
        if truth and math.isfinite(truth[i]):
            actual = spec.classes[int(truth[i])] if spec.classes else number_text(truth[i], ".3g")
        lines.append([*line, ("true", actual)])
    return lines


def _said(point: Mapping[str, Any]) -> str:
    """A rating, or a label with its probability."""
    if "value" in point:
        return number_text(point["value"], ".3g")
    label = point["label"]
    return f"{label} ({100 * point['probabilities'][label]:.0f} %)"


def effect_lines(
    prediction: Prediction, spec: TargetSpec, decision: Decision | None = None
) -> Iterator[tuple[str, str]]:
    """Words of each kept span, and what they do to each target, for people."""
    units, document = task_of(spec, decision).effect_units(prediction.predicted), prediction.document
    for i, own in enumerate(prediction.aspects):
        yield from ((f"{letter_of(i)} {text}", said) for text, said in effect_lines(own, spec, decision))
    if document.aspect is not None:
        units = units[document.aspect : document.aspect + 1]
    for part in prediction.contributions.spans if prediction.contributions else ():
        text = " ".join(document.text[document.offsets[part.start][0] : document.offsets[part.end - 1][1]].split())
        rows = zip(units, part.effects, part.removed, part.alone, strict=True)
        said = (f"{unit} {signed(e)} ({signed(r)} if removed, {signed(a)} alone)" for unit, e, r, a in rows)
        yield text, "; ".join(said)


def fragment(name: str, value: str) -> str:
    """The address within the page of what a name and a value stand for, such as `#doc=row%201`."""
    return f"#{name}={quote(harmless(value), safe='')}"


def short(value: float) -> str:
    """Three digits, zeros included; whole numbers, such as ratings, and large ones as they are; a proper minus sign."""
    shown = f"{value:.0f}" if abs(value) >= 999.5 or float(value).is_integer() else f"{value:#.3g}".rstrip(".")
    return shown.replace("-", "\N{MINUS SIGN}")


def signed(value: float) -> str:
    """Three digits behind a sign."""
    return short(value) if value < 0 else f"+{short(abs(value))}"


def _steps(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Gap and length of each word, in UTF-16 units."""
    wide = [i for i, letter in enumerate(text) if ord(letter) > 0xFFFF]
    flat, before = [], 0
    for start, end in offsets:
        first, last = (index + bisect_left(wide, index) for index in (start, end))
        flat += [first - before, last - first]
        before = last
    return flat
