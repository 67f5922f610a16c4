"""Noise, temperature and conformal scores, on data whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from pyro_rationale.tasks import Calibration, NoiseModel, Numbers, Reading
from pyro_rationale.tasks._calibration import (
    FEWEST,
    conformal_quantile,
    conformal_scores,
    fewest_scores,
    fit_temperature,
    temper,
)

RNG = np.random.default_rng


def reading(count: int, masks: int = 3, seed: int = 0, fewest: int = 1) -> Reading:
    """Masks of texts of 50 words that keep `fewest` to 20 of them, and a prediction from each."""
    rng = RNG(seed)
    kept = rng.integers(fewest, 21, (masks, count)).astype(float)
    values = rng.uniform(2.0, 4.0, (1, count, 1)) + 0.1 * rng.normal(size=(masks, count, 1))
    weights = rng.dirichlet(np.ones(masks), count).T
    words = np.full(count, 50.0)
    return Reading(kept, words, words, values, np.full(values.shape, 0.5), weights, ((1.0, 5.0),))


def rated(read: Reading, sds: Numbers, seed: int = 1) -> Numbers:
    """Ratings `(N, 1)` from the mixture over masks."""
    rng = RNG(seed)
    masks = np.array([rng.choice(len(w), p=w) for w in read.weights.T])
    rows = np.arange(len(masks))
    return read.values[masks, rows] + sds[masks, rows] * rng.normal(size=(len(masks), 1))


def log_score(read: Reading, sds: Numbers, targets: Numbers) -> float:
    parts = np.log(read.weights)[..., None] - np.log(sds) - 0.5 * ((targets - read.values) / sds) ** 2
    return float(logsumexp(parts, axis=0).mean())


def test_noise_follows_the_kept_words() -> None:
    """Noise of 1.2 exp(-kept / 15), which is none of the features, is found to 15 % where most masks are."""
    read = reading(2000)
    truth = 1.2 * np.exp(-read.kept[..., None] / 15)
    targets = rated(read, truth)
    noise = NoiseModel.fit(read, targets)
    assert noise is not None
    assert np.median(np.abs(np.log(noise(read) / truth))) < 0.08
    assert np.abs(np.log(noise(read) / truth)).max() < 0.4
    new = reading(2000, seed=5)
    fresh = rated(new, 1.2 * np.exp(-new.kept[..., None] / 15), seed=6)
    assert log_score(new, noise(new), fresh) > log_score(new, np.full(truth.shape, targets.std()), fresh) + 0.05


def test_noise_does_not_depend_on_where_the_fit_starts() -> None:
    """From twice the likelihood's noise the same standard deviations come out."""
    read = reading(60)
    targets = rated(read, np.full(read.values.shape, 0.3))
    noise = NoiseModel.fit(read, targets)
    assert noise is not None
    assert read.noise is not None
    doubled = replace(read, noise=2.0 * read.noise)
    again = NoiseModel.fit(doubled, targets)
    assert again is not None
    assert again(doubled) == pytest.approx(noise(read), rel=2e-3)


def test_nothing_read_is_nothing_known() -> None:
    """Without an empty mask among the texts, the answer to one is about as wide as the ratings are spread."""
    read = reading(400)
    targets = rated(read, np.full(read.values.shape, 0.1))
    noise = NoiseModel.fit(read, targets)
    assert noise is not None
    empty = replace(read, kept=np.zeros_like(read.kept))
    assert noise(read).mean() < 0.15
    assert 0.5 * targets.std() < noise(empty).mean() < 1.5 * targets.std()


def test_noise_far_from_the_texts_is_that_at_their_end() -> None:
    read = reading(200)
    noise = NoiseModel.fit(read, rated(read, np.full(read.values.shape, 0.3)))
    assert noise is not None
    most = read.kept.max()
    one, other = (
        replace(read, kept=np.full_like(read.kept, n * most), words=n * read.words, known=n * read.known)
        for n in (20, 30)
    )
    assert noise(one) == pytest.approx(noise(other), rel=1e-9)


def test_each_target_has_its_own_noise() -> None:
    one = reading(500)
    values = one.values.repeat(2, -1)
    read = replace(one, values=values, noise=np.full(values.shape, 0.5), ranges=one.ranges * 2)
    targets = np.concatenate([rated(one, np.full(one.values.shape, sd), seed=3) for sd in (0.1, 0.8)], -1)
    targets[::3, 0] = np.nan  # not rated
    noise = NoiseModel.fit(read, targets)
    assert noise is not None
    assert noise(read).mean((0, 1)) == pytest.approx([0.1, 0.8], rel=0.15)


def test_few_texts_leave_the_noise_alone() -> None:
    read = reading(FEWEST)
    targets = rated(read, read.values)
    assert NoiseModel.fit(read, targets) is not None
    targets[0] = np.nan
    assert NoiseModel.fit(read, targets) is None


