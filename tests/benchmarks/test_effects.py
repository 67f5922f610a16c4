"""`benchmarks/effects.py`: signs of effects against ratings that are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np
import pytest

from pyro_rationale.data import load_corpus
from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.data.corpora.synthetic import VALENCE
from pyro_rationale.data.document import Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.tasks import Numbers


@pytest.fixture
def effects(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("effects")


def test_effects_of_opinions_are_held_against_the_true_change_of_the_rating(effects: ModuleType) -> None:
    """A reader of valences has all signs right, whatever the target; one that turns them round has none."""
    corpus = load_corpus(DataOptions(documents=4, aspect="all"))
    rows = by_aspect(corpus.train, 4)
    masks = [row.gold for row in rows]

    def read(documents: Sequence[Document], kept: Sequence[Sequence[bool]], sign: float = 1.0) -> Numbers:
        found = np.full((len(documents), 4), np.nan)
        for row, document, mask in zip(found, documents, kept, strict=True):
            opinions = [VALENCE[document.tokens[i]] for i, own in enumerate(document.opinion or ()) if own and mask[i]]
            row[document.aspect] = sign * np.mean(opinions or [0.5])
        return found

    found = effects.effects_of(rows, masks, read, [0.5] * 4)
    assert sum(one.what == "word removed" for one in found) == sum(sum(row.opinion or ()) for row in rows)
    assert all(one.right for one in found if abs(one.truth) > 1e-9)
    reverse = effects.effects_of(rows, masks, lambda texts, kept: read(texts, kept, -1.0), [0.5] * 4)
    assert not any(one.right for one in reverse if abs(one.truth) > 1e-9)
    assert [row[3] for row in effects.summary(found, 0.05)][::2] == ["100.0 %"] * 4
