"""Classes, two or more."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d, metadata_routing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.prediction.explanation import Explanation, Explanations
from pyro_rationale.sklearn.base import RationaleEstimator, check_given
from pyro_rationale.sklearn.inputs import check_texts, is_missing, names_of
from pyro_rationale.tasks import Numbers


class RationaleClassifier(ClassifierMixin, RationaleEstimator):
    """Predicts one of two or more classes of a text from a few of its words.

    Args:
        rate: share of words kept.
        steps, anneal: length of training, and the part of it in which the share of words comes down to `rate`.
        max_words: texts are cut after so many words.
        target_range: for ratings only; must be `None`.
        validation_fraction: share of the texts that early stopping is judged by, the same of every class.
        random_state: a number fixes the result, bit for bit on the CPU; also a `numpy.random.RandomState`, or `None`
            for another result each time.
        others: the flags of `python -m pyro_rationale.fit` (see its `--help`).

    Attributes:
        classes_: the labels, sorted.
        fitted_: :class:`pyro_rationale.fitted.FittedModel`, the Pyro model and its guide.
        history_: one :class:`pyro_rationale.training.history.EpochRecord` per epoch.
        n_iter_: epochs.
    """

    __metadata_request__predict_proba: typing.ClassVar = {"texts": metadata_routing.UNUSED}

    def fit(self, texts: Any, y: Any) -> RationaleClassifier:
        """Fit to `N` texts and their labels.

        Args:
            texts: list, array or series of strings.
            y: `(N,)` labels of any kind that can be sorted: strings, numbers, booleans.

        Raises:
            ValueError: unusable texts, labels or parameters; one class only.
            TrainingError: the loss is not finite.
        """
        checked, labels = check_texts(texts, least=2), self._labels(y)
        check_consistent_length(checked, labels)
        config = self._config()
        if self.target_range is not None:
            raise ValueError("target_range is for ratings; leave it out of a classifier")
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
        self._fit(self._documents(checked, rows, config.data.max_words), spec, numbers)
        self.classes_ = classes
        return self

    def predict_proba(self, texts: Any) -> Numbers:
        """Probabilities `(N, C)` in the order of `classes_`, from the most probable rationales."""
        return self._probabilities(self._values(texts))

    def predict(self, texts: Any) -> NDArray[Any]:
        """The most probable label of each text, `(N,)`."""
        best = self.predict_proba(texts).argmax(1)
        return self.classes_[best]

    def explain(self, texts: Any, samples: int = 100, alternatives: int = 3) -> Explanations:
        """Predictions with their rationales, one per text; a notebook shows them as marked texts.

        Args:
            texts: strings.
            samples: rationales drawn per text.
            alternatives: rationales listed per text, the most probable one included.
        """
        readings = self._readings(texts, 0.9, samples, alternatives)
        classes = self.classes_.tolist()

        def labels(values: Sequence[float]) -> dict[Any, float]:
            return dict(zip(classes, self._probabilities(np.array([values]))[0].tolist(), strict=True))

        def predicted(values: Sequence[float]) -> Any:
            return classes[int(self._probabilities(np.array([values]))[0].argmax())]

        return Explanations(Explanation.of(r, predicted, self.fitted_.spec.names, 0.9, labels) for r in readings)

    def _probabilities(self, values: Numbers) -> Numbers:
        """From `Reading.values` `(N, W)`, where two classes have one number, to `(N, C)`."""
        task = self.fitted_.task
        probabilities = task.probabilities(values)
        assert probabilities is not None
        if task.per_class:  # of float32, which do not quite add up to 1
            probabilities = probabilities / probabilities.sum(-1, keepdims=True)
        return probabilities[:, 0]

    def _labels(self, y: Any) -> NDArray[Any]:
        check_given(self, y)
        labels = column_or_1d(y, warn=True)
        if labels.dtype.kind in "fcO":
            for i, label in enumerate(labels):
                if is_missing(label):
                    raise ValueError(f"Input y contains NaN (at position {i}); leave such texts out")
        if labels.dtype.kind == "f" and np.isinf(labels).any():
            raise ValueError(f"Input y contains infinity (at position {int(np.isinf(labels).argmax())})")
        check_classification_targets(labels)
        return labels
