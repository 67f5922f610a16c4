"""Phrases that go with low and with high ratings, or with each class: what many rationales have in common.

A phrase is one to three words that carry meaning, next to each other in a rationale; function words between them and
punctuation at their ends are folded away, so that "staff was friendly" and "staff were very friendly" can be counted
together. Punctuation inside ends a phrase.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import Document, spans_of
from pyro_rationale.data.word_classes import is_punctuation, stop_words
from pyro_rationale.errors import ConfigError, harmless
from pyro_rationale.prediction.text_spans import letter_of
from pyro_rationale.tasks import Decision, task_of

if TYPE_CHECKING:
    from pyro_rationale.prediction.predictor import Prediction

Words = tuple[str, ...]
MOST_WORDS = 3  # that carry meaning, of a phrase
SHOWN = 20  # phrases of a side
EXAMPLES = 3
SHRINKAGE = 3.0  # texts that do nothing, which every phrase is averaged with: rare ones do not come first
ALIKE = 0.6  # overlap in texts from which one of two phrases with a word in common is enough
EACH_WORD = 3  # phrases of a side at most that have a word in common
ENGLISH, FREQUENT = 0.1, 0.3  # share of stop words in English texts; share of texts that hold a function word elsewhere
WEAK = frozenset("no not n't never nor without very too more most".split())  # say something of a neighbour, not alone
LONGEST = 160  # characters of an example


@dataclass(frozen=True)
class Example:
    """A kept span in which a phrase stands.

    Attributes:
        document: number of its document.
        words: the span.
    """

    document: int
    words: str


@dataclass(frozen=True)
class Phrase:
    """Words that several rationales have in common.

    Attributes:
        words: as they are written most often.
        key: of its address in the report.
        documents: numbers of those whose rationales hold it.
        mean: their mean prediction: a rating, or the probability of the class.
        effect: mean of what its spans add to the prediction, in the units of contributions; NaN if that is unknown.
        examples: a few spans that hold it.
    """

    words: str
    key: str
    documents: tuple[int, ...]
    mean: float
    effect: float
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Side:
    """Phrases that go with one end of a scale, or with one class.

    Attributes:
        title: for people.
        phrases: those that go with it most come first.
        usual: mean prediction of all documents, which :attr:`Phrase.mean` is to be compared with.
    """

    title: str
    phrases: tuple[Phrase, ...]
    usual: float


@dataclass(frozen=True)
class PhraseGroup:
    """Phrases about one target.

    Attributes:
        name: of the target.
        unit: of :attr:`Phrase.mean`, for people.
        effect: of :attr:`Phrase.effect`, for people; empty if no contributions are known.
        sides: low and high, or the classes.
    """

    name: str
    unit: str
    effect: str
    sides: tuple[Side, ...]


@dataclass
class _Found:
    """Where a phrase stands: its ways of writing, and the effects and words of its spans, by document."""

    written: Counter[str] = field(default_factory=Counter)
    effects: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    spans: dict[int, str] = field(default_factory=dict)


def phrase_groups(
    predictions: Sequence[Prediction], spec: TargetSpec, decision: Decision | None = None
) -> tuple[PhraseGroup, ...]:
    """The phrases of each target; a target without any is left out.

    Args:
        predictions: with contributions, or without; phrases are then ordered by the mean prediction of their texts.
        spec: what is predicted.
        decision: the rule that names classes; `None`: the most probable one is named.
    """
    folded = function_words([prediction.document for prediction in predictions])
    points = [task_of(spec, decision).point(prediction.predicted) for prediction in predictions]
    least = 1 if len(predictions) < 20 else 2 if len(predictions) < 100 else 3
    groups = []
    for i, name in enumerate(spec.names):
        found = _collect(predictions, i, folded)
        prefix = f"{letter_of(i)}:" if len(spec.names) > 1 else ""
        known = any(not math.isnan(e) for one in found.values() for row in one.effects.values() for e in row)
        if not spec.classes:
            values = [float(point[name]["value"]) for point in points]
            sides = []
            for title, sign in (("low", -1.0), ("high", 1.0)):
                signs = dict.fromkeys(range(len(values)), sign)
                chosen = _side(found, values, signs, sign, least, f"{prefix}{title}:")
                sides.append(Side(title, chosen, _mean(values)))
            unit, effect = "mean prediction", "mean contribution"
        else:
            sides = []
            for label in spec.classes:
                chances = [float(point[name]["probabilities"][label]) for point in points]
                other = -1.0 if len(spec.classes) == 2 else 0.0  # of two classes the log odds are each other's reverse
                signs = {d: 1.0 if point[name]["label"] == label else other for d, point in enumerate(points)}
                chosen = _side(found, chances, signs, 1.0, least, f"{prefix}{label}:")
                sides.append(Side(label, chosen, _mean(chances)))
            unit, effect = "mean probability", "mean contribution (log odds)"
        if any(side.phrases for side in sides):
            groups.append(PhraseGroup(name, unit, effect if known else "", tuple(sides)))
    return tuple(groups)


def function_words(documents: Iterable[Document]) -> frozenset[str]:
    """Words that carry no meaning of their own: English stop words, or, in other languages, those of many texts."""
    try:
        english = stop_words()
    except ConfigError:  # scikit-learn is not installed
        english = frozenset()
    texts = [document.tokens for document in documents]
    words = sum(map(len, texts))
    if sum(word in english for text in texts for word in text) > ENGLISH * words:
        return english
    counts = Counter(word for text in texts for word in set(text))
    return frozenset(word for word, count in counts.items() if len(texts) > 9 and count > FREQUENT * len(texts))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))


def _collect(predictions: Sequence[Prediction], target: int, folded: frozenset[str]) -> dict[Words, _Found]:
    """All phrases in the rationales for one target."""
    found: dict[Words, _Found] = defaultdict(_Found)
    for number, prediction in enumerate(predictions):
        part = prediction.aspects[target] if prediction.aspects else prediction
        document, column = part.document, 0 if prediction.aspects else target
        spans = spans_of(part.kept)
        known = part.contributions.spans if part.contributions else ()
        effects = [one.effects[column] for one in known] if known else [math.nan] * len(spans)
        for (start, end), effect in zip(spans, effects, strict=True):
            whole = _written(document, start, end)
            for words, first, last in _phrases(document, start, end, folded):
                one = found[words]
                one.written[_written(document, first, last).lower()] += 1
                one.effects[number].append(effect)
                one.spans.setdefault(number, whole)
    return found


def _phrases(document: Document, start: int, end: int, folded: frozenset[str]) -> Iterator[tuple[Words, int, int]]:
    """Phrases of a span: their words of meaning, and the numbers of the first word and of the one behind the last."""
    before: list[int] = []
    for i in range(start, end):
        word = document.tokens[i]
        if is_punctuation(word):
            before = []
        elif word not in folded:
            before = [*before[1 - MOST_WORDS :], i]
            for size in range(1, len(before) + 1):
                chosen = before[-size:]
                words = tuple(document.tokens[j] for j in chosen)
                if not all(word in WEAK or word.isnumeric() for word in words):
                    yield words, chosen[0], i + 1


def _written(document: Document, start: int, end: int) -> str:
    """Words as they stand in the text, on one line."""
    line = " ".join(harmless(document.text[document.offsets[start][0] : document.offsets[end - 1][1]]).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def _side(
    found: Mapping[Words, _Found],
    values: Sequence[float],
    signs: Mapping[int, float],
    direction: float,
    least: int,
    prefix: str,
) -> tuple[Phrase, ...]:
    """Phrases that go with one side.

    Args:
        found: all phrases of the target.
        values: the prediction of each document, a rating or the probability of the side's class.
        signs: what an effect in each document is multiplied by to speak for the side; 0 where it says nothing of it.
        direction: sign of values that speak for the side.
        least: texts that must hold a phrase.
        prefix: of the phrases' keys.
    """
    usual = _mean(values)
    scored = []
    for words, one in found.items():
        if len(one.spans) < least:
            continue
        own = {d: signs[d] * sum(row) / len(row) for d, row in one.effects.items()}
        known = not any(map(math.isnan, own.values()))
        if not known:
            own = {d: direction * (values[d] - usual) for d in own}
        score = sum(own.values()) / (len(own) + SHRINKAGE)
        if score > 0.0:
            scored.append((score, words, one.spans, own, known))
    scored.sort(key=lambda row: (-row[0], -len(row[1]), row[1]))
    chosen: list[Phrase] = []
    taken: list[tuple[set[str], set[int]]] = []
    for _, words, spans, own, known in scored:
        rivals = [texts for theirs, texts in taken if theirs & set(words)]
        alike = (len(texts & spans.keys()) / len(texts | spans.keys()) for texts in rivals)
        if len(rivals) >= EACH_WORD or max(alike, default=0.0) >= ALIKE:
            continue
        taken.append((set(words), set(spans)))
        speaking = [effect for d, effect in own.items() if signs[d]] if known else []
        written = min(found[words].written.items(), key=lambda item: (-item[1], len(item[0]), item[0]))[0]
        strongest = sorted(own, key=lambda d: -own[d])
        chosen.append(
            Phrase(
                words=written,
                key=f"{prefix}{written}",
                documents=tuple(spans),
                mean=sum(values[d] for d in spans) / len(spans),
                effect=direction * sum(speaking) / len(speaking) if speaking else math.nan,
                examples=tuple(Example(d, spans[d]) for d in strongest[:EXAMPLES]),
            )
        )
        if len(chosen) == SHOWN:
            break
    return tuple(chosen)
