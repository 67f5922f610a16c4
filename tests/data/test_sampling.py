"""A sample of a split stands for it, whatever the order of its file."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import Document, make_document
from pyro_rationale.data.sampling import sample_documents

BINARY = TargetSpec("binary", ("sentiment",), (), ("negative", "positive"))
RATING = TargetSpec("regression", ("taste",), ((0.0, 5.0),))
TWO = TargetSpec("binary", ("taste", "look"), (), ("bad", "good"))


def rows(*targets: float) -> list[Document]:
    return [make_document(f"row {i}", "good beer", (y,), 100) for i, y in enumerate(targets)]


@pytest.mark.parametrize("number", [10, 25, 200])
def test_each_class_has_its_share_of_a_sorted_file(number: int) -> None:
    """The first documents were all of one class."""
    documents = rows(*[0.0] * 600, *[1.0] * 390, *[float("nan")] * 10)
    sample = sample_documents(documents, number, BINARY)
    assert sample.drawn
    counts = Counter("none" if np.isnan(d.targets[0]) else str(d.targets[0]) for d in sample.documents)
    assert sum(counts.values()) == number
    for key, share in {"0.0": 0.6, "1.0": 0.39, "none": 0.01}.items():
        assert abs(counts[key] - share * number) < 1.0
    places = [int(d.id.removeprefix("row ")) for d in sample.documents]
    assert places == sorted(set(places))


def test_a_sample_is_made_again_by_its_seed() -> None:
    documents = rows(*[0.0] * 100, *[1.0] * 200)
    for spec in (RATING, BINARY):
        one, same, other = (sample_documents(documents, 50, spec, seed).documents for seed in (3, 3, 4))
        assert one == same != other


def test_every_document_of_ratings_is_as_likely() -> None:
    """Counts over many seeds: no z-score of 40 documents lies far out."""
    documents, times = rows(*[1.0] * 40), 400
    counts = Counter(d.id for seed in range(times) for d in sample_documents(documents, 10, RATING, seed).documents)
    scores = [(counts[d.id] - times / 4) / np.sqrt(times * 3 / 16) for d in documents]
    assert max(map(abs, scores)) < 4.0


def test_no_more_than_wanted_are_all() -> None:
    documents = rows(1.0, 0.0, 1.0)
    sample = sample_documents(documents, 3, BINARY)
    assert sample.documents is documents
    assert not sample.drawn
    assert sample.told("test") == ""


def test_the_draw_is_told() -> None:
    documents = rows(*[0.0, 1.0] * 1000)
    assert sample_documents(documents, 200, BINARY).told("test") == (
        "200 of the 2,000 documents of the test split, drawn at random, each class with its share (seed 0), in the "
        "order of the file."
    )
    said = "4 of the 2,000 documents of all splits, drawn at random (seed 7), in the order of the file."
    for spec in (RATING, TWO):  # of several targets there is no single share
        assert sample_documents(documents, 4, spec, 7).told("all") == said
