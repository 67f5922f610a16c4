"""Rationale models behind scikit-learn's interface: texts in, predictions, intervals and rationales out.

    model = RationaleRegressor(rate=0.1).fit(texts, ratings)
    model.predict(more)
    model.explain(more)[0].spans

The trainer is that of `python -m pyro_rationale.fit`, and so are the parameters: every flag of the model and of
training, by its name and with its default, but for `--seed`, which is `random_state` here. Needs the extra `sklearn`.
"""

from __future__ import annotations

import inspect
import re
import typing
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import Field, dataclass, fields, replace
from numbers import Integral, Number
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_rationale.optional import install_command

try:
    import sklearn  # noqa: F401
except ModuleNotFoundError:
    raise ImportError(f"pyro_rationale.sklearn needs scikit-learn: {install_command('sklearn')}") from None
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.utils import Tags, check_random_state, column_or_1d, metadata_routing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data.corpus import Corpus, Document, TargetSpec
from pyro_rationale.data.document import document_maker
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.splits import three_way_split
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.errors import ConfigError, RationaleError, TrainingError
from pyro_rationale.evaluation.evaluate import evaluate
from pyro_rationale.evaluation.model_card import write_card
from pyro_rationale.evaluation.verdict import constant_evaluation, weighs_classes, worse_than_constant
from pyro_rationale.fitted import FittedModel
from pyro_rationale.options import check_fields, decode, option
from pyro_rationale.prediction.decoding import decode_all
from pyro_rationale.prediction.draws import GENERATOR_LOCK
from pyro_rationale.prediction.explanation import Explanations, class_probabilities, explain
from pyro_rationale.prediction.options import DecodeOptions, ExplainOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.tasks import TASKS, LevelMixture, Numbers
from pyro_rationale.tasks._levels import has_few_levels
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.ensemble import fit_ensemble
from pyro_rationale.training.fit import fit_run
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.run_folder import check_free, start_run

__all__ = ["RationaleClassifier", "RationaleRegressor"]

RENAMED = {"seed": "random_state"}
OMITTED = ("condition_on_target", "log")  # evidence of labelled texts has no place here; trackers are callbacks
OWN = ("max_words", "task", "tokenizer", "target_range", "validation_fraction", "random_state", "callbacks")
BATCH = 64  # texts that are read at once
FROM_MEMORY = "texts"  # stands for `--data` in the configuration


@dataclass(frozen=True)
class SplitOptions:
    """Parameters that are no flag of a fit."""

    validation_fraction: float = option(0.1, "share of the texts for early stopping", above=0, below=1,
                                        expected="a share between 0 and 1")

    def __post_init__(self) -> None:
        check_fields(self)


def _class_weight(given: Any) -> Any:
    """`None`, a name or a mapping, as scikit-learn has it, as the flag has it."""
    if isinstance(given, Mapping):
        return ",".join(f"{label}={float(weight):.12g}" for label, weight in given.items()) or "none"
    return "none" if given is None else given


def _options_of(kind: type[Any]) -> Iterator[Field[Any]]:
    """The fields that are parameters."""
    return (item for item in fields(kind) if item.name not in RENAMED and item.name not in OMITTED)


