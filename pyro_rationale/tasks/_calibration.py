"""Calibration of predictions by development texts: how wide the noise is, how sure classes are, how far errors go.

What is fitted after training to the predictions of held-out texts, which are mixtures over masks, is stored with the
run: the noise of ratings as a function of what was read, a temperature for the probabilities of classes, the scores of
split-conformal prediction (Vovk et al. 2005; Lei et al. 2018), and the rule that names classes, if one is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.tasks._decision import Decision

Numbers = NDArray[np.float64]

RIDGE = 2.0  # precision of the weights of standardised features around 0
FEWEST = 20  # rated texts below which the noise stays what the likelihood says
EMPTY_TEXTS = 5.0  # texts without a kept word that are added, as far from the prediction as ratings are from their mean
LARGEST_FACTOR = 10.0  # logarithm of the factor on the noise, either way: none at all would be an infinite density
FEATURES = ("kept", "share", "empty", "disagreement", "rating", "rating squared", "unknown")
HOTTEST = 10.0  # temperature, and one over the coldest
DIGITS = 6  # of stored scores
SLACK = 1e-5  # by which scores that are equal may differ: of rounding to so many digits, and of a network's sums


@dataclass(frozen=True)
class Reading:
    """The words that masks of `N` documents keep, and what is predicted from each.

    Attributes:
        kept: kept words, `(S, N)`.
        words: of each document, `(N,)`.
        known: those in the vocabulary, `(N,)`.
        values: predictions `(S, N, W)`, ratings in the user's units.
        noise: what the task says about the noise around ratings, standard deviations `(S, N, D)`; `None` for classes.
        weights: of the masks, `(S, N)`, summing to 1 over the first axis.
        ranges: lowest and highest rating of each target.
    """

    kept: Numbers
    words: Numbers
    known: Numbers
    values: Numbers
    noise: Numbers | None
    weights: Numbers
    ranges: tuple[tuple[float, float], ...]

    def of(self, documents: NDArray[Any]) -> Reading:
        """The reading of some of the documents."""
        one, several = documents, (slice(None), documents)
        noise = None if self.noise is None else self.noise[several]
        return Reading(
            self.kept[several], self.words[one], self.known[one], self.values[several], noise, self.weights[several],
            self.ranges,
        )

    @classmethod
    def joined(cls, readings: Sequence[Reading]) -> Reading:
        """Readings with any number of masks each as one; masks of weight 0 fill up."""
        most = max(len(reading.weights) for reading in readings)

        def column(arrays: Sequence[Numbers], mode: Literal["edge", "constant"] = "edge") -> Numbers:
            filled = [np.pad(a, [(0, most - len(a)), *[(0, 0)] * (a.ndim - 1)], mode) for a in arrays]
            return np.concatenate(filled, axis=1)

        noises = [reading.noise for reading in readings if reading.noise is not None]
        return cls(
            column([reading.kept for reading in readings]),
            np.concatenate([reading.words for reading in readings]),
            np.concatenate([reading.known for reading in readings]),
            column([reading.values for reading in readings]),
            column(noises) if noises else None,
            column([reading.weights for reading in readings], "constant"),
            readings[0].ranges,
        )

    def features(self) -> Numbers:
        """Features that the noise may depend on, `(S, N, D, len(FEATURES))`."""
        low, high = np.array(self.ranges, dtype=float).T
        scaled = (self.values - low) / (high - low)
        mean = np.einsum("sn,snd->nd", self.weights, scaled)
        spread = np.sqrt(np.einsum("sn,snd->nd", self.weights, (scaled - mean) ** 2))
        words = np.maximum(self.words, 1.0)
        columns = (
            np.log1p(self.kept)[..., None],
            (self.kept / words)[..., None],
            (self.kept == 0.0)[..., None],
            np.log(spread + 0.02),
            scaled - 0.5,
            (scaled - 0.5) ** 2,
            (1.0 - self.known / words)[:, None],
        )
        return np.stack([np.broadcast_to(column, scaled.shape) for column in columns], axis=-1).astype(float)


@dataclass(frozen=True)
class NoiseModel:
    """Factor of the likelihood's noise, log-linear in what was read; each target has weights of its own.

    Attributes:
        weights: of a constant and of the standardised features, `(D, 1 + F)`.
        centre: of the features, `(F,)`.
        scale: of the features, `(F,)`.
        low: smallest standardised feature that was seen; beyond, the noise stays as it is there, `(F,)`.
        high: the largest, `(F,)`.
    """

    weights: Numbers
    centre: Numbers
    scale: Numbers
    low: Numbers
    high: Numbers

    def __call__(self, reading: Reading) -> Numbers:
        """Standard deviations `(S, N, D)`."""
        assert reading.noise is not None
        return reading.noise * np.exp(_bounded(np.einsum("sndf,df->snd", self._design(reading), self.weights)))

    def _design(self, reading: Reading) -> Numbers:
        standard = ((reading.features() - self.centre) / self.scale).clip(self.low, self.high)
        return np.concatenate([np.ones((*standard.shape[:-1], 1)), standard], axis=-1)

    @classmethod
    def fit(cls, reading: Reading, targets: Numbers, fewest: int = FEWEST) -> NoiseModel | None:
        """The factor under which the ratings are most probable as draws of the mixture over masks.

        The weights but for the constant are pulled towards 0. Documents without a kept word get company of some whose
        errors are as large as the ratings' own spread: where nothing was read, nothing is known.

        Args:
            reading: of held-out documents.
            targets: their ratings `(N, D)` in the user's units, NaN where unknown.
            fewest: ratings of a target that are enough.

        Returns:
            `None` where some target has too few ratings.
        """
        if (~np.isnan(targets)).sum(0).min(initial=fewest) < fewest:
            return None
        features = reading.features()
        shape = (1, 1, 1, len(FEATURES))
        weights = np.broadcast_to(reading.weights[..., None], features.shape[:-1])
        centre = np.average(features, (0, 1, 2), weights[..., None].repeat(len(FEATURES), -1))
        scale = np.sqrt(np.average((features - centre) ** 2, (0, 1, 2), weights[..., None].repeat(len(FEATURES), -1)))
        scale = np.where(scale < 1e-6, 1.0, scale)
        low = ((features.min((0, 1, 2)) - centre) / scale).reshape(shape)
        high = ((features.max((0, 1, 2)) - centre) / scale).reshape(shape)
        empty = FEATURES.index("empty")
        high[..., empty] = (1.0 - centre[empty]) / scale[empty]
        unfitted = cls(np.zeros((targets.shape[1], 1 + len(FEATURES))), centre, scale, low[0, 0, 0], high[0, 0, 0])
        design = unfitted._design(reading)
        nothing = _nothing(unfitted)
        fits = [_fit_target(design[:, :, d], nothing, reading, targets[:, d], d) for d in range(targets.shape[1])]
        return cls(np.stack(fits), centre, scale, unfitted.low, unfitted.high)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"features": list(FEATURES)} | {name: value.tolist() for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NoiseModel:
        """The model of such values.

        Raises:
            ValueError: it has other features than this version knows.
        """
        if tuple(values["features"]) != FEATURES:
            raise ValueError(f"expected the features {', '.join(FEATURES)}")
        arrays = {name: np.array(values[name], dtype=float) for name in ("weights", "centre", "scale", "low", "high")}
        count = len(FEATURES)
        if arrays["weights"].ndim != 2 or arrays["weights"].shape[1] != 1 + count:
            raise ValueError(f"expected {1 + count} weights per target")
        if any(arrays[name].shape != (count,) for name in ("centre", "scale", "low", "high")):
            raise ValueError(f"expected {count} centres, scales and ends of features")
        if not all(np.isfinite(array).all() for array in arrays.values()) or (arrays["scale"] <= 0).any():
            raise ValueError("expected finite numbers, and scales above 0")
        return cls(**arrays)


def _bounded(log_factors: Numbers) -> Numbers:
    """Logarithms of factors on the noise, within their limits."""
    bounded: Numbers = np.clip(log_factors, -LARGEST_FACTOR, LARGEST_FACTOR)
    return bounded


def _nothing(model: NoiseModel) -> Numbers:
    """Design of a document without a kept word that is average otherwise, `(1 + F,)`."""
    standard = np.zeros(len(FEATURES))
    for name, value in (("kept", 0.0), ("share", 0.0), ("empty", 1.0)):
        i = FEATURES.index(name)
        standard[i] = (value - model.centre[i]) / model.scale[i]
    return np.concatenate([[1.0], standard.clip(model.low, model.high)])


def _fit_target(design: Numbers, nothing: Numbers, reading: Reading, targets: Numbers, d: int) -> Numbers:
    """Weights of one target: L-BFGS on the penalised log score of the mixture, with its gradient."""
    assert reading.noise is not None
    rated = ~np.isnan(targets)
    from scipy.optimize import minimize  # slow to import, and only fits need it

    values, noise = reading.values[:, rated, d], reading.noise[:, rated, d]
    residual = (targets[rated] - values) / noise
    spread = np.var(targets[rated]) / float(np.mean(noise)) ** 2
    with np.errstate(divide="ignore"):
        log_weights = np.log(reading.weights[:, rated])
    design = design[:, rated]

    def loss(weights: Numbers) -> tuple[float, Numbers]:
        log_factor = _bounded(free := design @ weights)
        square = (residual * np.exp(-log_factor)) ** 2
        parts = log_weights - log_factor - 0.5 * square
        total = np.logaddexp.reduce(parts, axis=0)
        responsibility = np.exp(parts - total)
        slope = np.einsum("sn,snf->f", responsibility * (1.0 - square) * (free == log_factor), design)
        width = float(_bounded(beyond := nothing @ weights))
        far = spread * math.exp(-2.0 * width)
        penalty = RIDGE * np.concatenate([[0.0], weights[1:]])
        value = -float(total.sum()) + EMPTY_TEXTS * (width + 0.5 * far) + 0.5 * float(penalty @ weights)
        return float(value), slope + EMPTY_TEXTS * (1.0 - far) * (beyond == width) * nothing + penalty

    fitted: Numbers = minimize(loss, np.zeros(design.shape[-1]), jac=True, method="L-BFGS-B", bounds=None).x
    return fitted


# Classes.


def temper(probabilities: Numbers, temperature: float) -> Numbers:
    """Probabilities `(..., C)` to the power of 1 / T, adding up to 1 again."""
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) / temperature
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    tempered: Numbers = powers / powers.sum(-1, keepdims=True)
    return tempered


def fit_temperature(probabilities: Numbers, targets: Numbers, weights: Numbers | None = None) -> float:
    """The temperature of least log loss, pulled a little towards 1.

    Args:
        probabilities: averaged over masks, `(N, D, C)`.
        targets: indices of classes `(N, D)`, NaN where unknown.
        weights: of the documents, `(N,)`, 1 on average; `None`: all count alike.
    """
    from scipy.optimize import minimize_scalar  # slow to import, and only fits need it

    known = ~np.isnan(targets)
    if not known.any():
        return 1.0
    share = 1.0 if weights is None else np.broadcast_to(weights[:, None], known.shape)[known]
    chosen = np.log(np.maximum(probabilities[known], 1e-30))  # (K, C)
    truth = targets[known].astype(int)
    right = chosen[np.arange(len(truth)), truth]

    def loss(log_t: float) -> float:
        inverse = math.exp(-log_t)
        losses = np.logaddexp.reduce(chosen * inverse, axis=1) - right * inverse
        return float((share * losses).sum()) + 2.0 * log_t**2

    most = math.log(HOTTEST)
    return math.exp(float(minimize_scalar(loss, bounds=(-most, most), method="bounded").x))


# Conformal prediction.


def conformal_quantile(scores: Numbers, level: float) -> float:
    """The score that a new one stays below with probability `level` or more: the `ceil((n + 1) level)`-th smallest.

    Ties count on the safe side. Infinite where there are too few scores.
    """
    rank = math.ceil((len(scores) + 1) * level - 1e-9)
    return math.inf if rank > len(scores) else float(scores[max(rank, 1) - 1])


def fewest_scores(level: float) -> int:
    """How many scores a finite quantile needs."""
    return math.ceil(level / (1.0 - level) - 1e-9)


@dataclass(frozen=True)
class Calibration:
    """Calibration of predictions by development texts, as a run folder stores it.

    Attributes:
        scores: conformal ones, smallest first, of each target: `abs(rating - mean) / sd`, or 1 minus the probability of
            the true class.
        noise: of ratings with Normal noise; `None` for classes, and for few texts: the likelihood's own.
        temperature: of the averaged probabilities of classes; 1 leaves them as they are.
        decision: the rule that names classes; `None` where none was asked for, and the most probable one is named.
        base: mean prediction of the texts, `W` numbers: what there is to say without a word. `None` in older runs.
        unread: of each target the mean and standard deviation of the texts' ratings, or the shares of their classes:
            what there is to say of a text that was not read. `None` in older runs, and of too few texts.
    """

    scores: tuple[tuple[float, ...], ...]
    noise: NoiseModel | None = None
    temperature: float = 1.0
    decision: Decision | None = None
    base: tuple[float, ...] | None = None
    unread: tuple[tuple[float, ...], ...] | None = None

    def quantiles(self, level: float) -> Numbers:
        """Conformal quantile of each target, `(D,)`; infinite where texts are too few.

        Texts of the same prediction have the same score, and one that rounding makes larger counts as equal still.
        """
        found = np.array([conformal_quantile(np.array(scores), level) for scores in self.scores])
        return found + SLACK * (1.0 + found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        scores = list(map(_rounded, self.scores))
        noise = None if self.noise is None else self.noise.to_dict()
        rule = {} if self.decision is None else {"decision": self.decision.to_dict()}
        base = {} if self.base is None else {"base": _rounded(self.base)}
        unread = {} if self.unread is None else {"unread": list(map(list, self.unread))}
        return {"scores": scores, "noise": noise, "temperature": self.temperature, **rule, **base, **unread}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], targets: int) -> Calibration:
        """The calibration of such values.

        Args:
            values: as :meth:`to_dict` makes them.
            targets: their number, `D`.

        Raises:
            ValueError: they are no calibration of so many targets.
            KeyError: something is missing.
            TypeError: something is no number.
        """
        scores = tuple(tuple(sorted(map(float, target))) for target in values["scores"])
        noise = None if values["noise"] is None else NoiseModel.from_dict(values["noise"])
        temperature = float(values["temperature"])
        rule = values.get("decision")
        decision = None if rule is None else Decision.from_dict(rule, targets)
        if len(scores) != targets or (noise is not None and len(noise.weights) != targets):
            raise ValueError(f"expected scores and noise of {targets} targets")
        if not all(math.isfinite(score) for target in scores for score in target):
            raise ValueError("expected finite scores")
        if not 0.0 < temperature < math.inf:
            raise ValueError(f"expected a temperature above 0, got {temperature}")
        base = None if values.get("base") is None else tuple(map(float, values["base"]))
        if base is not None and not all(map(math.isfinite, base)):
            raise ValueError("expected finite mean predictions")
        unread = None
        if values.get("unread") is not None:
            unread = tuple(tuple(map(float, target)) for target in values["unread"])
            if len(unread) != targets or not all(target and math.isfinite(sum(target)) for target in unread):
                raise ValueError(f"expected finite figures of unread texts, for {targets} targets")
            if min(target[-1] for target in unread) <= 0.0:
                raise ValueError("expected figures of unread texts above 0")
        return cls(scores, noise, temperature, decision, base, unread)


def _rounded(values: Sequence[float]) -> list[float]:
    """Numbers as a run folder stores them."""
    return [float(f"{value:.{DIGITS}g}") for value in values]


def conformal_scores(errors: Numbers) -> tuple[tuple[float, ...], ...]:
    """Sorted scores of each target from `(N, D)`, NaN where the target is unknown."""
    return tuple(tuple(np.sort(column[~np.isnan(column)]).tolist()) for column in errors.T)
