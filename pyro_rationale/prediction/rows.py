"""Rows of a table of predictions: one per text, with the prediction, how sure it is, and the words that it rests on."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pyro_rationale.data.document import Document, spans_of, words_beyond
from pyro_rationale.prediction.predictor import Prediction
from pyro_rationale.prediction.text_spans import snippets
from pyro_rationale.storage import to_json
from pyro_rationale.tasks import Task

Cells = dict[str, Any]
DIGITS = 6  # behind the point, of all numbers but shares
SHARE_DIGITS = 4


@dataclass(frozen=True)
class Layout:
    """Columns of a table of predictions.

    Several targets have columns of their own, which begin with the target's name and a point; the rationale is one of
    them where targets have masks of their own.

    Attributes:
        task: the targets.
        own: whether each target has a mask of its own.
        contributions: whether spans say what they do to the prediction.
        max_words: words that were read of each text; all if `None`.
        text: whether the text itself stands behind the id.
    """

    task: Task
    own: bool = False
    contributions: bool = False
    max_words: int | None = None
    text: bool = False

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Names of the columns in their order, with what they hold: `id`, `label`, `number`, `text` or `spans`."""
        made = {"id": "id", "text": "text"} if self.text else {"id": "id"}
        labels = self.task.spec.classes
        for name in self.task.spec.names:
            front = self._front(name)
            made[f"{front}prediction"] = "label" if labels else "number"
            ends = [f"probability.{label}" for label in labels] or ["low", "high"]
            made |= dict.fromkeys((front + end for end in (*ends, "information")), "number")
            if self.own:
                made |= self._rationale(front)
        if not self.own:
            made |= self._rationale("")
        return {**made, "unknown": "number", "cut": "number"}

    @cached_property
    def digits(self) -> tuple[int, ...]:
        """Digits behind the point of the numbers of each target: more where its whole scale is shorter than 1."""
        sizes = [high - low for low, high in self.task.spec.ranges] or [1.0] * len(self.task.spec.names)
        return tuple(DIGITS + max(0, math.ceil(-math.log10(size))) for size in sizes)

    def _front(self, name: str) -> str:
        return f"{name}." if len(self.task.spec.names) > 1 else ""

    @staticmethod
    def _rationale(front: str) -> dict[str, str]:
        return {f"{front}rationale": "text", f"{front}spans": "spans", f"{front}kept": "number"}

    def row(self, id: Any, prediction: Prediction | Document) -> Cells:
        """The cells of a text; only its id where it has no word."""
        cells: Cells = dict.fromkeys(self.kinds)
        cells["id"] = id
        if self.text:
            cells["text"] = prediction.text if isinstance(prediction, Document) else prediction.document.text
        if isinstance(prediction, Document):
            return cells
        task, spec = self.task, self.task.spec
        points = task.point(prediction.predicted)
        for number, name in enumerate(spec.names):
            front, point = self._front(name), points[name]
            if "label" in point:
                cells[f"{front}prediction"] = point["label"]
                for label, probability in point["probabilities"].items():
                    cells[f"{front}probability.{label}"] = _rounded(probability)
            else:
                cells[f"{front}prediction"] = _rounded(point["value"], self.digits[number])
            if prediction.interval is not None:
                low, high = prediction.interval[number]
                ends = (_rounded(end, self.digits[number]) for end in (low, high))
                cells[f"{front}low"], cells[f"{front}high"] = ends
            if prediction.information is not None:
                cells[f"{front}information"] = _rounded(prediction.information[number])
            if self.own:
                cells |= self._marked(front, prediction.aspects[number], (name,))
        if not self.own:
            cells |= self._marked("", prediction, spec.names)
        document, words = prediction.document, len(prediction.document.tokens)
        cells["unknown"] = _rounded((words - prediction.known) / words, SHARE_DIGITS)
        return {**cells, "cut": words_beyond(document, self.max_words)}

    def _marked(self, front: str, part: Prediction, names: Sequence[str]) -> Cells:
        """Rationale of one mask, its spans, and the share of words that it keeps."""
        kept, document = part.kept, part.document
        share = _rounded(sum(kept) / len(kept), SHARE_DIGITS)
        rationale = snippets(document, kept) if any(kept) else ""
        return {f"{front}rationale": rationale, f"{front}spans": self._spans(part, names), f"{front}kept": share}

    def _spans(self, part: Prediction, names: Sequence[str]) -> list[Cells]:
        """Stretches of the text that are kept, by their characters; of several targets, contributions by name."""
        offsets, text, found = part.document.offsets, part.document.text, part.contributions
        spans: list[Cells] = []
        for number, (first, behind) in enumerate(spans_of(part.kept)):
            start, end = offsets[first][0], offsets[behind - 1][1]
            span: Cells = {"start": start, "end": end, "text": text[start:end]}
            if found is not None:
                own = [self.digits[self.task.spec.names.index(name)] for name in names]
                effects = [_rounded(*pair) for pair in zip(found.spans[number].effects, own, strict=True)]
                span["contribution"] = effects[0] if len(effects) == 1 else dict(zip(names, effects, strict=True))
            spans.append(span)
        return spans