def _signature() -> inspect.Signature:
    """Signature of the estimators: every option of model and training, and their own parameters."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(item.name, keyword, default=item.default, annotation=typing.get_type_hints(kind)[item.name])
        for kind in (ModelOptions, TrainOptions, DataOptions, SplitOptions)
        for item in _options_of(kind)
        if kind is not DataOptions or item.name in OWN
    ]
    return inspect.Signature([
        inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY),
        *options,
        inspect.Parameter("random_state", keyword, default=TrainOptions().seed, annotation=Any),
        inspect.Parameter("callbacks", keyword, default=(), annotation=Sequence[Callback]),
    ])


class RationaleEstimator(BaseEstimator):
    """Base of regressor and classifier: parameters, the fit, the predictions."""

    # Like scikit-learn's own vectorisers of texts: the texts are no metadata to be routed.
    __metadata_request__fit: typing.ClassVar = {"texts": metadata_routing.UNUSED}
    __metadata_request__predict: typing.ClassVar = {"texts": metadata_routing.UNUSED}
    __metadata_request__score: typing.ClassVar = {"texts": metadata_routing.UNUSED}

    def __init__(self, **parameters: Any) -> None:
        bound = self.__signature.bind(self, **parameters)
        bound.apply_defaults()
        for name in self._get_param_names():
            setattr(self, name, bound.arguments[name])

    __init__.__signature__ = __signature = _signature()  # type: ignore[attr-defined]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags

    def _check_given(self, y: Any) -> None:
        """Refuse a missing `y`, in scikit-learn's words."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")

    # Fitting.

    def _fit(
        self, documents: list[Document], spec: TargetSpec, labels: Sequence[int] | None, sample_weight: Any
    ) -> None:
        config = self._config()
        if sample_weight is not None:
            documents, labels = self._weighted(documents, labels, sample_weight)
        with naming_parameters(), own_torch():
            corpus = self._split(documents, spec, labels, config)
            fitted: FittedModel
            fits: Sequence[TrainingRun]
            with TemporaryDirectory(prefix="pyro-rationale-") as folder:
                if config.train.members > 1:
                    ensemble = fit_ensemble(config, Path(folder) / "fit", callbacks=self.callbacks or (), corpus=corpus)
                    fitted, fits = ensemble.fitted, ensemble.members
                else:
                    fit = fit_run(config, Path(folder) / "fit", callbacks=self.callbacks or (), corpus=corpus)
                    fitted, fits = fit.fitted, [fit]
                own = evaluate(ModelRationalizer(fitted), corpus.dev, scores=False)
                for fit in fits:
                    fit.tell("on_evaluated", {"dev" if len(fits) == 1 else "ensemble": own.metrics})
        constant = constant_evaluation(corpus.train, corpus.dev, spec)
        worse = worse_than_constant(own.statistics, constant.statistics, weighs_classes(fitted, corpus))
        self.fitted_, self.history_ = fitted.bound_texts(), [epoch for fit in fits for epoch in fit.history]
        self.n_iter_ = len(self.history_)
        for fit in (fit for fit in fits if not fit.selection.best):
            event = f" (the last: {fit.history[-1].event})" if fit.history[-1].event else ""
            message = f"no epoch came down to the share of words asked for{event}; raise steps, or lower anneal"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)
        if worse:
            message = f"on the validation texts predictions are worse than a constant's ({worse}); do not use this"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)

    @staticmethod
    def _weighted(
        documents: list[Document], labels: Sequence[int] | None, sample_weight: Any
    ) -> tuple[list[Document], Sequence[int] | None]:
        """The documents with their weights, and their labels, without those of weight 0."""
        if isinstance(sample_weight, Number):
            sample_weight = np.full(len(documents), sample_weight)
        weights = check_array(
            sample_weight, ensure_2d=False, dtype=np.float64, ensure_non_negative=True, input_name="sample_weight"
        )
        if weights.ndim != 1:
            raise ValueError(f"Sample weights must be 1D array or scalar, got {weights.ndim}D array")
        check_consistent_length(documents, weights)
        if not weights.any():
            raise ValueError("sample_weight: every weight is zero; give some text a weight above 0")
        kept = np.flatnonzero(weights).tolist()
        if len(kept) < 2:
            raise ValueError(f"sample_weight: {len(kept)} texts have a weight above 0, and a minimum of 2 is required")
        chosen = [replace(documents[i], weight=float(weights[i])) for i in kept]
        return chosen, None if labels is None else [labels[i] for i in kept]

    def _config(self) -> Config:
        """The parameters as a configuration.

        Raises:
            ValueError: one has no such value.
        """
        with naming_parameters():
            own = {"max_words": self.max_words, "task": self.task, "tokenizer": self.tokenizer}
            data = decode(DataOptions, {"data": FROM_MEMORY, **own})
            decode(SplitOptions, {"validation_fraction": self.validation_fraction})
            seed = self.random_state
            if not isinstance(seed, Integral) or isinstance(seed, bool):
                seed = check_random_state(seed).randint(2**31 - 1)
            model, train = (
                {item.name: getattr(self, item.name) for item in _options_of(kind)}
                for kind in (ModelOptions, TrainOptions)
            )
            train["class_weight"] = _class_weight(self.class_weight)
            return Config(data, decode(ModelOptions, model), decode(TrainOptions, {**train, "seed": int(seed)}))

    def _documents(self, texts: list[str], targets: Sequence[tuple[float, ...]], data: DataOptions) -> list[Document]:
        with naming_parameters():
            make = document_maker(data)
            return [make(f"text {i}", *pair) for i, pair in enumerate(zip(texts, targets, strict=True))]

    def _split(
        self, documents: list[Document], spec: TargetSpec, labels: Sequence[int] | None, config: Config
    ) -> Corpus:
        """Training and validation texts: copies of a text stay together, classes keep their shares."""
        if not len(Vocabulary.build(documents, config.model.min_count)) > len(Vocabulary(())):
            raise ValueError(
                f"empty vocabulary: no word occurs min_count={config.model.min_count} times in the texts"
            )
        share = float(self.validation_fraction)
        texts = [document.text for document in documents]
        train, dev, _ = three_way_split(documents, config.seed, texts, labels, (1.0 - share, share, 0.0))
        if not dev:
            warnings.warn(
                f"validation_fraction={share:g} of {len(documents)} texts is none: they are judged by what they were "
                "fitted to",
                stacklevel=4,
            )
        for i, name in enumerate(spec.names):
            if np.isnan([document.targets[i] for document in train]).all():
                raise ValueError(f"target {name!r} has no value among the training texts; leave it out of y")
        return Corpus(FROM_MEMORY, spec, train, dev or train, ())

    # Predictions.

    def _unlabelled(self, texts: Any) -> list[Document]:
        check_is_fitted(self, "fitted_")
        checked = check_texts(texts)
        return self._documents(checked, [()] * len(checked), self.fitted_.config.data)

    def _values(self, texts: Any, rule: str) -> Numbers:
        """`(N, W)` as `Prediction.predicted`: averaged over rationales, or from the most probable ones."""
        if rule == "mode":  # without draws
            documents = self._unlabelled(texts)
            with GENERATOR_LOCK:
                return self.fitted_.task.clip(decode_all(self.fitted_, documents, DecodeOptions())[1])
        with self._predicting(texts, alternatives=0, predict=rule) as (fitted, documents, options):
            made = [prediction.predicted for prediction in predict(fitted, documents, options, BATCH)]
        return np.array(made, dtype=float).reshape(len(made), self.fitted_.task.width)

    @contextmanager
    def _predicting(self, texts: Any, **options: Any) -> Iterator[tuple[FittedModel, list[Document], ExplainOptions]]:
        """Arguments of `predict` and `explain`, inside the lock of torch's generator; no contributions by default."""
        documents = self._unlabelled(texts)
        given = {"seed": self.fitted_.config.seed, "contributions": "none", **options}
        with naming_parameters(), GENERATOR_LOCK:
            yield self.fitted_, documents, decode(ExplainOptions, given)

    def save(self, folder: str | Path) -> None:
        """Write the fitted model as a run folder, for `python -m pyro_rationale.explain --run FOLDER`.

        Raises:
            ValueError: the folder holds files already.
        """
        check_is_fitted(self, "fitted_")
        folder = Path(folder)
        with naming_parameters():
            check_free(folder)
            start_run(folder, self.fitted_)
            self.fitted_.save(folder)
            write_card(folder)


