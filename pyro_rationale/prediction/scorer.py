"""Predictions of many texts, in chunks that any process can make: each chunk comes back as finished lines of a file.

A chunk holds the same texts whoever makes it, and is read in the same batches, so that a table that was interrupted is
finished as if it had not been.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pyro_rationale.data.document import Document, make_document, words_beyond
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.decoding import predict_from
from pyro_rationale.prediction.memory import keep_freed_memory
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.prediction.predictor import Prediction, predict
from pyro_rationale.prediction.rows import EraserScores, Layout, as_csv, as_json_lines, eraser_record

CHUNK = 1280  # texts of a chunk
SLOWER = 4  # so many times fewer where a transformer reads them, for what an interrupt loses is a chunk


class TextRow(NamedTuple):
    """A text with its id; without a text, a row that could not be read."""

    id: Any
    text: str | None


class Chunk(NamedTuple):
    """Lines of some rows, and what there is to say about them.

    Attributes:
        lines: one per row, as they stand in the file.
        rows: number of the texts.
        empty: number of those without a word, which could be read.
        foreign: number of those of whose words the model knows too few.
        cut: number of those that were not read to their end.
        numbered: whether all ids that there are, are whole numbers of at most 64 bits.
        unread: number of rows that could not be read.
        trained: number of the texts that the run was trained on.
    """

    lines: str
    rows: int
    empty: int
    foreign: int
    numbered: bool
    cut: int = 0
    unread: int = 0
    trained: int = 0


@dataclass(frozen=True)
class Scorer:
    """Makes lines of texts; can be sent to another process, which loads the model once.

    Attributes:
        folder: of the run.
        device: for the networks.
        options: of the predictions.
        max_words: words to read of each text; all if `None`.
        batch_size: texts that are read at once.
        form: `csv`, `eraser`, or `jsonl`.
        faithfulness: whether ERASER records hold the scores without the rationale, and of it alone.
        threads: of torch; `None`: as it chooses.
        text: whether lines hold the texts themselves.
    """

    folder: Path
    device: str
    options: PredictOptions
    max_words: int | None
    batch_size: int = 64
    form: str = "jsonl"
    faithfulness: bool = False
    threads: int | None = None
    text: bool = False

    @property
    def fitted(self) -> FittedModel:
        """The model."""
        return _loaded(self.folder, self.device)

    @property
    def chunk(self) -> int:
        """Texts of a chunk."""
        return max(1, CHUNK // SLOWER) if self.fitted.config.model.pretrained else CHUNK

    @property
    def layout(self) -> Layout:
        """The columns."""
        own, contributions = self.fitted.aspects > 1, self.options.contributions != "none"
        task = self.fitted.task_for(self.options.predict)
        return Layout(task, own, contributions, self.max_words, self.text)

    def __call__(self, rows: Sequence[TextRow]) -> Chunk:
        """The lines of some texts."""
        if self.threads is not None and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        fitted = self.fitted
        documents = [
            make_document(str(row.id), row.text or "", (), self.max_words, tokenizer=fitted.tokenizer) for row in rows
        ]
        unread = sum(row.text is None for row in rows)
        texts = [document for document in documents if document.tokens]
        made = iter(predictions := list(predict(fitted, texts, self.options, self.batch_size)))
        every = [next(made) if document.tokens else document for document in documents]
        lines = self._lines([row.id for row in rows], every, predictions)
        fitted.forget_texts()  # a table may be longer than memory, or the disk, has room for
        return Chunk(
            lines,
            len(rows),
            len(rows) - len(texts) - unread,
            sum(prediction.is_foreign for prediction in predictions),
            all(row.id is None or (type(row.id) is int and abs(row.id) < 2**63) for row in rows),
            sum(words_beyond(document, self.max_words) > 0 for document in texts),
            unread,
            fitted.count_training_texts(texts),
        )

    def _lines(
        self, ids: Sequence[Any], every: Sequence[Prediction | Document], predictions: Sequence[Prediction]
    ) -> str:
        if self.form == "eraser":
            scores = iter(self._scores(predictions))
            task = self.fitted.task
            task = task.alone if self.faithfulness or self.options.predict == "mode" else task
            return as_json_lines([
                eraser_record(id, one, task, None if isinstance(one, Document) else next(scores))
                for id, one in zip(ids, every, strict=True)
            ])  # fmt: skip
        layout = self.layout
        cells = [layout.row(id, one) for id, one in zip(ids, every, strict=True)]
        return as_csv(cells, list(layout.kinds)) if self.form == "csv" else as_json_lines(cells)

    def _scores(self, predictions: Sequence[Prediction]) -> list[EraserScores | None]:
        """Class probabilities from each text without its rationale, and from that alone."""
        if not self.faithfulness:
            return [None] * len(predictions)
        fitted, documents = self.fitted, [prediction.document for prediction in predictions]
        kept = [np.array(prediction.kept) for prediction in predictions]
        own = [mask.tolist() for mask in kept]
        without, alone = (
            predict_from(fitted, documents, [mask.tolist() for mask in masks], self.batch_size, own)
            for masks in ([~mask for mask in kept], kept)
        )
        name, point = fitted.spec.names[0], fitted.task.point
        return [
            EraserScores(point(left)[name]["probabilities"], point(right)[name]["probabilities"])
            for left, right in zip(without.tolist(), alone.tolist(), strict=True)
        ]


@lru_cache(maxsize=1)
def _loaded(folder: Path, device: str) -> FittedModel:
    keep_freed_memory()
    return FittedModel.load(folder, device)
