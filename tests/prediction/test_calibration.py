"""Development texts change the predictions of a fake run whose q(z | x) and predictions are known by hand."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pyro_rationale.data.corpus import Document
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.calibration import FOLDS, MOST_TEXTS, RARE, _of_ratings, calibration_texts, folds_of
from pyro_rationale.prediction.calibration import TEXTS as MANY
from pyro_rationale.prediction.options import ExplainOptions, PredictOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.run_files import CALIBRATION, read_calibration, write_calibration
from pyro_rationale.storage import write_json
from pyro_rationale.tasks import Calibration, Numbers, Reading, TargetSpec
from tests.prediction.test_predictor import NOISE, SPECS, document, fake
from tests.support.small_fit import fit_small

TEXTS = ("the good the", "the bad", "good maybe", "the the the the", "good bad maybe the", "maybe")


def calibrated(kind: str = "regression", count: int = 200, noise: float = 0.5, seed: int = 0) -> Any:
    """A fake run, calibrated by texts whose ratings have a noise of their own, or whose labels are half of chance."""
    run, rng = fake(kind), np.random.default_rng(seed)
    run.model.likelihood = SimpleNamespace(noise=NOISE if kind == "regression" else None)
    texts = [document(TEXTS[i % len(TEXTS)]) for i in range(count)]
    made = predict(run, texts, PredictOptions(samples=16), batch_size=64)
    documents: list[Document] = []
    for text, reading in zip(texts, made, strict=True):
        if kind == "regression":
            target = reading.averaged[0] + noise * rng.normal()
        elif rng.random() < noise:
            target = float(rng.integers(len(SPECS[kind].classes)))
        else:
            values = reading.averaged
            target = float(values[0] > 0.5) if kind == "binary" else float(np.argmax(values))
        documents.append(replace(text, targets=(target,)))
    run.calibrate(documents)
    return run


def test_noise_is_that_of_the_development_texts() -> None:
    run = calibrated()
    assert run.calibration.noise is not None
    assert run.calibration.temperature == 1.0
    before = fake().predict(TEXTS[0])[0]
    after = run.predict(TEXTS[0])[0]
    assert before.sd[0] < 0.4
    assert after.sd[0] == pytest.approx(0.5, rel=0.25)
    assert after.averaged == before.averaged
    low, high = run.predict_interval(TEXTS[:1])[0, 0]
    assert 1.0 <= low < after.averaged[0] < high <= 5.0
    assert (low, high) == after.interval[0]


def test_the_prediction_is_the_average_or_that_of_the_shown_words() -> None:
    average, mode = fake().predict("the good maybe")[0], fake().predict("the good maybe", predict="mode")[0]
    assert average.predicted == average.averaged != average.values
    assert mode.predicted == mode.values == average.values
    (told,) = fake().explain("the good maybe")
    assert told.prediction == average.averaged[0]
    assert told.from_rationale == average.values[0]
    assert f"from these words alone {average.values[0]:.4g}" in str(told)
    assert told.probability == told.targets[told.names[0]].probability
    assert told.probability == pytest.approx(told.alternatives[0].probability, rel=1e-5)
    (alone,) = fake().explain("the good maybe", predict="mode")
    assert alone.prediction == alone.from_rationale == average.values[0]


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_conformal_intervals_hold_new_ratings(level: float) -> None:
    """Ratings with more noise than the run knows of; the share of 600 new ones within binomial error of the level."""
    run = calibrated(count=240)
    scale = float(run.calibration.quantiles(level)[0])
    one = run.predict(TEXTS[1], interval="conformal", level=level)[0]
    assert one.interval[0] == pytest.approx(
        (max(1.0, one.averaged[0] - scale * one.sd[0]), min(5.0, one.averaged[0] + scale * one.sd[0])), abs=1e-6
    )
    rng, texts = np.random.default_rng(7), [document(text) for text in TEXTS]
    means = np.array([reading.averaged[0] for reading in predict(run, texts, batch_size=8)])
    ends = run.predict_interval(texts, "conformal", level)[:, 0]
    ratings = means + 0.5 * rng.normal(size=(100, len(texts)))
    inside = ((ratings.clip(1.0, 5.0) >= ends[:, 0]) & (ratings.clip(1.0, 5.0) <= ends[:, 1])).mean()
    assert inside > level - 4 * np.sqrt(level * (1 - level) * (1 / 240 + 1 / 600))


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_classes_are_as_sure_as_they_are_right(kind: str) -> None:
    """Half of the labels are chance: the temperature is well above that of labels that are as predicted."""
    unsure, sure = calibrated(kind, noise=0.9), calibrated(kind, noise=0.0)
    assert sure.calibration.temperature < 1.0 < unsure.calibration.temperature
    (reading,) = unsure.predict("good good")
    plain = fake(kind).predict("good good")[0]
    assert reading.values == plain.values
    assert max(reading.averaged) < max(plain.averaged)
    assert unsure.calibration.noise is reading.sd is reading.interval is None


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_sets_of_classes(kind: str) -> None:
    run = calibrated(kind)
    sets = run.predict_interval(TEXTS, "conformal", 0.9)
    assert len(sets) == len(TEXTS)
    assert all(set(labels[0]) <= set(SPECS[kind].classes) and labels[0] for labels in sets)
    wide = run.predict_interval(TEXTS, "conformal", 0.99)
    assert all(set(one[0]) <= set(other[0]) for one, other in zip(sets, wide, strict=True))
    for reading in run.predict(TEXTS, level=0.6):
        (chosen,) = reading.classes
        probabilities = run.task.probabilities(np.array([reading.averaged]))[0, 0]
        assert probabilities[list(chosen)].sum() >= 0.6 - 1e-6  # as few as have it together
        assert probabilities[list(chosen[:-1])].sum() < 0.6
        assert list(chosen) == np.argsort(-probabilities, kind="stable")[: len(chosen)].tolist()


def test_too_few_development_texts() -> None:
    run = calibrated(count=6)
    assert run.calibration.noise is None
    with pytest.raises(ConfigError, match=r"--interval conformal: --level 0\.9 needs 9 development texts, and 6 have"):
        run.predict(TEXTS[0], interval="conformal")
    assert run.predict(TEXTS[0], interval="conformal", level=0.8)[0].interval is not None
    with pytest.raises(ConfigError, match=r"--interval conformal: the run .* holds no scores; fit again"):
        fake().predict(TEXTS[0], interval="conformal")


def noisy(texts: int, targets: int, told: float, noise: float, rng: Any) -> tuple[Reading, Numbers]:
    """A reading of texts with a row per target, and ratings with a noise that is not the one it states."""
    rows = np.arange(texts * targets)
    means = rng.uniform(2.0, 4.0, (len(rows), 1))
    values = means + 0.05 * rng.normal(size=(4, len(rows), targets))
    ratings = np.full((len(rows), targets), np.nan)
    ratings[rows, rows % targets] = means[:, 0] + noise * rng.normal(size=len(rows))
    kept, words = rng.integers(1, 9, (4, len(rows))).astype(float), np.full(len(rows), 50.0)
    sds, weights = np.full(values.shape, told), np.full(kept.shape, 0.25)
    return Reading(kept, words, words, values, sds, weights, ((1.0, 5.0),) * targets), ratings


@pytest.mark.parametrize(("texts", "targets", "told"), [(200, FOLDS, 0.1), (22, 1, 2.0)])
def test_scores_have_the_noise_that_intervals_have(texts: int, targets: int, told: float) -> None:
    """Two hard cases: a target per fold, whose rows might all fall into one fold; barely enough ratings for a noise.

    The intervals hold nine of ten new ratings, neither all of them nor half, as they do where scores are in standard
    deviations of the likelihood's noise and intervals in those of the fitted one.
    """
    run: Any = fake()
    rng, held = np.random.default_rng(3), []
    fold = folds_of([replace(document("good"), aspect=i % targets) for i in range(texts * targets)])
    assert all(set(fold[i::targets]) == set(range(FOLDS)) for i in range(targets))
    for _ in range(1 if targets > 1 else 20):
        made: Any = _of_ratings(run, *noisy(texts, targets, told, 0.5, rng), fold)
        new, ratings = noisy(300, targets, told, 0.5, rng)
        mixture = run.task.mixture(new.values, made.noise(new), new.weights)
        inside = np.abs(ratings - mixture.mean) <= made.quantiles(0.9) * mixture.sd
        held.append(inside[~np.isnan(ratings)].mean())
    assert np.mean(held) == pytest.approx(0.91, abs=0.04)


def test_the_noise_stays_where_a_fold_has_all_ratings_of_a_target() -> None:
    reading, ratings = noisy(150, 1, 0.1, 0.5, np.random.default_rng(4))
    fold = np.arange(150) % FOLDS
    ratings[fold != 2] = np.nan
    made = _of_ratings(fake(), reading, ratings, fold)
    assert made.noise is None
    assert len(made.scores[0]) == 30


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_rounding_parts_no_texts_of_one_prediction(kind: str) -> None:
    """A run that says the same of all texts: what holds its development texts still does when it was stored."""
    run, level, rng = fake(kind), 0.6, np.random.default_rng(1)
    run.model.likelihood = SimpleNamespace(noise=None)
    texts = [document("good maybe", float(rng.integers(len(SPECS[kind].classes)))) for _ in range(60)]
    run.calibrate(texts)
    for _ in range(2):
        how = PredictOptions(interval="conformal", level=level, samples=16)
        made = zip(texts, predict(run, texts, how, batch_size=64), strict=True)
        assert np.mean([text.targets[0] in (reading.classes or ((),))[0] for text, reading in made]) >= level
        run.calibration = Calibration.from_dict(run.calibration.to_dict(), 1)


def test_noise_has_limits_where_all_texts_are_alike() -> None:
    """Ratings that one of a few masks nearly hits would have it without noise, and a density without bound."""
    run = fake()
    run.model.likelihood = SimpleNamespace(noise=NOISE)
    run.calibrate([document("good maybe", float(1 + i % 5)) for i in range(60)])
    (reading,) = run.predict("good maybe")
    assert np.isfinite(run.calibration.quantiles(0.9)).all()
    assert 1.0 < reading.sd[0] < 4.0


def test_texts_without_targets_are_no_calibration() -> None:
    run = fake()
    run.calibrate([document("good", float("nan"))])
    assert run.calibration is None
    run.calibrate([])
    assert run.calibration is None


def test_a_calibration_in_a_run_folder(tmp_path: Path) -> None:
    run = calibrated()
    assert read_calibration(tmp_path, run.spec) is None  # of an older version
    write_calibration(tmp_path, run.calibration)
    again = read_calibration(tmp_path, run.spec)
    assert isinstance(again, Calibration)
    run.calibration = again
    first = run.predict(TEXTS[0], interval="conformal")[0]
    run.calibration = Calibration.from_dict(pickle.loads(pickle.dumps(again.to_dict())), 1)
    assert run.predict(TEXTS[0], interval="conformal")[0] == first
    (tmp_path / CALIBRATION).unlink()
    with pytest.raises(RunError, match=r"calibration\.json: is missing, and the run wrote it; restore it"):
        read_calibration(tmp_path, run.spec)  # or intervals would be others
    write_json(tmp_path / CALIBRATION, {"scores": [[1.0], [2.0]], "noise": None, "temperature": 1.0}, listed=True)
    with pytest.raises(RunError, match=r"calibration\.json: not a calibration of this version .*; restore it, or fit"):
        read_calibration(tmp_path, run.spec)


def test_older_runs_have_none() -> None:
    assert FittedModel.__dataclass_fields__["calibration"].default is None


def test_without_a_word_there_is_the_mean_prediction(tmp_path: Path) -> None:
    """Where masks always have a word, effects begin there: the encoder has never read a text without one."""
    run, _ = fit_small(tmp_path / "run", guide="chain", nonempty=True, aspect="all", masks="per-target", task="auto")
    fitted: Any = run.fitted
    texts, base = run.corpus.dev, fitted.calibration.base
    readings: list[Any] = list(predict(fitted, texts, ExplainOptions(samples=16), batch_size=64))
    assert base == pytest.approx(np.mean([reading.averaged for reading in readings], axis=0), abs=0.02)
    parts = [part for reading in readings for part in enumerate(reading.aspects)]
    assert all(part.contributions.nothing == pytest.approx((base[i],), rel=1e-5) for i, part in parts)
    alone = [part for _, part in parts if len(part.contributions.spans) == 1]
    assert all(one.contributions.spans[0].removed_here[0] == -one.contributions.spans[0].alone[0] for one in alone)
    fitted.calibration = replace(fitted.calibration, base=None)  # a run of an older version
    older: Any = next(predict(fitted, texts[:1], ExplainOptions(samples=16)))
    assert older.aspects[0].contributions.nothing != pytest.approx((base[0],), rel=1e-5)


def of_labels(labels: Any) -> list[Document]:
    return [document("good", float(label)) for label in labels]


@pytest.mark.parametrize(("rare", "least"), [(0.006, RARE - 20), (0.0004, 2), (0.3, 200)])
def test_a_rule_of_a_rare_class_is_chosen_by_more_texts(rare: float, least: int) -> None:
    spec = TargetSpec("binary", ("kind",), classes=("ham", "spam"))
    texts = of_labels(np.random.default_rng(0).random(12_000) < rare)
    chosen = calibration_texts(texts, spec)
    assert sum(text.targets[0] for text in chosen) >= least
    assert MANY <= len(chosen) <= MOST_TEXTS
    assert len(calibration_texts(texts)) == MANY
    assert calibration_texts(of_labels([0.0] * 3000), spec)
