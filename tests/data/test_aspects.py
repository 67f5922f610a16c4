"""Rows about one target each: of documents, of batches, and in metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from pyro_rationale.data.aspects import asked, by_aspect, documents_of
from pyro_rationale.data.batching import BucketedBatches, encode_batch
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.document import Document, make_document
from pyro_rationale.data.text_lengths import cut_to
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.evaluation.metrics.faithfulness import faithfulness_metrics
from pyro_rationale.evaluation.metrics.rationale import rationale_metrics
from pyro_rationale.tasks import TargetSpec

SPEC = TargetSpec("regression", ("look", "smell"), ((0.0, 10.0), (1.0, 5.0)))
WORDS = ("dark", "and", "sweet", ".")
REVIEW = Document(
    id="a", text="Dark and sweet.", tokens=WORDS, offsets=((0, 4), (5, 8), (9, 14), (14, 15)), targets=(7.0, 2.0),
    gold=(True, False, True, False), opinion=(True, False, True, False),
    rationales=((True, False, False, False), (False, False, True, False)),
)  # fmt: skip
OTHER = replace(REVIEW, id="b", tokens=WORDS[:2], offsets=REVIEW.offsets[:2], targets=(math.nan, 3.0), gold=None,
                opinion=None, rationales=None)  # fmt: skip


def test_a_row_has_one_target_and_its_rationale() -> None:
    row = asked(REVIEW, 1)
    assert (row.id, row.tokens, row.aspect) == ("a", WORDS, 1)
    assert [str(target) for target in row.targets] == ["nan", "2.0"]
    assert row.gold == row.opinion == (False, False, True, False)
    assert [row.aspect for row in by_aspect([REVIEW, OTHER], 2)] == [0, 1, 0, 1]
    assert asked(OTHER, 0).gold is None


def test_rows_of_documents_with_one_id_are_of_as_many_documents() -> None:
    assert documents_of([]) == 0
    for documents in ([REVIEW], [REVIEW, OTHER], [REVIEW, REVIEW], [REVIEW, replace(OTHER, id="a"), REVIEW]):
        assert documents_of(by_aspect(documents, 2)) == len(documents)
    assert documents_of([asked(REVIEW, 0), asked(replace(OTHER, id="a"), 1)]) == 2
    assert documents_of([asked(REVIEW, 1), asked(REVIEW, 1)]) == 2


def test_rationales_are_cut_with_their_text() -> None:
    corpus = cut_to(Corpus("c", SPEC, (REVIEW,), (), ()), 2)
    assert corpus.train[0].rationales == ((True, False), (False, False))


def test_batches_of_documents_and_of_rows() -> None:
    """Documents get a row for each known target, rows stay; neighbours of the same words are one text."""
    vocabulary = Vocabulary.build([REVIEW, OTHER], 1, 100)
    whole = encode_batch([REVIEW, OTHER], vocabulary, SPEC, aspects=2)
    rows = encode_batch(by_aspect([REVIEW, OTHER], 2), vocabulary, SPEC, aspects=2)
    assert whole.aspects is not None
    assert rows.aspects is not None
    assert whole.index is not None
    assert list(zip(whole.index.tolist(), whole.aspects.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 1)]
    assert rows.aspects.tolist() == [0, 1, 0, 1]
    assert rows.owners is not None
    assert rows.owners.tolist() == [0, 0, 1, 1]
    assert rows.texts.lengths.tolist() == [4, 2]
    assert rows.targets is not None
    torch.testing.assert_close(
        rows.targets,
        torch.tensor([[0.7, math.nan], [math.nan, 0.25], [math.nan, math.nan], [math.nan, 0.5]]),
        equal_nan=True,
    )
    batches = BucketedBatches([REVIEW, OTHER], vocabulary, SPEC, 2, aspects=2)
    assert [len(batch) for batch in batches] == [3]
    assert rows.repeated(2).owners is None


def test_texts_of_unknown_words_are_one_only_if_their_sentences_are() -> None:
    vocabulary = Vocabulary.build([make_document("known", "zz")], 1, 100)
    texts = [make_document(str(i), text) for i, text in enumerate(("aa bb. cc dd.", "aa. bb cc dd.", "ee. ff gg hh."))]
    rows = encode_batch(by_aspect(texts, 2), vocabulary, SPEC, unit="sentence", aspects=2)
    assert rows.owners is not None
    assert rows.owners.tolist() == [0, 0, 1, 1, 1, 1]


def test_words_of_another_target_are_foreign() -> None:
    """Kept words in the rationale of the other target only."""
    rows = by_aspect([REVIEW], 2)
    figures = rationale_metrics(rows, [(True, True, True, False), (False, False, True, False)])
    assert figures["foreign"] == pytest.approx(1 / 4)
    assert figures["f1"] == pytest.approx(2 * 2 / (4 + 2))
    assert "foreign" not in rationale_metrics([REVIEW], [(True, True, True, False)])


class Counting:
    """Predicts the number of words for the first target, and ten times that for the second."""

    spec = SPEC

    def predict(self, documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> np.ndarray:
        counts = np.array([sum(mask) for mask in masks], dtype=float)
        return np.stack([counts, 10.0 * counts], axis=1)


def test_faithfulness_of_a_row_is_about_its_own_target() -> None:
    """The change of the other target counts nothing."""
    for aspect, size in ((0, 10.0), (1, 0.4)):
        figures = faithfulness_metrics(Counting(), [asked(REVIEW, aspect)], [(True, False, False, False)])
        assert figures["comprehensiveness"] == pytest.approx(1.0 / size)
        assert figures["sufficiency"] == pytest.approx(3.0 / size)