class RationaleRegressor(RegressorMixin, RationaleEstimator):
    """Predicts one or several ratings of a text from a few of its words.

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
            texts: list, array or series of strings.
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
            rule: `average` over 100 rationales drawn per text, or `mode`, from the most probable rationale alone.
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
            alternatives: rationales listed per text, the most probable one included.
            contributions: what each kept span does to the prediction: `removal`, `shapley` for that and Shapley values
                of at most ten spans, or `none`.
            answers: ratings (labels) to show the evidence for: what would speak for each, if it were the true one; with
                several targets, `"name=rating"`.
        """
        options = {"samples": samples, "alternatives": alternatives, "contributions": contributions}
        with self._predicting(texts, level=level, answers=tuple(answers), **options) as arguments:
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


class RationaleClassifier(ClassifierMixin, RationaleEstimator):
    """Predicts one of two or more classes of a text from a few of its words.

    Args:
        task: must be `auto`; there is one for two classes, and one for more.
        target_range: for ratings only; must be `None`.
        class_weight: `none`, `balanced`, or weights by label, as a dictionary or as `LABEL=W,...`.
        validation_fraction: share of the texts that early stopping is judged by, the same of every class.
        others: parameters of :class:`RationaleRegressor`.

    Attributes:
        classes_: the labels, sorted.
        others: `fitted_`, `history_` and `n_iter_` of :class:`RationaleRegressor`.
    """

    __metadata_request__predict_proba: typing.ClassVar = {"texts": metadata_routing.UNUSED}

    def fit(self, texts: Any, y: Any, sample_weight: Any = None) -> RationaleClassifier:
        """Fit to `N` texts and their labels.

        Args:
            texts: list, array or series of strings.
            y: `(N,)` labels of any kind that can be sorted: strings, numbers, booleans.
            sample_weight: `(N,)`, how many texts each counts as, times the weight of its class (`class_weight`); one
                of weight 0 is left out.

        Raises:
            ValueError: unusable texts, labels or parameters; one class only.
            TrainingError: the loss is not finite.
        """
        checked, labels = check_texts(texts, least=2), self._labels(y)
        check_consistent_length(checked, labels)
        config = self._config()
        if self.target_range is not None:
            raise ValueError("target_range is for ratings; leave it out of a classifier")
        if config.data.task != "auto":
            raise ValueError("task is for ratings; leave it out of a classifier")
        try:
            classes, index = np.unique(labels, return_inverse=True)
        except TypeError as problem:
            raise ValueError(f"y mixes labels that cannot be sorted ({problem})") from None
        if len(classes) < 2:
            raise ValueError(f"expected at least 2 classes in y, got only one class: {classes[0]!r}")
        kind = "binary" if len(classes) == 2 else "multiclass"
        spec = TargetSpec(kind, names_of(y, 1), classes=tuple(map(str, classes)))
        numbers = index.tolist()
        rows = [(float(i),) for i in numbers]
        self._fit(self._documents(checked, rows, config.data), spec, numbers, sample_weight)
        self.classes_ = classes
        return self

    def predict_proba(self, texts: Any, rule: str = "average") -> Numbers:
        """Probabilities `(N, C)` in the order of `classes_`; arguments as for :meth:`RationaleRegressor.predict`."""
        values = self._values(texts, rule)
        probabilities = class_probabilities(self.fitted_, values)
        assert probabilities is not None
        return probabilities[:, 0]

    def predict(self, texts: Any, rule: str = "average") -> NDArray[Any]:
        """The most probable label of each text, `(N,)`; arguments as for :meth:`RationaleRegressor.predict`."""
        best = self.predict_proba(texts, rule).argmax(1)
        return self.classes_[best]

    def predict_set(
        self, texts: Any, level: float = 0.9, samples: int = 100, method: str = "conformal"
    ) -> NDArray[np.bool_]:
        """Sets that hold the true label with probability `level`: `(N, C)`, True on their labels, as `classes_`.

        Args:
            texts: `N` strings.
            level: between 0 and 1.
            samples: rationales drawn per text.
            method: `conformal`, labels as probable as the true one is in so many validation texts; or `mixture`, as
                few as have the probability together.
        """
        options = {"level": level, "samples": samples, "interval": method}
        with self._predicting(texts, alternatives=0, **options) as (fitted, documents, how):
            sets = [prediction.classes for prediction in predict(fitted, documents, how, BATCH)]
        inside = np.zeros((len(sets), len(self.classes_)), dtype=bool)
        for row, labels in zip(inside, sets, strict=True):
            assert labels is not None
            row[list(labels[0])] = True
        return inside

    def explain(
        self,
        texts: Any,
        samples: int = 100,
        alternatives: int = 3,
        contributions: str = "shapley",
        answers: Sequence[Any] = (),
    ) -> Explanations:
        """Predictions with their rationales, one per text; arguments as for :meth:`RationaleRegressor.explain`."""
        check_is_fitted(self, "fitted_")
        labels = dict(zip(self.classes_.tolist(), self.fitted_.spec.classes, strict=True))
        named = tuple(labels.get(answer, answer) for answer in answers)
        options = {"samples": samples, "alternatives": alternatives, "contributions": contributions, "answers": named}
        with self._predicting(texts, **options) as arguments:
            return explain(*arguments, classes=self.classes_.tolist())

    def _labels(self, y: Any) -> NDArray[Any]:
        self._check_given(y)
        labels = column_or_1d(y, warn=True)
        if labels.dtype.kind in "fcO":
            for i, label in enumerate(labels):
                if is_missing(label):
                    raise ValueError(f"Input y contains NaN (at position {i}); leave such texts out")
        if labels.dtype.kind == "f" and np.isinf(labels).any():
            raise ValueError(f"Input y contains infinity (at position {int(np.isinf(labels).argmax())})")
        check_classification_targets(labels)
        return labels


