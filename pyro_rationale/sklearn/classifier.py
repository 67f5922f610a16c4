"""Classes of texts by a few of their words, behind scikit-learn's interface."""

from __future__ import annotations

import typing
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d, metadata_routing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.doubts import similar_labels
from pyro_rationale.data.files.text import check_whole
from pyro_rationale.prediction.explanation import Explanations, class_probabilities, explain
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.sklearn.base import BATCH, RationaleEstimator
from pyro_rationale.sklearn.inputs import answers_of, check_labels, check_texts, is_missing, names_of
from pyro_rationale.tasks import Numbers


class RationaleClassifier(ClassifierMixin, RationaleEstimator):
    """Scikit-learn classifier of texts that predicts one of two or more classes from a few words of each.

    Args:
        task: must be `auto`; there is one for two classes, and one for more.
        target_range: for ratings only; must be `None`.
        class_weight: `none`, `balanced`, or weights by label, as a dictionary or as `LABEL=W,...`.
        decide: which label :meth:`predict` names: the most `probable` one, or that of a rule of greatest `macro-f1` on
            validation texts; `auto`: the rule where classes have weights.
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
            texts: list, array or series of strings; two or more, since scikit-learn's tools split small data. The
                command `fit` needs a table of ten, since it holds out test texts as well.
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
            raise ValueError(f"expected at least 2 classes in y, got only one class: {classes.tolist()[0]!r}")
        if labels.dtype.kind in "OU" and (similar := similar_labels([str(label) for label in classes])):
            warnings.warn(f"y: {similar}", stacklevel=2)
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
        """The label of each text, `(N,)`: the most probable one, or that of the rule that `decide` has asked for.

        Arguments are those of :meth:`RationaleRegressor.predict`.
        """
        values = self._values(texts, rule)
        return self.classes_[self.fitted_.task_for(rule).decisions(values)[:, 0]]

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
        named = tuple(labels.get(answer, answer) for answer in answers_of(answers))
        options = {"samples": samples, "alternatives": alternatives, "contributions": contributions, "answers": named}
        with self._predicting(texts, **options) as arguments:
            return explain(*arguments, classes=self.classes_.tolist())

    def _labels(self, y: Any) -> NDArray[Any]:
        self._check_given(y)
        check_labels(y)
        labels = column_or_1d(y, warn=True)
        if labels.dtype.kind in "fcO":
            for i, label in enumerate(labels):
                if is_missing(label):
                    raise ValueError(f"Input y contains NaN (at position {i}); leave such texts out")
        if labels.dtype.kind == "f" and np.isinf(labels).any():
            raise ValueError(f"Input y contains infinity (at position {int(np.isinf(labels).argmax())})")
        check_classification_targets(labels)
        for i, label in enumerate(labels.tolist() if labels.dtype.kind in "OU" else ()):
            check_whole(f"the label at position {i}", str(label))
        return labels
