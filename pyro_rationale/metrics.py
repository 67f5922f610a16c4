"""How good rationales and predictions are: plain functions on masks, documents and numbers.

A *mask* is one bool per word of one document; functions take a list of masks, as long as the list of documents, so
padding cannot enter. A ratio without a denominator is 0 by convention (nothing kept has precision 0); always read
precision next to `empty`, the share of documents that keep nothing.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.corpus import Document, TargetSpec

Masks = Sequence[Sequence[bool]]
Metrics = dict[str, Any]
SMALLEST_PROBABILITY = 1e-7


def selection_metrics(masks: Masks) -> Metrics:
    """What the masks look like, whatever they should be.

    Returns:
        `selected`: share of all words that are kept (pooled); `span`: mean length of a run of kept words;
        `empty`: share of documents that keep nothing.
    """
    words = sum(len(mask) for mask in masks)
    kept = sum(sum(map(bool, mask)) for mask in masks)
    runs = sum(count_runs(mask) for mask in masks)
    return {
        "selected": _ratio(kept, words),
        "span": _ratio(kept, runs),
        "empty": _ratio(sum(not any(mask) for mask in masks), len(masks)),
    }


def count_runs(mask: Sequence[bool]) -> int:
    """Number of maximal runs of kept words."""
    return sum(value for value, _ in groupby(map(bool, mask)))


def rationale_metrics(documents: Sequence[Document], masks: Masks) -> Metrics:
    """Agreement with the annotated rationales, over the documents that have one; empty where none has.

    Returns:
        `precision`, `recall`, `f1`: pooled over words. `precision_macro`, `recall_macro`, `f1_macro`: means over
        documents with at least one gold word, an empty mask counting 0. `precision_lei`: the mean over documents
        that keep something, as the paper's authors compute it (Lei et al. 2016): it forgives empty masks.
        `gold`: the gold share of words. `opinion_recall`: share of opinion words kept, where they are known.
    """
    pairs = [(_array(d.gold), _array(m)) for d, m in zip(documents, masks, strict=True) if d.gold is not None]
    if not any(gold.any() for gold, _ in pairs):
        return {}
    counts = np.array([((gold & kept).sum(), kept.sum(), gold.sum()) for gold, kept in pairs], dtype=float)
    hits, kept, gold = counts.sum(0)
    precision, recall = _ratio(hits, kept), _ratio(hits, gold)
    metrics = {"precision": precision, "recall": recall, "f1": _f1(precision, recall)}
    metrics |= _macro(counts[counts[:, 2] > 0])
    chosen = counts[counts[:, 1] > 0]
    metrics["precision_lei"] = float(np.mean(chosen[:, 0] / chosen[:, 1])) if len(chosen) else 0.0
    metrics["gold"] = _ratio(gold, sum(len(mask) for mask, _ in pairs))
    return metrics | opinion_metrics(documents, masks)


def opinion_metrics(documents: Sequence[Document], masks: Masks) -> Metrics:
    """`opinion_recall`, the share of the words that carry the rating which are kept; empty where unknown."""
    known = [(d.opinion, mask) for d, mask in zip(documents, masks, strict=True) if d.opinion is not None]
    total = sum(sum(opinion) for opinion, _ in known)
    hits = sum(int((_array(opinion) & _array(mask)).sum()) for opinion, mask in known)
    return {"opinion_recall": hits / total} if total else {}


def _macro(counts: NDArray[np.float64]) -> Metrics:
    """Means over documents; `counts` `(N, 3)`: hits, kept, gold > 0."""
    hits, kept, gold = counts.T
    precision = hits / np.maximum(kept, 1)
    recall = hits / gold
    f1 = 2 * hits / (kept + gold)
    values = {"precision_macro": precision, "recall_macro": recall, "f1_macro": f1}
    return {name: float(value.mean()) for name, value in values.items()}


def lexicon_metrics(documents: Sequence[Document], masks: Masks, lexicon: Container[str]) -> Metrics:
    """How much more often kept words stand in a lexicon than words in general.

    Returns:
        `lexicon_kept` and `lexicon_base`: shares of kept and of all words that are in the lexicon;
        `lexicon_lift`: their ratio, NaN if no word at all is in the lexicon.
    """
    found = [np.array([token in lexicon for token in d.tokens], dtype=bool) for d in documents]
    kept = [_array(mask) for mask in masks]
    base = _ratio(sum(f.sum() for f in found), sum(f.size for f in found))
    share = _ratio(sum((f & k).sum() for f, k in zip(found, kept, strict=True)), sum(k.sum() for k in kept))
    return {"lexicon_kept": share, "lexicon_base": base, "lexicon_lift": share / base if base else float("nan")}


@dataclass(frozen=True)
class Predictions:
    """Predicted and true targets of `N` documents.

    Attributes:
        values: `(N, D)` ratings in the user's units; `(N, D)` probabilities of the second class for binary labels;
            `(N, C)` class probabilities for multiclass.
        targets: `(N, D)` in the user's units or 0/1, NaN where unknown; `(N, 1)` class indices for multiclass.
    """

    values: NDArray[np.float64]
    targets: NDArray[np.float64]


def prediction_metrics(spec: TargetSpec, predictions: Predictions) -> Metrics:
    """Errors of the predictions over the known targets; empty where no target is known.

    Returns:
        Ratings: `mse` and `mae` in the user's units (squared), `mse_scaled` with every rating range mapped to
        [0, 1]. Classes: `accuracy`, and `log_loss` in nats per label. With several targets also `aspects`: the
        same by target.
    """
    if np.isnan(predictions.targets).all():
        return {}
    if spec.kind == "multiclass":
        return _multiclass(predictions)
    measure = _regression if spec.kind == "regression" else _binary
    metrics = measure(spec, predictions, slice(None))
    if len(spec.names) > 1:
        columns = {name: slice(i, i + 1) for i, name in enumerate(spec.names)}
        metrics["aspects"] = {name: measure(spec, predictions, column) for name, column in columns.items()}
    return metrics


def _regression(spec: TargetSpec, predictions: Predictions, columns: slice) -> Metrics:
    known = ~np.isnan(predictions.targets[:, columns])  # by target: a prediction of NaN must show
    if not known.any():
        return {}
    error = (predictions.values - predictions.targets)[:, columns]
    scaled = error / np.array([high - low for low, high in spec.ranges])[columns]
    return {
        "mse": float(np.mean(error[known] ** 2)),
        "mse_scaled": float(np.mean(scaled[known] ** 2)),
        "mae": float(np.mean(np.abs(error[known]))),
    }


def _binary(spec: TargetSpec, predictions: Predictions, columns: slice) -> Metrics:
    targets = predictions.targets[:, columns]
    known = ~np.isnan(targets)
    if not known.any():
        return {}
    truth, yes = targets[known], predictions.values[:, columns][known]
    right = np.where(truth == 1, yes, 1 - yes)
    return {"accuracy": float(np.mean((yes >= 0.5) == (truth == 1))), "log_loss": _log_loss(right)}


def _multiclass(predictions: Predictions) -> Metrics:
    known = ~np.isnan(predictions.targets[:, 0])
    truth, values = predictions.targets[known, 0].astype(int), predictions.values[known]
    right = values[np.arange(len(truth)), truth]
    return {"accuracy": float(np.mean(values.argmax(1) == truth)), "log_loss": _log_loss(right)}


def _log_loss(right: NDArray[np.float64]) -> float:
    """Mean -log of the probabilities given to what was true, bounded away from infinity."""
    return float(-np.log(np.maximum(right, SMALLEST_PROBABILITY)).mean())


def _array(mask: Sequence[bool] | None) -> NDArray[np.bool_]:
    return np.asarray(mask, dtype=bool)


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else 0.0


def _f1(precision: float, recall: float) -> float:
    return _ratio(2 * precision * recall, precision + recall)
