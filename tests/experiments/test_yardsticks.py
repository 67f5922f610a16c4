"""Baselines beside the result of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.document import Document, make_document
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.evaluate import evaluate
from pyro_rationale.evaluation.results import RunMetrics, finish_run
from pyro_rationale.experiments.baselines.full_text import FullTextRationalizer
from pyro_rationale.experiments.baselines.tfidf import TfidfRationalizer, fit_tfidf
from pyro_rationale.experiments.yardsticks import FULL_TEXT, TFIDF, baseline_rows
from pyro_rationale.tasks import TargetSpec
from pyro_rationale.training.fit import fit_run
from pyro_rationale.training.reader import full_text_reader
from pyro_rationale.training.run import TrainingRun
from tests.support.marked import document
from tests.support.small_fit import small


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    return fit_run(small(documents=200, steps=60, max_words=120), tmp_path_factory.mktemp("runs") / "run")


def test_rows_in_metrics_json(run: TrainingRun) -> None:
    pytest.importorskip("sklearn")
    metrics = finish_run(run, baseline_rows(run, (TFIDF, FULL_TEXT)))
    assert list(metrics.baselines) == ["constant", TFIDF, FULL_TEXT]
    assert metrics == RunMetrics.load(run.folder)
    assert all(row.keys() == {"documents", "mse", "mse_scaled", "mae"} for row in metrics.baselines.values())
    assert metrics.baselines[TFIDF]["mse"] < metrics.baselines["constant"]["mse"]
    whole = FullTextRationalizer(full_text_reader(run))
    assert metrics.baselines[FULL_TEXT]["mse"] == evaluate(whole, run.corpus.test).metrics["mse"]


def test_a_linear_model_of_some_of_very_many_texts(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.setattr("pyro_rationale.experiments.yardsticks.MOST", 50)
    seen: list[int] = []

    def fit(config: Config, corpus: Corpus, folder: Path) -> TfidfRationalizer:
        seen.append(len(corpus.train))
        return fit_tfidf(config, corpus, folder)

    monkeypatch.setattr("pyro_rationale.experiments.yardsticks.fit_tfidf", fit)
    assert baseline_rows(run, (TFIDF,)).keys() == {TFIDF}
    assert seen == [50]


def test_what_cannot_be_fitted_is_left_out(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    assert baseline_rows(run, ()) == {}
    assert baseline_rows(replace(run, corpus=replace(run.corpus, test=())), (TFIDF, FULL_TEXT)) == {}

    def missing(*_: Any) -> None:
        raise ConfigError("the tf-idf baseline needs sklearn: pip install it")

    monkeypatch.setattr("pyro_rationale.experiments.baselines.tfidf.optional", missing)
    told: list[str] = []
    assert baseline_rows(run, (TFIDF,), say=told.append) == {}
    assert told == ["the tf-idf baseline needs sklearn: pip install it"]


def test_classes_of_which_training_has_one(tmp_path: Path) -> None:
    """There is no logistic regression of a single class."""
    spec = TargetSpec("binary", ("good",), classes=("no", "yes"))
    texts = [document("1111", targets=(float(i >= 30),)) for i in range(40)]
    corpus = Corpus("texts", spec, texts[:20], texts[20:32], texts[28:])
    run = fit_run(small(min_count=1), tmp_path / "run", corpus=corpus)
    assert list(baseline_rows(run, (TFIDF, FULL_TEXT))) == [FULL_TEXT]


@pytest.mark.parametrize("trained", [(0, 2), (0, 1, 3)])
def test_classes_that_only_others_than_training_texts_have(tmp_path: Path, trained: tuple[int, ...]) -> None:
    """The columns stay those of the classes: the ones in the middle and at the end are as good as never predicted."""
    pytest.importorskip("sklearn")
    spec = TargetSpec("multiclass", ("tone",), classes=("a", "b", "c", "d"))
    words = ("apple", "bean", "corn", "date")

    def texts(labels: Sequence[int]) -> list[Document]:
        return [make_document(f"{i}", f"the {words[y]} of number {i}", (float(y),)) for i, y in enumerate(labels)]

    dev = texts([0, 1, 2, 3] * 3)
    model = fit_tfidf(small(min_count=1), Corpus("texts", spec, texts(trained * 12), dev, dev), tmp_path / "linear")
    chances = model.predict(dev, [[True] * len(text.tokens) for text in dev])
    assert chances.shape == (12, 4)
    assert chances.sum(1) == pytest.approx(1.0)
    assert [int(row.argmax()) for row in chances[list(trained)]] == list(trained)
    assert chances[:, [y for y in range(4) if y not in trained]].max() < 1e-6
