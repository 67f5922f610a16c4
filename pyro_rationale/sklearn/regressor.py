"""Ratings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_consistent_length

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.prediction.explanation import Explanation, Explanations
from pyro_rationale.sklearn.base import RationaleEstimator, check_given
from pyro_rationale.sklearn.inputs import check_texts, names_of, plain
from pyro_rationale.tasks import Numbers


class RationaleRegressor(RegressorMixin, RationaleEstimator):
    """Predicts one or several ratings of a text from a few of its words.

    Args:
        rate: share of words kept.
        steps, anneal: length of training, and the part of it in which the share of words comes down to `rate`.
        max_words: texts are cut after so many words.
        target_range: lowest and highest rating; else each target's own. Predictions and intervals end there.
        validation_fraction: share of the texts that early stopping and the noise (for intervals) are judged by.
        random_state: a number fixes the result, bit for bit on the CPU; also a `numpy.random.RandomState`, or `None`
            for another result each time.
        others: the flags of `python -m pyro_rationale.fit` (see its `--help`).

    Attributes:
        fitted_: :class:`pyro_rationale.fitted.FittedModel`, the Pyro model and its guide.
        history_: one :class:`pyro_rationale.training.history.EpochRecord` per epoch.
        n_iter_: epochs.
        n_outputs_: targets, `D`.
    """

    def fit(self, texts: Any, y: Any) -> RationaleRegressor:
        """Fit to `N` texts and their ratings.

        Args:
            texts: list, array or series of strings.
            y: `(N,)`, or `(N, D)` where NaN stands for "not rated".

        Raises:
            ValueError: unusable texts, ratings or parameters.
            TrainingError: the loss is not finite.
        """
        checked, ratings = check_texts(texts, least=2), self._ratings(y)
        check_consistent_length(checked, ratings)
        config = self._config()
        self._one_dimensional = ratings.ndim == 1
        ratings = ratings.reshape(len(ratings), -1)
        names = names_of(y, ratings.shape[1])
        spec = TargetSpec("regression", names, ranges=self._ranges(ratings, names))
        rows = [tuple(row) for row in ratings.tolist()]
        self._fit(self._documents(checked, rows, config.data.max_words), spec, None)
        self.n_outputs_ = len(names)
        return self

    def predict(self, texts: Any) -> Numbers:
        """Ratings within their scale, `(N,)` or `(N, D)` as `y` was, from the most probable rationales."""
        return self._shaped(self._values(texts))

    def predict_interval(self, texts: Any, level: float = 0.9, samples: int = 100) -> Numbers:
        """Central intervals of probability `level`: disagreement between rationales and noise together.

        A prediction rests on one rationale, its interval on all that are probable. Where many others say something
        else, a prediction can lie outside.

        Args:
            texts: `N` strings.
            level: between 0 and 1.
            samples: rationales drawn per text.

        Returns:
            Low and high end, `(N, 2)`, or `(N, D, 2)` if `y` had two dimensions.
        """
        readings = self._readings(texts, level, samples, 0)
        return self._shaped(np.array([reading.interval for reading in readings], dtype=float))

    def explain(self, texts: Any, level: float = 0.9, samples: int = 100, alternatives: int = 3) -> Explanations:
        """Predictions with their rationales, one per text; a notebook shows them as marked texts.

        Args:
            texts: strings.
            level: of the intervals.
            samples: rationales drawn per text.
            alternatives: rationales listed per text, the most probable one included.
        """
        readings = self._readings(texts, level, samples, alternatives)
        names, single = self.fitted_.spec.names, self._one_dimensional

        def predicted(values: Sequence[float]) -> Any:
            return values[0] if single else tuple(values)

        return Explanations(Explanation.of(r, predicted, names, level, single=single) for r in readings)

    def score(self, texts: Any, y: Any, sample_weight: Any = None) -> float:
        """R squared; of several targets the mean of each one's, over the texts that have it."""
        predicted, true = self.predict(texts), self._ratings(y)
        check_consistent_length(predicted, true, sample_weight)
        if predicted.shape != true.shape:
            raise ValueError(f"y has shape {true.shape}, and the predictions {predicted.shape}")
        predicted, true = predicted.reshape(len(true), -1), true.reshape(len(true), -1)
        scores = []
        for one, other in zip(true.T, predicted.T, strict=True):
            rated = ~np.isnan(one)
            if rated.any():
                weights = None if sample_weight is None else np.asarray(sample_weight)[rated]
                scores.append(r2_score(one[rated], other[rated], sample_weight=weights))
        return float(np.mean(scores))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _shaped(self, values: Numbers) -> Numbers:
        return values[:, 0] if self._one_dimensional else values

    def _ratings(self, y: Any) -> Numbers:
        """`(N,)` or `(N, D)`, finite but for NaN in the second case."""
        check_given(self, y)
        ratings = check_array(
            y, ensure_2d=False, dtype=np.float64, ensure_all_finite="allow-nan", input_name="y", ensure_min_samples=0
        )
        missing = np.isnan(ratings)
        if ratings.ndim == 1 and missing.any():
            raise ValueError(f"Input y contains NaN (at position {int(missing.argmax())}); leave such texts out")
        if ratings.ndim == 2 and (nowhere := missing.all(1)).any():
            raise ValueError(f"Input y contains NaN only at position {int(nowhere.argmax())}; leave such texts out")
        return ratings

    def _ranges(self, ratings: Numbers, names: tuple[str, ...]) -> tuple[tuple[float, float], ...]:
        """Lowest and highest rating of each target."""
        for name, column in zip(names, ratings.T, strict=True):
            if np.isnan(column).all():
                raise ValueError(f"target {name!r} has no value but NaN; leave it out of y")
        lowest, highest = np.nanmin(ratings, 0), np.nanmax(ratings, 0)
        for name, low, high in zip(names, lowest, highest, strict=True):
            if low == high:
                raise ValueError(f"every value of target {name!r} is {low:g}; there is nothing to predict")
        if self.target_range is None:
            return tuple(zip(lowest.tolist(), highest.tolist(), strict=True))
        try:
            low, high = (plain("target_range", end, float) for end in self.target_range)
        except (TypeError, ValueError):
            raise ValueError(f"target_range: expected two numbers, got {self.target_range!r}") from None
        if not -np.inf < low < high < np.inf:
            raise ValueError(f"target_range: expected a lowest rating below the highest, got {low:g} and {high:g}")
        if lowest.min() < low or highest.max() > high:
            found = f"{lowest.min():g} to {highest.max():g}"
            raise ValueError(f"target_range: y holds ratings outside of {low:g} to {high:g}, namely {found}")
        return ((low, high),) * len(names)
