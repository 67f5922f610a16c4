"""An explained text as plain values, as the page shows them and the JSON endpoint sends them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pyro_rationale.data.document import Document
from pyro_rationale.prediction.labels import doubt_of_words, inclusion_label
from pyro_rationale.prediction.text_spans import letter_of
from pyro_rationale.reporting.effects import least_effects

if TYPE_CHECKING:
    from pyro_rationale.data.vocabulary import Vocabulary
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.decoding import Mask
    from pyro_rationale.prediction.predictor import Alternative, Prediction
    from pyro_rationale.tasks import Task


def without_words(document: Document, struck: Collection[int]) -> Document:
    """The document without some of its words; the others keep their places in the text.

    Args:
        document: a text whose sentences are not given, as one that was pasted.
        struck: numbers of words.
    """
    kept = [number for number in range(len(document.tokens)) if number not in struck]
    return replace(
        document,
        tokens=tuple(document.tokens[number] for number in kept),
        offsets=tuple(document.offsets[number] for number in kept),
    )


def describe_model(fitted: FittedModel) -> dict[str, Any]:
    """Targets of the model, and how it reads, for whoever calls the endpoint."""
    spec, config = fitted.spec, fitted.config
    return {
        "run": fitted.name,
        "task": spec.kind,
        "guide": config.guide,
        "rate": config.model.rate,
        "max_words": config.data.max_words,
        "own_rationales": fitted.aspects > 1,
        "inclusion": inclusion_label(float(config.tau)),
        "targets": [
            {
                "name": name,
                "letter": letter_of(number) if len(spec.names) > 1 else None,
                "scale": list(spec.ranges[number]) if spec.ranges else None,
                "classes": list(spec.classes),
            }
            for number, name in enumerate(spec.names)
        ],
    }


def record_of(
    document: Document,
    struck: Sequence[int],
    reading: Prediction | None,
    task: Task,
    level: float,
    vocabulary: Vocabulary | None,
) -> dict[str, Any]:
    """An explained text, with flags and probabilities for all of its words, the struck ones included.

    Args:
        document: the text as it was sent.
        struck: numbers of the words that the model was not given.
        reading: of the text without them; `None` where no word is left.
        task: of the run.
        level: probability of intervals and sets.
        vocabulary: the words that the model knows; `None`: all.
    """
    gone = set(struck)
    read = [number for number in range(len(document.tokens)) if number not in gone]
    last = document.offsets[-1][1] if document.offsets else 0
    found = {
        "text": document.text,
        "words": [
            {"start": start, "end": end, "struck": number in gone, "known": vocabulary is None or word in vocabulary}
            for number, (word, (start, end)) in enumerate(zip(document.tokens, document.offsets, strict=True))
        ],
        "unread": len(document.text) - last if document.text[last:].strip() else 0,
        "known": reading.known if reading else 0,
        "doubt": doubt_of_words(reading.known, reading.document.tokens) if reading else "",
        "level": level,
        "targets": _targets(document, read, reading, task) if reading else [],
    }
    return found


def _targets(document: Document, read: list[int], reading: Prediction, task: Task) -> list[dict[str, Any]]:
    record = task.record(
        reading.predicted, reading.values, reading.averaged, reading.sd, reading.interval, reading.classes
    )
    levels = task.level_shares(reading.predictive)
    units, least = task.effect_units(reading.predicted), least_effects(task.spec)
    made = []
    for number, name in enumerate(task.spec.names):
        part = reading.aspects[number] if reading.aspects else reading
        entry, which = record[name], 0 if reading.aspects else number
        made.append(
            {
                "name": name,
                "letter": letter_of(number) if len(task.spec.names) > 1 else None,
                "value": entry.get("value"),
                "label": entry.get("label"),
                "probabilities": entry.get("probabilities") or levels.get(name),
                "interval": [entry["low"], entry["high"]] if "low" in entry else None,
                "set": entry.get("set"),
                "from_rationale": _said(entry["rationale"]),
                "from_rationale_probability": _chance(entry["rationale"]),
                "information": None if reading.information is None else round(reading.information[number], 6),
                "inclusion": _spread(document, read, [round(p, 4) for p in part.inclusion], 0.0),
                "kept": _spread(document, read, part.kept, False),
                "unit": units[number],
                "least_effect": least[number],
                "spans": _spans(document, read, part, which),
                "alternatives": [
                    _alternative(document, read, other, task, name)
                    for other in sorted(part.alternatives, key=lambda other: -other.log_probability)
                ],
            }
        )
    return made


def _spread(document: Document, read: list[int], values: Sequence[Any], other: Any) -> list[Any]:
    """Values of the words that were read as a list for all words, with another value for those that were not."""
    spread = [other] * len(document.tokens)
    for number, value in zip(read, values, strict=True):
        spread[number] = value
    return spread


def _words(document: Document, numbers: Sequence[int]) -> str:
    """Some words of a text as they are written; what stands between two that follow each other stays."""
    pieces, before = [], None
    for number in numbers:
        start, end = document.offsets[number]
        if before is not None:
            pieces.append(document.text[document.offsets[before][1] : start] if number == before + 1 else " ")
        pieces.append(document.text[start:end])
        before = number
    return " ".join("".join(pieces).split())


def _runs(document: Document, read: list[int], mask: Mask) -> str:
    """The kept runs of a mask as one line."""
    runs: list[list[int]] = []
    for place, number in enumerate(read):
        if mask[place]:
            if place and mask[place - 1]:
                runs[-1].append(number)
            else:
                runs.append([number])
    return " … ".join(_words(document, run) for run in runs)


def _spans(document: Document, read: list[int], part: Prediction, which: int) -> list[dict[str, Any]]:
    """The kept spans with what each does to one target."""
    if part.contributions is None:
        return []
    spans = []
    for span in part.contributions.spans:
        numbers = read[span.start : span.end]
        effect = -span.removed[which] if span.shapley is None else span.shapley[which]
        spans.append(
            {
                "words": numbers,
                "text": _words(document, numbers),
                "effect": round(effect, 6),
                "removed": round(span.removed[which], 6),
                "alone": round(span.alone[which], 6),
                "share": span.share,
            }
        )
    return spans


def _alternative(
    document: Document, read: list[int], other: Alternative, task: Task, name: str
) -> dict[str, Any]:
    point = task.alone.point(other.values)[name]
    return {
        "kept": _spread(document, read, other.mask, False),
        "text": _runs(document, read, other.mask),
        "probability": other.probability,
        "prediction": _said(point),
        "prediction_probability": _chance(point),
    }


def _said(entry: dict[str, Any]) -> Any:
    """The number, or the label, of a prediction."""
    return entry["label"] if "label" in entry else entry["value"]


def _chance(entry: dict[str, Any]) -> float | None:
    """The probability of the label of a prediction; `None` for a number."""
    return float(entry["probabilities"][entry["label"]]) if "label" in entry else None
