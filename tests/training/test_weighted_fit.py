"""A fit whose texts have weights: what of it follows them."""

from __future__ import annotations

import copy
import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pyro_rationale.config import Config
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.row_digests import weight_digests
from pyro_rationale.data.weighting import EQUAL, without_weightless
from pyro_rationale.errors import DataError, RunError
from pyro_rationale.evaluation.metrics.classification import class_statistics
from pyro_rationale.evaluation.metrics.prediction import Predictions, prediction_statistics
from pyro_rationale.evaluation.results import RunMetrics, train
from pyro_rationale.evaluation.statistic import Numbers, Statistics
from pyro_rationale.evaluation.verdict import better_baseline, worse_than_constant
from pyro_rationale.experiments.baselines.tfidf import fit_tfidf
from pyro_rationale.fitted import FittedModel
from pyro_rationale.storage import note
from pyro_rationale.tasks._calibration import fit_temperature
from pyro_rationale.training.memorization import constant_error
from pyro_rationale.training.prepare import prepare_run
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.run_folder import check_same_corpus
from pyro_rationale.training.validation import score_modes
from tests.support.small_fit import small

WORDS = "the food was bad , good , cold or warm and we left".split()


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingRun, RunMetrics]:
    """A hundred mails, one in ten of them spam, which holds the word bad."""
    folder = tmp_path_factory.mktemp("weighted")
    random = np.random.default_rng(0)
    with (folder / "mail.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for i in range(100):
            spam = i % 10 == 0
            words = [str(word) for word in random.choice(WORDS, 8) if spam or word != "bad"]
            writer.writerow([f"mail {i} {' '.join(words)} {'bad' if spam else ''}", "spam" if spam else "ham"])
    config = small(data=str(folder / "mail.csv"), target_column=("label",), class_weight="balanced", guide="chain")
    return train(config, folder / "run")


def test_training_and_dev_texts_have_their_weights(fit: tuple[TrainingRun, RunMetrics]) -> None:
    run, metrics = fit
    for batches in (run.trainer.batches, run.dev):
        assert isinstance(batches, BucketedBatches)
        sums = torch.zeros(2)
        for batch in batches.ordered():
            assert batch.weights is not None
            assert batch.targets is not None
            sums.index_add_(0, batch.targets[:, 0].long(), batch.weights)
        assert float(sums.sum()) == pytest.approx(len(batches._encoded), rel=1e-4)
        assert float(sums[0]) == pytest.approx(float(sums[1]), rel=0.3)  # equal in training, nearly so in dev
    assert set(metrics.test["classes"]) == {"ham", "spam"}
    assert sum(sum(row.values()) for row in metrics.test["confusion"].values()) == metrics.test["documents"]
    assert 0.0 <= metrics.test["balanced_accuracy"] <= 1.0


def test_ten_dev_texts_keep_the_most_probable_class(fit: tuple[TrainingRun, RunMetrics]) -> None:
    run, metrics = fit
    rule = metrics.decision["label"]
    assert (rule["rule"], rule["texts"]) == ("probable", len(run.corpus.dev))
    loaded = FittedModel.load(run.folder, "cpu")
    assert loaded.decision == run.fitted.decision
    assert loaded.decision is not None
    assert metrics.decision == loaded.decision.record(("label",), ("ham", "spam"))


def test_documents_in_memory_of_weight_0_are_left_out(fit: tuple[TrainingRun, RunMetrics], tmp_path: Path) -> None:
    run, _ = fit
    corpus = run.corpus
    train_texts = [replace(document, weight=float(i > 4)) for i, document in enumerate(corpus.train)]
    made = prepare_run(run.fitted.config, tmp_path / "a", corpus=replace(corpus, train=train_texts))
    assert [document.id for document in made.corpus.train] == [document.id for document in train_texts[5:]]
    wrong = [replace(corpus.dev[0], weight=-1.0), *corpus.dev[1:]]
    with pytest.raises(DataError, match="a document has the weight -1; expected numbers from 0"):
        without_weightless(replace(corpus, dev=wrong))
    nothing = [replace(document, weight=0.0) for document in corpus.train]
    with pytest.raises(DataError, match="every training document has the weight 0"):
        without_weightless(replace(corpus, train=nothing))


def test_changed_weights_are_another_corpus(fit: tuple[TrainingRun, RunMetrics], tmp_path: Path) -> None:
    run, _ = fit
    weighted = replace(run.corpus, train=[replace(run.corpus.train[0], weight=2.0), *run.corpus.train[1:]])
    assert weight_digests(run.corpus) == {}
    own = weight_digests(weighted)
    fitted = copy.copy(run.fitted)
    fitted.rows = dict(run.fitted.rows) | own
    check_same_corpus(fitted, run.folder)  # of a version that did not note weights
    shutil.copytree(run.folder, tmp_path / "run")
    note(tmp_path / "run", rows=fitted.rows)
    check_same_corpus(fitted, tmp_path / "run")
    for rows in (run.fitted.rows, dict(run.fitted.rows) | {"weights": "others"}):
        fitted.rows = rows
        with pytest.raises(RunError, match=r"has changed since \(weights\)"):
            check_same_corpus(fitted, tmp_path / "run")


def test_dev_figures_and_the_constant_are_weighted(fit: tuple[TrainingRun, RunMetrics]) -> None:
    run, _ = fit
    assert isinstance(run.dev, BucketedBatches)
    fitted, total, weights = run.fitted, 0.0, 0.0
    with torch.no_grad():
        for batch in run.dev.ordered():
            z = fitted.guide.posterior(batch).mode
            assert batch.targets is not None
            losses = fitted.model.likelihood.loss(fitted.model.encoder(batch.tokens, z, batch.lengths), batch.targets)
            assert batch.weights is not None
            total += float((batch.weights * losses[:, 0]).sum())
            weights += float(batch.weights.sum())
    assert score_modes(fitted, run.dev).error == pytest.approx(total / weights, rel=1e-4)
    texts, spec = run.corpus.train, run.corpus.spec
    plain, balanced = (constant_error(texts, spec, weighting=each) for each in (EQUAL, fitted.weighting))
    assert plain == pytest.approx(-(0.1 * np.log(0.1) + 0.9 * np.log(0.9)), rel=0.1)
    assert balanced == pytest.approx(np.log(2.0), abs=1e-4)


def test_the_linear_baseline_has_the_same_weights(fit: tuple[TrainingRun, RunMetrics], tmp_path: Path) -> None:
    run, _ = fit
    config: Config = run.fitted.config
    weighted = fit_tfidf(config, run.corpus, tmp_path / "weighted")
    plain = fit_tfidf(config.changed(class_weight="none"), run.corpus, tmp_path / "plain")
    nothing = run.corpus.test[:1]
    masks = [(False,) * len(nothing[0].tokens)]
    balanced, usual = (float(model.predict(nothing, masks)[0, 0]) for model in (weighted, plain))
    assert usual < balanced


def test_the_temperature_follows_the_weights() -> None:
    """Weights of 1 and 3 are one row and three."""
    random = np.random.default_rng(1)
    chances = random.uniform(0.05, 0.95, 80)
    probabilities = np.stack([1 - chances, chances], -1)[:, None]
    targets = (random.uniform(size=80) < chances**0.5).astype(float)[:, None]
    times = np.where(targets[:, 0] > 0, 3, 1)
    repeated = fit_temperature(np.repeat(probabilities, times, 0), np.repeat(targets, times, 0))
    assert fit_temperature(probabilities, targets, times.astype(float)) == pytest.approx(repeated, rel=1e-3)


def test_balanced_fits_are_judged_by_balanced_figures() -> None:
    """Where classes are 95 to 5, what finds most of the five at the cost of some of the others is no failure."""
    spec = TargetSpec("binary", ("kind",), classes=("ham", "spam"))
    true = np.repeat([0.0, 1.0], [190, 10])
    own, constant = np.where(true > 0, 0.9, 0.1), np.full(200, 0.05)
    own[:40] = 0.8

    def statistics(values: Numbers) -> Statistics:
        predictions = Predictions(values[:, None], true[:, None])
        figures = class_statistics(true.astype(np.int64), (values >= 0.5).astype(np.int64), 2)
        return prediction_statistics(spec, predictions) | figures

    one, other = statistics(own), statistics(constant)
    assert "accuracy" in worse_than_constant(one, other)
    assert worse_than_constant(one, other, balanced=True) == ""
    assert "balanced accuracy" in worse_than_constant(other, one, balanced=True)
    test, rows = {"accuracy": 0.8, "macro_f1": 0.6}, {"constant": {"accuracy": 0.95, "macro_f1": 0.49}}
    assert better_baseline(test, rows) == ("constant", "accuracy 95.0 % against 80.0 %")
    assert better_baseline(test, rows, balanced=True) is None
