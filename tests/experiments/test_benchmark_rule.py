"""Where guides name classes by a rule of development texts, baselines of the benchmark do so, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.document import Document, make_document
from pyro_rationale.experiments.benchmark.runner import for_selection, measure_cell, select
from tests.support.small_fit import small


def mails(count: int) -> list[Document]:
    random = np.random.default_rng(0)
    sides = [[f"{side}{i}" for i in range(5)] for side in ("good", "bad")]

    def one(i: int) -> Document:
        spam = int(random.random() < 0.06)
        own = [random.choice(sides[spam if random.random() < 0.75 else 1 - spam]) for _ in range(2)]
        words = [*(f"w{n}" for n in random.integers(0, 80, 10)), *own]
        return make_document(str(i), " ".join(words), (float(spam),))

    return [one(i) for i in range(count)]


def test_a_linear_model_has_the_rule_that_a_guide_has(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    texts, spec = mails(4500), TargetSpec("binary", ("kind",), classes=("ham", "spam"))
    corpus = Corpus(name="mails", spec=spec, train=texts[:1500], dev=texts[1500:2500], test=texts[2500:])
    known, rate = for_selection(corpus), 0.5
    plain, ruled = (
        select("tfidf", small(class_weight="balanced", decide=decide, rate=rate), known, tmp_path / decide)
        for decide in ("probable", "macro-f1")
    )
    assert getattr(plain.rationalizer, "decision", None) is None
    assert ruled.rationalizer.decision.thresholds[0] > 0.5  # type: ignore[attr-defined]
    before, after = (measure_cell(one, corpus).views["own"] for one in (plain, ruled))
    assert after["macro_f1"] > before["macro_f1"] + 0.03
    assert after["log_loss"] == before["log_loss"]
