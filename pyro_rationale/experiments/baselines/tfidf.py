"""A linear model of tf-idf: ridge regression for ratings, logistic regression for classes, by scikit-learn.

A document's value of a word is (times it occurs) x (its idf), and the whole is scaled to length 1. What one
occurrence adds to the output, weight x value / times, is an exact account of the prediction; the words with the largest
size of it are the rationale. A part of a text is read as a text of its own.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus, Document, TargetSpec
from pyro_rationale.data.vocabulary import UNKNOWN, Vocabulary
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.evaluate import targets_of
from pyro_rationale.experiments.baselines.storage import WEIGHTS, finished, read_spec, write_marker
from pyro_rationale.experiments.baselines.top_k import all_top_words, scaled
from pyro_rationale.fitted import VOCABULARY
from pyro_rationale.prediction.predictor import Mask
from pyro_rationale.prediction.rationalizer import Scores
from pyro_rationale.storage import read_tensors
from pyro_rationale.tasks import Numbers, task_of

Array = NDArray[np.float64]
ALPHAS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # of the ridge; of a logistic regression, 1 / C


def sklearn_model(name: str) -> Any:
    """A class of `sklearn.linear_model`.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    try:
        return getattr(importlib.import_module("sklearn.linear_model"), name)
    except ImportError:
        raise ConfigError("the tf-idf baseline needs scikit-learn: pip install 'pyro_rationale[sklearn]'") from None


class TfidfRationalizer:
    """A fitted linear model as a :class:`~pyro_rationale.prediction.rationalizer.Rationalizer`; reading it needs no
    scikit-learn.

    Args:
        name: for tables.
        spec: what is predicted.
        vocabulary: the words.
        idf: `(V,)`; 0 for unknown words.
        weights: `(W, V)`, in the user's units or in logits.
        bias: `(W,)`.
        rate: share of words in a rationale.
    """

    def __init__(
        self, name: str, spec: TargetSpec, vocabulary: Vocabulary, idf: Array, weights: Array, bias: Array, rate: float
    ) -> None:
        self.name, self.spec, self.vocabulary, self.rate = name, spec, vocabulary, rate
        self.idf, self.weights, self.bias, self.task = idf, weights, bias, task_of(spec)

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """What each word adds to the outputs, without its sign and summed over targets, over the document's largest.

        Of several classes, what it adds to the predicted one against the mean of all.
        """
        found = []
        for document in documents:
            words = np.array(self.vocabulary.encode(document.tokens), dtype=int)
            size = _length(words, self.idf)
            added = self.weights[:, words] * self.idf[words] / size if len(words) else np.zeros((len(self.bias), 0))
            if self.task.per_class:
                best = int(np.argmax(added.sum(1) + self.bias))
                added = added[best : best + 1] - added.mean(0)
            found.append(scaled(np.abs(added).sum(0)))
        return found

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
    """Of a document's vector of tf-idf; 1 where there is nothing in it."""
    counts = Counter(words.tolist())
    length = float(np.sqrt(sum((n * idf[word]) ** 2 for word, n in counts.items())))
    return length if length > 0 else 1.0


def fit_tfidf(name: str, config: Config, corpus: Corpus, folder: Path) -> TfidfRationalizer:
    """Fit into a folder, or read the finished one; the strength of the penalty is the best of `ALPHAS` on dev."""
    rate = config.model.rate
    if finished(name, config, folder):
        tensors, _ = read_tensors(folder / WEIGHTS)
        idf, weights, bias = (tensors[part].numpy() for part in ("idf", "weights", "bias"))
        return TfidfRationalizer(name, read_spec(folder), Vocabulary.load(folder / VOCABULARY), idf, weights, bias, rate)
    sklearn_model("Ridge")  # before the work
    options = config.model
    vocabulary = Vocabulary.build(corpus.train, options.min_count, options.vocabulary)
    idf = inverse_frequencies(corpus.train, vocabulary)
    train, dev = (matrix(documents, vocabulary, idf) for documents in (corpus.train, corpus.dev))
    targets, wanted = targets_of(corpus.train, corpus.spec), targets_of(corpus.dev, corpus.spec)
    outputs = range(len(corpus.spec.names))
    parts = [best_model(bool(corpus.spec.classes), train, targets[:, i], dev, wanted[:, i]) for i in outputs]
    weights, bias = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    tensors = {"idf": torch.tensor(idf), "weights": torch.tensor(weights), "bias": torch.tensor(bias)}
    write_marker(name, config, corpus.spec, vocabulary, tensors, folder, alphas=[part[2] for part in parts])
    return TfidfRationalizer(name, corpus.spec, vocabulary, idf, weights, bias, rate)


def inverse_frequencies(documents: Sequence[Document], vocabulary: Vocabulary) -> Array:
    """log((1 + N) / (1 + documents with the word)) + 1, as scikit-learn has it, `(V,)`; 0 for unknown words."""
    counts = np.zeros(len(vocabulary))
    for document in documents:
        counts[list(set(vocabulary.encode(document.tokens)))] += 1
    idf: Array = np.log((1 + len(documents)) / (1 + counts)) + 1.0
    idf[: UNKNOWN + 1] = 0.0
    return idf


def matrix(documents: Sequence[Document], vocabulary: Vocabulary, idf: Array) -> Any:
    """Documents as rows of length 1, sparse `(N, V)`."""
    from scipy import sparse

    rows, columns, values = [], [], []
    for i, document in enumerate(documents):
        words = np.array(vocabulary.encode(document.tokens), dtype=int)
        size = _length(words, idf)
        for word, n in Counter(words.tolist()).items():
            rows.append(i)
            columns.append(word)
            values.append(n * idf[word] / size)
    return sparse.csr_matrix((values, (rows, columns)), shape=(len(documents), len(vocabulary)))


def best_model(classes: bool, train: Any, targets: Array, dev: Any, wanted: Array) -> tuple[Array, Array, float]:
    """Weights `(W, V)`, bias `(W,)` and penalty of the model of one target that is best on dev (on training documents
    where dev has none with a target)."""
    known, asked = ~np.isnan(targets), ~np.isnan(wanted)
    train, targets = train[known], targets[known]
    held = (dev[asked], wanted[asked]) if asked.any() else (train, targets)
    best: tuple[float, Any, float] | None = None
    for alpha in ALPHAS:
        if not classes:
            model = sklearn_model("Ridge")(alpha=alpha).fit(train, targets)
            cost = float(np.mean((model.predict(held[0]) - held[1]) ** 2))
        else:
            model = sklearn_model("LogisticRegression")(C=1 / alpha, max_iter=1000).fit(train, targets.astype(int))
            chance = model.predict_proba(held[0])
            place = {label: i for i, label in enumerate(model.classes_.tolist())}
            rows = [chance[i, place[int(y)]] if int(y) in place else 0.0 for i, y in enumerate(held[1])]
            cost = float(-np.mean(np.log(np.maximum(rows, 1e-12))))
        if best is None or cost < best[0]:
            best = (cost, model, alpha)
    assert best is not None
    _, model, alpha = best
    return np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_).astype(float), alpha
