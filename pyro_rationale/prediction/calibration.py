"""Predictions of held-out texts against their targets: noise, temperature and conformal scores of a fitted model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.data.cache.dataset import target_rows
from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.prediction.decoding import evaluating
from pyro_rationale.prediction.information import unread_of
from pyro_rationale.prediction.mask_predictions import draw_reading
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.prediction.shown_masks import decode_all
from pyro_rationale.tasks import Calibration, NoiseModel, Numbers, Reading
from pyro_rationale.tasks._calibration import FEWEST, conformal_scores, fit_temperature, temper

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel

DRAWS = 16  # masks of each text
TEXTS = 1000  # that are read at most
RARE, MOST_TEXTS = 50, 10_000  # of the rarest class, where a rule is chosen: so many are wanted, of so many in all
BATCH = 64
FOLDS = 5


def calibrate(fitted: FittedModel, documents: Sequence[Document]) -> Calibration | None:
    """The calibration, by held-out documents, of the predictions of a fitted model, which are averages over masks.

    Args:
        fitted: the model.
        documents: with targets (NaN where unknown); they must not be training texts.

    Returns:
        `None` if no target is known.
    """
    texts = calibration_texts(documents, fitted.spec if fitted.config.train.decides_by_f1 else None)
    rows = texts if fitted.aspects == 1 else by_aspect(texts, fitted.aspects)
    chosen = sorted(rows, key=lambda document: len(document.tokens))
    targets = target_rows(chosen, len(fitted.spec.names))
    if not chosen or np.isnan(targets).all():
        return None
    reading = _read(fitted, chosen)
    averaged = np.einsum("sn,snw->nw", reading.weights, reading.values)
    if reading.noise is None:
        made = _of_classes(fitted, chosen, averaged, targets, fitted.weighting.relative(chosen))
    elif fitted.model.likelihood.noise is not None:
        made = _of_ratings(fitted, reading, targets, folds_of(chosen))
    else:
        made = Calibration(_scores(fitted, reading, reading.noise, targets))
    unread = unread_of(fitted.task, targets, fitted.weighting.relative(chosen))
    return replace(made, base=_base(averaged, chosen), unread=unread)


def _base(averaged: Numbers, documents: Sequence[Document]) -> tuple[float, ...]:
    """Mean prediction; of rows about one target each, the mean of its own rows."""
    if documents[0].aspect is None:
        return tuple(averaged.mean(0).tolist())
    aspects = np.array([document.aspect for document in documents])
    return tuple(float(averaged[aspects == i, i].mean()) for i in range(averaged.shape[1]))


def calibration_texts(documents: Sequence[Document], spec: TargetSpec | None = None) -> list[Document]:
    """Some of many documents, evenly spread over their order: classes keep their shares.

    Args:
        documents: with targets.
        spec: of the targets, where a rule is to name classes: then so many that the rarest class has `RARE` of them.
    """
    most = TEXTS
    if spec is not None and spec.classes and len(documents) > TEXTS:
        targets = target_rows(documents, len(spec.names))
        counts = np.concatenate([np.unique(column[~np.isnan(column)], return_counts=True)[1] for column in targets.T])
        wanted = RARE * len(documents) / counts.min(initial=len(documents))
        most = int(min(max(TEXTS, np.ceil(wanted)), MOST_TEXTS))
    places = np.linspace(0, len(documents) - 1, min(len(documents), most)).astype(int).tolist()
    return [documents[i] for i in places]


def folds_of(documents: Sequence[Document]) -> NDArray[np.int64]:
    """A number below `FOLDS` for each document, in turn.

    Rows about one target each take turns among those of their target: or the rows of a target might all be in one fold,
    and nothing could be fitted to the others.
    """
    seen: Counter[int | None] = Counter()
    folds = []
    for document in documents:
        folds.append(seen[document.aspect] % FOLDS)
        seen[document.aspect] += 1
    return np.array(folds, dtype=np.int64)


def _of_ratings(fitted: FittedModel, reading: Reading, targets: Numbers, fold: NDArray[np.int64]) -> Calibration:
    """Noise from all documents; the scores of each fold with the noise of the others, as if it had not been seen.

    Where there is no such noise of some fold, the noise stays the likelihood's: scores under one are not to be laid
    beside standard deviations under the other.
    """
    assert reading.noise is not None
    whole = NoiseModel.fit(reading, targets)
    if whole is None:
        return Calibration(_scores(fitted, reading, reading.noise, targets))
    noise = reading.noise.copy()
    for k in np.unique(fold):
        own, rest = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
        others = NoiseModel.fit(reading.of(rest), targets[rest], FEWEST // 2)
        if others is None:
            return Calibration(_scores(fitted, reading, reading.noise, targets))
        noise[:, own] = others(reading.of(own))
    return Calibration(_scores(fitted, reading, noise, targets), whole)


def _scores(fitted: FittedModel, reading: Reading, noise: Numbers, targets: Numbers) -> tuple[tuple[float, ...], ...]:
    """Distances from the mean in standard deviations of the mixture, of each target."""
    mixture = fitted.task.mixture(reading.values, noise, reading.weights)
    return conformal_scores(np.abs(targets - mixture.mean) / mixture.sd)


def _of_classes(
    fitted: FittedModel, documents: Sequence[Document], averaged: Numbers, targets: Numbers, weights: Numbers | None
) -> Calibration:
    """Temperature and scores from all documents: one number fitted to many texts hardly knows any of them.

    The temperature follows the weights of the fit, or it would pull back what they are for. Scores do not: sets are to
    hold the truth for texts as they come. Nor does the rule that names classes, which is to be right about these.
    """
    probabilities = fitted.task.probabilities(averaged)
    if probabilities is None:  # a task of another package that says nothing about its uncertainty
        return Calibration(((),) * targets.shape[1])
    temperature = fit_temperature(probabilities, targets, weights)
    shown = fitted.task.temper(averaged, temperature)
    decision = fitted.task.fit_decision(shown, targets) if fitted.config.train.decides_by_f1 else None
    if decision is not None:  # probabilities from one mask are others: neither averaged nor tempered
        one = decode_all(fitted, documents, DecodeOptions(), BATCH)[1]
        decision = replace(decision, alone=fitted.task.fit_decision(one, targets))
    truth = np.nan_to_num(targets).astype(int)[..., None]
    right = np.take_along_axis(temper(probabilities, temperature), truth, axis=-1)[..., 0]
    scores = conformal_scores(np.where(np.isnan(targets), np.nan, 1.0 - right))
    return Calibration(scores, temperature=temperature, decision=decision)


def _read(fitted: FittedModel, documents: Sequence[Document]) -> Reading:
    """Draws of documents in their order, which should be one of lengths."""
    with evaluating(fitted):
        pieces = (list(documents[start : start + BATCH]) for start in range(0, len(documents), BATCH))
        return Reading.joined([draw_reading(fitted, piece, DRAWS) for piece in pieces])