# Input.


def check_texts(texts: Any, least: int = 1) -> list[str]:
    """A list of texts from whatever holds some.

    Args:
        texts: list, tuple, array, series (pandas, polars), iterator.
        least: number of texts that is needed.

    Raises:
        ValueError: it is one string, a table, too short, or holds something that is not a string.
    """
    if isinstance(texts, (str, bytes, Mapping, AbstractSet)) or not isinstance(texts, Iterable):
        raise ValueError(f"expected a list of texts, got {type(texts).__name__}")
    shape = getattr(texts, "shape", (0,))
    if len(shape) != 1:
        raise ValueError(f"expected a list of texts, got a table of shape {shape}; pass its column of texts")
    items = list(texts)
    for i, text in enumerate(items):
        if not isinstance(text, str):
            kind = "NaN" if is_missing(text) else type(text).__name__
            raise ValueError(f"expected texts, found {kind} at position {i}")
    if len(items) < least:
        raise ValueError(f"Found {len(items)} text(s) (n_samples={len(items)}) while a minimum of {least} is required.")
    return [str(text) for text in items]  # numpy's strings would not be stored as plain ones


def is_missing(value: Any) -> bool:
    """Whether it stands for nothing: None, NaN, pandas' NA."""
    try:
        return value is None or not bool(value == value)
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"


