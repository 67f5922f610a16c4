"""A corpus of fewer texts."""

from __future__ import annotations

from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.document import document_maker
from pyro_rationale.data.options import DataOptions
from pyro_rationale.experiments.sample_texts import sample_texts


def test_texts_are_drawn_in_proportion_and_stay_in_order() -> None:
    spec = TargetSpec("regression", ("y",), ((0.0, 4.0),))
    make = document_maker(DataOptions())
    documents = tuple(make(f"d{i}", "fine", (1.0,)) for i in range(20))
    whole = Corpus("rooms", spec, documents, documents, documents)
    some = sample_texts(whole, 30, 0)
    assert [len(split) for split in (some.train, some.dev, some.test)] == [10, 10, 10]
    numbers = [int(document.id[1:]) for document in some.train]
    assert numbers == sorted(numbers)
    assert numbers != list(range(10))
    assert sample_texts(whole, 30, 0).train == some.train
    assert sample_texts(whole, 1000, 0) is whole
    assert sample_texts(whole, None, 0) is whole