def test_readings_are_joined() -> None:
    one, two = reading(4, masks=2), reading(3, masks=5, seed=1)
    both = Reading.joined([one, two])
    assert both.kept.shape == (5, 7)
    assert both.weights.sum(0) == pytest.approx(np.ones(7))
    assert np.array_equal(both.values[:2, :4], one.values)
    assert np.array_equal(both.of(np.array([4, 5, 6])).values, two.values)


def test_a_calibration_is_stored() -> None:
    read = reading(50)
    targets = rated(read, np.full(read.values.shape, 0.3))
    made = Calibration(conformal_scores(np.abs(targets - 3.0)), NoiseModel.fit(read, targets), 1.5, base=(2.75,))
    again = Calibration.from_dict(made.to_dict(), 1)
    assert again.noise is not None
    assert made.noise is not None
    assert np.array_equal(again.noise(read), made.noise(read))
    assert (again.temperature, again.base, again.unread) == (1.5, (2.75,), None)
    unread = replace(made, unread=((10 / 3, 1.25),))
    assert Calibration.from_dict(unread.to_dict(), 1).unread == ((10 / 3, 1.25),)  # every digit
    assert Calibration.from_dict(made.to_dict() | {"base": None}, 1).base is None  # of an older version
    assert again.quantiles(0.9) == pytest.approx(made.quantiles(0.9), rel=1e-5)


@pytest.mark.parametrize(
    "changed",
    [
        {"scores": []},
        {"scores": [[1.0, float("nan")]]},
        {"temperature": 0.0},
        {"base": [float("inf")]},
        {"unread": [[3.0, float("nan")]]},
        {"unread": [[3.0, 0.0]]},
        {"unread": []},
        {"noise": {"features": ["moon"]}},
        {"noise": {"features": []}},
    ],
)
def test_a_damaged_calibration_is_refused(changed: dict[str, Any]) -> None:
    stored = Calibration(((0.5,),)).to_dict() | changed
    with pytest.raises(ValueError, match="expected"):
        Calibration.from_dict(stored, 1)


# Classes.


def test_the_temperature_is_found() -> None:
    """Labels drawn from softmax(logits / 2), predictions that are softmax(logits)."""
    rng = RNG(0)
    logits = 3 * rng.normal(size=(5000, 3))
    truth = softmax(logits / 2, axis=1)
    labels = (rng.random(5000)[:, None] > truth.cumsum(1)).sum(1).astype(float)
    labels[:10] = np.nan
    shown = softmax(logits, axis=1)[:, None]
    temperature = fit_temperature(shown, labels[:, None])
    assert temperature == pytest.approx(2.0, rel=0.06)
    assert temper(shown[:, 0], 2.0) == pytest.approx(truth)


def test_tempering_keeps_certainty_and_order() -> None:
    assert temper(np.array([[0.0, 1.0], [0.5, 0.5]]), 3.0).tolist() == [[0.0, 1.0], [0.5, 0.5]]
    assert temper(np.array([0.2, 0.8]), 1.0) == pytest.approx([0.2, 0.8])


def test_a_few_right_labels_make_no_certainty() -> None:
    """The temperature is pulled towards 1: ten texts that are all right would else ask for 0."""
    assert fit_temperature(np.full((10, 1, 2), [0.3, 0.7]), np.ones((10, 1))) > 0.2
    assert fit_temperature(np.full((2, 1, 2), 0.5), np.full((2, 1), np.nan)) == 1.0


# Conformal prediction.


@pytest.mark.parametrize(
    ("count", "level", "rank"),
    [(9, 0.9, 9), (8, 0.9, None), (19, 0.9, 18), (99, 0.9, 90), (4, 0.5, 3), (1, 0.5, 1), (0, 0.1, None), (9, 0.1, 1)],
)
def test_the_quantile_has_the_correction_for_finite_samples(count: int, level: float, rank: int | None) -> None:
    scores = np.arange(1.0, count + 1)
    assert conformal_quantile(scores, level) == (math.inf if rank is None else rank)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.8, 0.9, 0.95, 0.99])
def test_how_many_texts_a_level_needs(level: float) -> None:
    fewest = fewest_scores(level)
    assert math.isfinite(conformal_quantile(np.arange(float(fewest)), level))
    assert not math.isfinite(conformal_quantile(np.arange(float(fewest - 1)), level))


@pytest.mark.parametrize("decimals", [8, 0])
def test_coverage_of_exchangeable_data(decimals: int) -> None:
    """Whatever the scores' distribution: at least the level, and with few ties no more than 1 / (n + 1) above."""
    rng, count, level, times = RNG(3), 24, 0.8, 4000
    draws = np.round(10 * rng.standard_cauchy((times, count + 1)) ** 2, decimals)
    covered = np.mean([row[-1] <= conformal_quantile(np.sort(row[:-1]), level) for row in draws])
    error = 4 * math.sqrt(level * (1 - level) / times)
    assert covered > math.ceil((count + 1) * level) / (count + 1) - error
    if decimals:
        assert covered < math.ceil((count + 1) * level) / (count + 1) + error
