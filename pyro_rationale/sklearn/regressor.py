"""Ratings of texts by a few of their words, behind scikit-learn's interface."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError
from pyro_rationale.options import decode
from pyro_rationale.prediction.explanation import Explanations, explain
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.sklearn.base import RationaleEstimator
from pyro_rationale.sklearn.inputs import answers_of, check_no_dates, check_texts, names_of
from pyro_rationale.sklearn.parameters import naming_parameters
from pyro_rationale.tasks import TASKS, LevelMixture, Numbers
from pyro_rationale.tasks._levels import has_few_levels


class RationaleRegressor(RegressorMixin, RationaleEstimator):
    """Scikit-learn regressor of texts that predicts one or several ratings from a few words of each.

    Args:
        rate: share of words kept.
        steps, anneal: length of training, and the part of it in which the share of words comes down to `rate`.
        max_words: texts are cut after so many words.
        tokenizer: how texts are split into words, a name in :data:`pyro_rationale.data.TOKENIZERS`; a function of your
            own goes there first, `TOKENIZERS["mine"] = function`, or is named as `package.module:function`.
        task: `regression` for Normal noise, `ordinal` for cumulative logits of at most 50 evenly spaced ratings; `auto`
            takes the latter for 3 to 11.
        target_range: lowest and highest rating; else each target's own. Predictions and intervals end there.
        validation_fraction: share of the texts that early stopping and the noise (for intervals) are judged by.
        random_state: a number fixes the result, bit for bit on the CPU; also a `numpy.random.RandomState`, or `None`
            for another result each time.
        callbacks: objects of :class:`pyro_rationale.Callback`, whose hooks the fit calls.
        others: the flags of `python -m pyro_rationale.fit` (see its `--help`).

    Attributes:
        fitted_: :class:`pyro_rationale.fitted.FittedModel`, the Pyro model and its guide.
        history_: one :class:`pyro_rationale.training.history.EpochRecord` per epoch, of all `members` in their order.
        n_iter_: epochs.
        n_outputs_: targets, `D`.
    """

    def fit(self, texts: Any, y: Any, sample_weight: Any = None) -> RationaleRegressor:
        """Fit to `N` texts and their ratings.

        Args:
            texts: list, array or series of strings; two or more, since scikit-learn's tools split small data. The
                command `fit` needs a table of ten, since it holds out test texts as well.
            y: `(N,)`, or `(N, D)` where NaN stands for "not rated".
            sample_weight: `(N,)`, how many texts each counts as; one of weight 0 is left out.

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
        spec = self._spec(config.data.task, ratings, names)
        rows = [tuple(row) for row in ratings.tolist()]
        self._fit(self._documents(checked, rows, config.data), spec, None, sample_weight)
        self.n_outputs_ = len(names)
        return self

    def predict(self, texts: Any, rule: str = "average") -> Numbers:
        """Ratings within their scale, `(N,)` or `(N, D)` as `y` was.

        Args:
            texts: `N` strings.
            rule: `average` over 100 rationales drawn per text, or `mode`, from the shown rationale alone.
        """
        return self._shaped(self._values(texts, rule))

    def predict_interval(
        self, texts: Any, level: float = 0.9, samples: int = 100, method: str = "mixture"
    ) -> Numbers:
        """Intervals that hold the rating with probability `level`.

        Args:
            texts: `N` strings.
            level: between 0 and 1.
            samples: rationales drawn per text.
            method: `mixture`, disagreement between rationales and noise together; or `conformal`, as far as the
                errors on validation texts went, in units of the predictive standard deviation.

        Returns:
            Low and high end, `(N, 2)`, or `(N, D, 2)` if `y` had two dimensions.
        """
        options = {"level": level, "samples": samples, "interval": method}
        with self._predicting(texts, alternatives=0, **options) as (fitted, documents, how):
            intervals = [prediction.interval for prediction in predict(fitted, documents, how)]
        return self._shaped(np.array(intervals, dtype=float))

    def predict_levels(self, texts: Any, samples: int = 100) -> Numbers:
        """Probability of each rating, averaged over rationales, where ratings are few levels (`task`).

        Args:
            texts: `N` strings.
            samples: rationales drawn per text.

        Returns:
            `(N, L)` in the order of the ratings, `fitted_.task.levels`, or `(N, D, L)` if `y` had two dimensions, with
            0 behind the last level of a target that has fewer than others.

        Raises:
            ValueError: the fit is one with Normal noise.
        """
        check_is_fitted(self, "fitted_")
        if not self.fitted_.spec.levels:
            raise ValueError("the ratings were fitted with Normal noise, which has no levels; fit with task='ordinal'")
        with self._predicting(texts, samples=samples, alternatives=0) as arguments:
            found = [typing.cast(LevelMixture, prediction.predictive).shares for prediction in predict(*arguments)]
        most = max(self.fitted_.spec.levels)
        return self._shaped(np.array(found, dtype=float).reshape(len(found), self.n_outputs_, most))

    def explain(
        self,
        texts: Any,
        level: float = 0.9,
        samples: int = 100,
        alternatives: int = 3,
        contributions: str = "shapley",
        answers: Sequence[Any] = (),
    ) -> Explanations:
        """Predictions with their rationales, one per text; a notebook shows them as marked texts.

        Args:
            texts: strings.
            level: of the intervals.
            samples: rationales drawn per text.
            alternatives: rationales listed per text, the shown one included.
            contributions: what each kept span does to the prediction: `removal`, `shapley` for that and Shapley values
                of at most ten spans, or `none`.
            answers: ratings (labels) to show the evidence for: what would speak for each, if it were the true one; with
                several targets, `"name=rating"`.

        Returns:
            A list of `N` :class:`~pyro_rationale.prediction.explanation.Explanation`.
        """
        options = {"samples": samples, "alternatives": alternatives, "contributions": contributions}
        with self._predicting(texts, level=level, answers=answers_of(answers), **options) as arguments:
            return explain(*arguments, single=self._one_dimensional)

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
        self._check_given(y)
        check_no_dates(y)
        try:
            ratings = check_array(
                y, ensure_2d=False, dtype=np.float64, ensure_all_finite="allow-nan", input_name="y",
                ensure_min_samples=0,
            )  # fmt: skip
        except ValueError as problem:
            if "could not convert string to float" not in str(problem):
                raise
            label = str(problem).partition("float: ")[2].removeprefix("np.str_(").removesuffix(")")
            message = f"y holds {label or 'text'}, and ratings are numbers; RationaleClassifier predicts labels"
            raise ValueError(message) from None
        missing = np.isnan(ratings)
        if ratings.ndim == 1 and missing.any():
            raise ValueError(f"Input y contains NaN (at position {int(missing.argmax())}); leave such texts out")
        if ratings.ndim == 2 and (nowhere := missing.all(1)).any():
            raise ValueError(f"Input y contains NaN only at position {int(nowhere.argmax())}; leave such texts out")
        return ratings

    def _spec(self, task: str, ratings: Numbers, names: tuple[str, ...]) -> TargetSpec:
        """Ratings, or ratings of few levels."""
        spec = TargetSpec("regression", names, ranges=self._ranges(ratings, names))
        if task == "auto":
            columns = [[column[~np.isnan(column)].tolist()] for column in ratings.T]
            task = "ordinal" if all(map(has_few_levels, columns, spec.ranges)) else "regression"
        if TASKS[task].family != "regression":
            raise ValueError(f"task: {task} is for classes; leave it out of a regressor")
        with naming_parameters():
            return TASKS[task].of_family(spec, task, "y", ratings)

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
            ends = decode(DataOptions, {"target_range": self.target_range}).target_range
        except ConfigError:
            raise ValueError(f"target_range: expected two numbers, got {self.target_range!r}") from None
        assert ends is not None
        low, high = ends
        if not -np.inf < low < high < np.inf:
            raise ValueError(f"target_range: expected a lowest rating below the highest, got {low:g} and {high:g}")
        if lowest.min() < low or highest.max() > high:
            actual = f"{lowest.min():g} to {highest.max():g}"
            raise ValueError(f"target_range: y holds ratings outside of {low:g} to {high:g}, namely {actual}")
        return ((low, high),) * len(names)