def names_of(y: Any, count: int) -> tuple[str, ...]:
    """Names of the targets: a table's columns, a series' name, else `y` or `y1`, `y2`, ..."""
    columns = getattr(y, "columns", None)
    if columns is not None and len(columns) == count:
        return tuple(map(str, columns))
    name = getattr(y, "name", None)
    if count == 1:
        return (name if isinstance(name, str) and name else "y",)
    return tuple(f"y{i + 1}" for i in range(count))


@contextmanager
def naming_parameters() -> Iterator[None]:
    """The package's errors as scikit-learn has them: ValueErrors that name parameters, not flags."""
    try:
        yield
    except TrainingError:
        raise TrainingError("the loss is not finite; lower learning_rate") from None
    except RationaleError as problem:
        message = re.sub(r"--([a-z][a-z0-9-]*)", lambda flag: flag[1].replace("-", "_"), str(problem))
        raise ValueError(message) from None


@contextmanager
def own_torch() -> Iterator[None]:
    """Torch's random numbers, threads and treatment of denormal numbers are afterwards as they were before."""
    with GENERATOR_LOCK:
        threads = torch.get_num_threads()
        flushed = bool(torch.tensor(1e-40) * 1.0 == 0.0)
        try:
            with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
                yield
        finally:
            torch.set_num_threads(threads)
            torch.set_flush_denormal(flushed)
