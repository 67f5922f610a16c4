"""Selection in a benchmark sees no test label, and a method no test text and no annotation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyro_rationale.config import Config
from pyro_rationale.data import load_corpus
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.evaluation.rate_curves import mask_rule
from pyro_rationale.experiments import sample_texts
from pyro_rationale.experiments.baselines import BASELINES, Baseline, find_method, method_names
from pyro_rationale.experiments.benchmark import runner as cells
from pyro_rationale.experiments.benchmark.runner import for_selection
from pyro_rationale.prediction.rationalizer import Rationalizer
from tests.support.tiny_benchmark import tiny


class Sealed(Document):
    """A document whose labels raise while the seal is on."""

    on = True

    def __getattribute__(self, name: str) -> Any:
        if Sealed.on and name in ("targets", "gold", "opinion", "maps"):
            raise AssertionError(f"{name} of a test document was read before measuring")
        return super().__getattribute__(name)


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Test documents are sealed until the measuring phase begins, and again after it."""

    def load(options: DataOptions, *more: Any) -> Corpus:
        corpus = load_corpus(options, *more)
        values = [{f.name: getattr(d, f.name) for f in fields(Document)} for d in corpus.test]
        return replace(corpus, test=tuple(Sealed(**value) for value in values))

    measure = cells.measure_cell

    def unsealed(*arguments: Any) -> Any:
        Sealed.on = False
        try:
            return measure(*arguments)
        finally:
            Sealed.on = True

    monkeypatch.setattr(sample_texts, "load_corpus", load)
    monkeypatch.setattr(cells, "measure_cell", unsealed)
    Sealed.on = True
    yield
    Sealed.on = True


@pytest.mark.usefixtures("sealed")
def test_selection_never_sees_a_test_label(tmp_path: Path) -> None:
    own = [name for name in method_names() if not name.startswith("pyhighlights-")]  # test_pyhighlights.py
    shop = tiny(tmp_path, methods=own, seeds=1, curve=[0.2])
    with pytest.raises(AssertionError, match="was read before measuring"):
        _ = shop.corpora[shop.plan.corpora[0]].test[0].targets
    for cell in shop.plan.cells():
        shop.run(cell)
        assert shop.state(cell) == "finished"
    for cell in shop.plan.cells():
        found = shop.read(cell)["views"]["own"]
        assert "f1" in found  # measured it was


def test_a_method_gets_no_test_text_and_no_gold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Corpus] = []

    def spy(config: Config, corpus: Corpus, folder: Path) -> Rationalizer:
        seen.append(corpus)
        return find_method("relaxed").fit(config, corpus, folder)

    def load(options: DataOptions, *more: Any) -> Corpus:
        corpus = load_corpus(options, *more)
        marked = tuple(replace(d, maps=(d.gold or (),)) for d in corpus.train)
        return replace(corpus, train=marked)

    monkeypatch.setattr(sample_texts, "load_corpus", load)
    monkeypatch.setitem(BASELINES._added, "chain", Baseline("spy", spy))
    shop = tiny(tmp_path)
    shop.run(shop.plan.cells()[0])
    (corpus,) = seen
    assert corpus.test == ()
    for document in (*corpus.train, *corpus.dev):
        assert (document.gold, document.opinion, document.maps) == (None, None, None)
        assert document.targets


def test_levels_do_not_depend_on_labels_or_test_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other test labels, other gold: the same levels and masks, hence the same words kept."""
    one = tiny(tmp_path / "one", seeds=1)
    cell = one.plan.cells()[0]
    one.run(cell)

    def load(options: DataOptions, *more: Any) -> Corpus:
        corpus = load_corpus(options, *more)
        flipped = tuple(
            replace(d, targets=(1.0 - d.targets[0],), gold=tuple(not flag for flag in d.gold or ()))
            for d in corpus.test
        )
        return replace(corpus, test=flipped)

    monkeypatch.setattr(sample_texts, "load_corpus", load)
    other = tiny(tmp_path / "other", seeds=1)
    same = other.plan.cells()[0]
    other.run(same)
    for view, found in one.documents(cell)["views"].items():
        mine = other.documents(same)["views"][view]
        assert mine["kept"] == found["kept"]
        assert mine["cost"] != found["cost"]
        assert other.read(same)["views"][view]["level"] == one.read(cell)["views"][view]["level"]


def test_levels_meet_the_target_on_development_texts(tmp_path: Path) -> None:
    shop = tiny(tmp_path, seeds=1, rates=[0.25])
    cell = shop.plan.cells()[1]
    corpus = for_selection(shop.corpora[cell.corpus])
    selected = cells.select(cell.method, shop.config(cell), corpus, tmp_path / "fit")
    for view, way in (("matched", "threshold"), ("prior", "prior")):
        masks = mask_rule(selected.rationalizer, corpus.dev, way).at(selected.levels[view])
        assert 0.23 < np.concatenate(masks).mean() <= 0.25