def _rounded(value: float, digits: int = DIGITS) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def as_csv(rows: Sequence[Cells], columns: Sequence[str]) -> str:
    """Rows as lines of a CSV file; spans are JSON, what is missing is empty."""
    stream = io.StringIO()
    # Before Python 3.13 only characters of the line's end are quoted, and readers take a bare carriage return for one.
    writer, lines = csv.writer(stream, lineterminator="\r\n"), []
    for row in rows:
        cells = [row.get(name) for name in columns]
        writer.writerow([to_json(cell) if isinstance(cell, list) else cell for cell in cells])
        lines.append(stream.getvalue().removesuffix("\r\n"))
        stream.seek(0)
        stream.truncate()
    return "".join(f"{line}\n" for line in lines)


def as_json_lines(rows: Sequence[Cells]) -> str:
    """Rows as JSON lines."""
    return "".join(f"{to_json(row)}\n" for row in rows)


@dataclass(frozen=True)
class EraserScores:
    """Probabilities of the classes that an ERASER record can hold beside the model's own, as the format names them.

    Attributes:
        comprehensiveness: from the text without its rationale.
        sufficiency: from the rationale alone.
    """

    comprehensiveness: dict[str, float]
    sufficiency: dict[str, float]


def eraser_record(id: Any, prediction: Prediction | Document, task: Task, scores: EraserScores | None = None) -> Cells:
    """A prediction in the format of the ERASER benchmark's files of predictions (DeYoung et al. 2020).

    Its tokens are the stretches between the spaces of a text. One of them is as probable as the most probable of the
    model's words in it, and kept if any of these is.

    Beside `scores`, which are of single masks, the prediction is that from the shown rationale as well, and not the
    average over masks: the benchmark subtracts one from the other.
    """
    if isinstance(prediction, Document):
        return {"annotation_id": str(id), "rationales": [], "classification": None, "classification_scores": {}}
    probabilities, hard = whitespace_tokens(prediction)
    runs = [{"start_token": start, "end_token": end} for start, end in spans_of(hard)]
    soft = [_rounded(value) for value in probabilities]
    point = task.point(prediction.predicted if scores is None else prediction.values)[task.spec.names[0]]
    rationale = {"docid": str(id), "hard_rationale_predictions": runs, "soft_rationale_predictions": soft}
    record: Cells = {
        "annotation_id": str(id),
        "rationales": [rationale],
        "classification": point["label"],
        "classification_scores": _scores(point["probabilities"]),
    }
    if scores is not None:
        record["comprehensiveness_classification_scores"] = _scores(scores.comprehensiveness)
        record["sufficiency_classification_scores"] = _scores(scores.sufficiency)
    return record


def _scores(probabilities: dict[str, float]) -> dict[str, float | None]:
    return {label: _rounded(value) for label, value in probabilities.items()}


def whitespace_tokens(prediction: Prediction) -> tuple[list[float], list[bool]]:
    """P(kept), and whether it is kept, of every stretch between the spaces of a text."""
    starts = [found.start() for found in re.finditer(r"\S+", prediction.document.text)]
    probabilities, hard = [0.0] * len(starts), [False] * len(starts)
    places = np.array(prediction.document.offsets) - [0, 1]  # of each word's first and last character
    firsts, lasts = (np.searchsorted(starts, places, side="right") - 1).T
    for first, last, probability, kept in zip(firsts, lasts, prediction.inclusion, prediction.kept, strict=True):
        for number in range(int(first), int(last) + 1):
            probabilities[number] = max(probabilities[number], probability)
            hard[number] |= kept
    return probabilities, hard
