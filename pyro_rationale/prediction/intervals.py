"""Predictive distributions over masks: averages, intervals of ratings, sets of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyro_rationale.errors import ConfigError
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.tasks import Mixture, Numbers, Reading
from pyro_rationale.tasks._calibration import fewest_scores

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel


def calibrated_average(fitted: FittedModel, reading: Reading) -> Numbers:
    """Predictions averaged over masks, `(B, W)`; those of classes are then tempered.

    An average of calibrated probabilities is not sure enough (Ranjan and Gneiting 2010), so the temperature comes last.
    """
    averaged: Numbers = np.einsum("ub,ubw->bw", reading.weights, reading.values)
    return averaged if fitted.calibration is None else fitted.task.temper(averaged, fitted.calibration.temperature)


def predictive_mixture(fitted: FittedModel, reading: Reading) -> Mixture | None:
    """Predictive distribution of ratings over masks, with noise by what each keeps where development texts have told.

    Returns:
        `None` for classes.
    """
    if reading.noise is None:
        return None
    known = None if fitted.calibration is None else fitted.calibration.noise
    noise = reading.noise if known is None else known(reading)
    return fitted.task.mixture(reading.values, noise, reading.weights)


def interval_bounds(fitted: FittedModel, mixture: Mixture, options: PredictOptions) -> Numbers:
    """Interval of each rating, within the scale, `(B, D, 2)`."""
    if options.interval == "mixture":
        return mixture.interval_bounds(options.level, fitted.spec.ranges)
    assert fitted.calibration is not None
    return mixture.around(fitted.calibration.quantiles(options.level) * mixture.sd, fitted.spec.ranges)


def label_sets(
    fitted: FittedModel, averaged: Numbers, options: PredictOptions
) -> list[tuple[tuple[int, ...], ...]] | None:
    """Sets of classes, the most probable first, of each document and target; none is empty.

    Of the mixture: as few as have the probability asked for together. Conformal: all that are as probable as the true
    class is in so many development texts (least ambiguous sets; Sadinle, Lei and Wasserman 2019).
    """
    probabilities = fitted.task.probabilities(averaged)
    if probabilities is None:
        return None
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=-1)
    if options.interval == "mixture":
        inside = np.cumsum(ranked, axis=-1) - ranked < options.level - 1e-9
    else:
        assert fitted.calibration is not None
        inside = 1.0 - ranked <= fitted.calibration.quantiles(options.level)[:, None]
    sizes = np.maximum(inside.sum(-1), 1)
    return [
        tuple(tuple(row[:size].tolist()) for row, size in zip(rows, counts, strict=True))
        for rows, counts in zip(order, sizes, strict=True)
    ]


def check_interval(fitted: FittedModel, options: PredictOptions) -> None:
    """Make sure that there are scores enough for conformal intervals, where these are asked for.

    Raises:
        ConfigError: there are not.
    """
    if options.interval != "conformal":
        return
    if fitted.calibration is None:
        why = "the run was fitted by an older version, or without development texts, and holds no scores"
        raise ConfigError(f"--interval conformal: {why}; fit again, or take --interval mixture")
    fewest = fewest_scores(options.level)
    for name, scores in zip(fitted.spec.names, fitted.calibration.scores, strict=True):
        if len(scores) < fewest:
            needs = f"--level {options.level:g} needs {fewest} development texts, and {len(scores)} have {name}"
            raise ConfigError(f"--interval conformal: {needs}; lower --level, or take --interval mixture")
