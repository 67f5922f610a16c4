"""A linear model of tf-idf: ridge regression for ratings, logistic regression for classes, by scikit-learn.

The value of a word in a document is its count times its idf, scaled so that the vector of a document has length 1. The
contribution of one occurrence to the output, weight x value / count, is an exact account of the prediction; the words
with the largest absolute contributions are the rationale. A part of a text is read as a text of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus, Document, TargetSpec
from pyro_rationale.data.row_digests import row_digests
from pyro_rationale.data.vocabulary import UNKNOWN, Vocabulary
from pyro_rationale.data.weighting import Weighting
from pyro_rationale.errors import TrainingError
from pyro_rationale.evaluation.metrics import targets_of
from pyro_rationale.experiments.baselines._base import Baseline
from pyro_rationale.experiments.baselines._storage import WEIGHTS, is_finished, read_spec, write_marker
from pyro_rationale.experiments.baselines._top_k import all_top_words, scaled
from pyro_rationale.optional import optional
from pyro_rationale.prediction.decoding import Mask
from pyro_rationale.prediction.rationalizer import Scores
from pyro_rationale.run_files import VOCABULARY
from pyro_rationale.storage import read_tensors
from pyro_rationale.tasks import Numbers, task_of

Array = NDArray[np.float64]
NAME = "tfidf"
ALPHAS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # of the ridge; of a logistic regression, 1 / C
NEVER = -30.0  # logit of a class that no training text is of


class TfidfRationalizer:
    """A fitted linear model as a :class:`~pyro_rationale.prediction.rationalizer.Rationalizer`.

    Reading a fitted one from its folder needs no scikit-learn.

    Args:
        spec: what is predicted.
        vocabulary: the words.
        idf: `(V,)`; 0 for unknown words.
        weights: `(W, V)`, in the user's units or in logits.
        bias: `(W,)`.
        rate: share of words in a rationale.
    """

    name = NAME

    def __init__(
        self, spec: TargetSpec, vocabulary: Vocabulary, idf: Array, weights: Array, bias: Array, rate: float
    ) -> None:
        self.spec, self.vocabulary, self.rate = spec, vocabulary, rate
        self.idf, self.weights, self.bias, self.task = idf, weights, bias, task_of(spec)

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """Absolute contribution of each word to the outputs, summed over targets, over the document's largest.

        With several classes, the contribution to the predicted class against the mean of all classes.
        """
        scores = []
        for document in documents:
            words = np.array(self.vocabulary.encode(document.tokens), dtype=int)
            size = _length(words, self.idf)
            added = self.weights[:, words] * self.idf[words] / size if len(words) else np.zeros((len(self.bias), 0))
            if self.task.per_class:
                best = int(np.argmax(added.sum(1) + self.bias))
                added = added[best : best + 1] - added.mean(0)
            scores.append(scaled(np.abs(added).sum(0)))
        return scores

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """The top words."""
        return all_top_words(self.marginals(documents), self.rate)

    def predict(self, documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> Numbers:
        """From the kept words, as if there were no others.

        Raises:
            ValueError: a mask is not as long as its document.
        """
        rows = []
        for document, mask in zip(documents, masks, strict=True):
            if len(mask) != len(document.tokens):
                raise ValueError(f"{document.id}: a mask of {len(mask)} flags for {len(document.tokens)} words")
            kept = [token for token, keep in zip(document.tokens, mask, strict=True) if keep]
            words = np.array(self.vocabulary.encode(kept), dtype=int)
            rows.append(self.weights[:, words] @ self.idf[words] / _length(words, self.idf) + self.bias)
        return self.task.from_linear(np.array(rows).reshape(-1, len(self.bias)))


def _length(words: NDArray[np.int_], idf: Array) -> float:
    """Length of the tf-idf vector of a document; 1 if it is all zero."""
    counts = Counter(words.tolist())
    length = float(np.sqrt(sum((n * idf[word]) ** 2 for word, n in counts.items())))
    return length if length > 0 else 1.0


def fit_tfidf(config: Config, corpus: Corpus, folder: Path) -> TfidfRationalizer:
    """Fit into a folder, or read the finished one; the strength of the penalty is the best of `ALPHAS` on dev."""
    rate = config.model.rate
    if is_finished(NAME, config, corpus, folder):
        tensors, _ = read_tensors(folder / WEIGHTS)
        idf, weights, bias = (tensors[part].numpy() for part in ("idf", "weights", "bias"))
        return TfidfRationalizer(read_spec(folder), Vocabulary.load(folder / VOCABULARY), idf, weights, bias, rate)
    options = config.model
    vocabulary = Vocabulary.build(corpus.train, options.min_count, options.vocabulary)
    numbers = {number: number for number in range(len(vocabulary))}  # an analyser may yield any hashable
    vectorizer = sklearn("feature_extraction.text").TfidfVectorizer(
        analyzer=partial(known_words, vocabulary), vocabulary=numbers, lowercase=False, token_pattern=None
    )
    train, dev = vectorizer.fit_transform(corpus.train), vectorizer.transform(corpus.dev)
    idf = vectorizer.idf_
    idf[: UNKNOWN + 1] = 0.0
    targets, dev_targets = targets_of(corpus.train, corpus.spec), targets_of(corpus.dev, corpus.spec)
    outputs = range(len(corpus.spec.names))
    weighting = Weighting.of(config.train.class_weight, corpus.spec, corpus.train)
    shares = weighting.relative(corpus.train), weighting.relative(corpus.dev)
    task = task_of(corpus.spec)
    parts = [
        best_model(bool(corpus.spec.classes), train, targets[:, i], dev, dev_targets[:, i], *shares) for i in outputs
    ]
    if task.per_class:
        parts = [(*of_all_classes(*parts[0][:2], targets[:, 0], task.width), parts[0][2])]
    weights, bias = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    tensors = {"idf": torch.tensor(idf), "weights": torch.tensor(weights), "bias": torch.tensor(bias)}
    alphas = [part[2] for part in parts]
    write_marker(NAME, config, corpus.spec, vocabulary, row_digests(corpus), tensors, folder, alphas=alphas)
    return TfidfRationalizer(corpus.spec, vocabulary, idf, weights, bias, rate)


def known_words(vocabulary: Vocabulary, document: Document) -> list[int]:
    """Words of a document by their numbers; words that the vocabulary does not have are left out."""
    return [word for word in vocabulary.encode(document.tokens) if word > UNKNOWN]


def sklearn(module: str) -> Any:
    """A module of scikit-learn.

    Raises:
        ConfigError: it is not installed.
    """
    return optional(f"sklearn.{module}", "the tf-idf baseline needs", "sklearn")


def best_model(
    classes: bool,
    train: Any,
    targets: Array,
    dev: Any,
    dev_targets: Array,
    weights: Array | None = None,
    dev_weights: Array | None = None,
) -> tuple[Array, Array, float]:
    """Weights `(W, V)`, bias `(W,)` and penalty of the linear model of one target that is best on dev.

    Where no dev document has the target, training documents decide.

    Args:
        classes: whether the target is one of several classes.
        train: vectors of the training documents.
        targets: of these, `(N,)`, NaN where unknown.
        dev: vectors of the dev documents.
        dev_targets: of these.
        weights: of the training documents, 1 on average; `None`: all count alike.
        dev_weights: of the dev documents.
    """
    known, dev_known = ~np.isnan(targets), ~np.isnan(dev_targets)
    train, targets, weights = train[known], targets[known], None if weights is None else weights[known]
    held = (dev[dev_known], dev_targets[dev_known]) if dev_known.any() else (train, targets)
    share = weights if not dev_known.any() else None if dev_weights is None else dev_weights[dev_known]
    linear = sklearn("linear_model")
    if classes and len(np.unique(targets)) < 2:
        raise TrainingError("tf-idf: the training texts are all of one class; there is nothing to learn")
    best: tuple[float, Any, float] | None = None
    for alpha in ALPHAS:
        if not classes:
            model = linear.Ridge(alpha=alpha).fit(train, targets, weights)
            cost = float(np.average((model.predict(held[0]) - held[1]) ** 2, weights=share))
        else:
            model = linear.LogisticRegression(C=1 / alpha, max_iter=1000).fit(train, targets.astype(int), weights)
            chance = model.predict_proba(held[0])
            column = {label: i for i, label in enumerate(model.classes_.tolist())}
            rows = [chance[i, column[int(y)]] if int(y) in column else 0.0 for i, y in enumerate(held[1])]
            cost = float(-np.average(np.log(np.maximum(rows, 1e-12)), weights=share))
        if best is None or cost < best[0]:
            best = (cost, model, alpha)
    assert best is not None
    _, model, alpha = best
    return np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_).astype(float), alpha


def of_all_classes(weights: Array, bias: Array, targets: Array, count: int) -> tuple[Array, Array]:
    """Weights `(C, V)` and bias `(C,)` of all classes, from those of a model of the classes that some texts are of.

    A class that no training text is of, only others are, is as good as never predicted.

    Args:
        weights: a row for each class of these texts, or one, of two classes, for the second.
        bias: likewise.
        targets: of the texts, `(N,)`, NaN where unknown.
        count: C.
    """
    if len(weights) == 1:
        weights, bias = np.concatenate([0.0 * weights, weights]), np.append(0.0, bias)
    known = np.unique(targets[~np.isnan(targets)]).astype(int)
    every, start = np.zeros((count, weights.shape[1])), np.full(count, NEVER)
    every[known], start[known] = weights, bias
    return every, start


REGISTERED = Baseline("tf-idf, linear, top words", fit_tfidf, keeps_words=True)
