"""What stress tests measure with: decisions, skill of predictions, agreement with the annotation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.evaluation.evaluate import targets_of
from pyro_rationale.evaluation.metrics import Masks, rationale_metrics, selection_metrics
from pyro_rationale.prediction.units import Numbers

Labels = NDArray[np.int64]
UNKNOWN = -1
SENTENCE_ENDS = frozenset(".!?")


def has_target(document: Document) -> bool:
    """Whether anything is known of what is to be predicted."""
    return any(target == target for target in document.targets)


def decisions(values: Numbers, spec: TargetSpec) -> Labels:
    """What a prediction amounts to, as classes, `(N, D)`: a rating above or below the median of all, a label, a class.

    Args:
        values: `(N, W)` as `metrics.Predictions.values`.
        spec: what is predicted.
    """
    if spec.kind == "multiclass":
        return values.argmax(1)[:, None].astype(np.int64)
    threshold = np.median(values, axis=0) if spec.kind == "regression" else 0.5
    return (values > threshold).astype(np.int64)


def truths(documents: Sequence[Document], spec: TargetSpec) -> Labels:
    """The same of the true targets, `(N, D)`; `UNKNOWN` where there is none."""
    targets = targets_of(documents, spec)
    known = ~np.isnan(targets)
    threshold = np.nanmedian(targets, axis=0) if spec.kind == "regression" else 0.5
    classes = targets if spec.kind == "multiclass" else targets > threshold
    return np.where(known, np.nan_to_num(classes), UNKNOWN).astype(np.int64)


def skill(values: Numbers, documents: Sequence[Document], spec: TargetSpec) -> float:
    """How much better predictions are than the best constant: 0 no better, 1 perfect, below 0 worse.

    Ratings: 1 - squared error / variance, averaged over the aspects. Classes: (accuracy - a) / (1 - a) with `a` the
    share of the commonest class.
    """
    targets = targets_of(documents, spec)
    if spec.kind == "regression":
        error = np.nanmean((values - targets) ** 2, axis=0)
        return float(np.mean(1.0 - error / np.maximum(np.nanvar(targets, axis=0), 1e-12)))
    found, true = decisions(values, spec), truths(documents, spec)
    skills = []
    for guess, truth in zip(found.T, true.T, strict=True):
        guess, truth = guess[truth != UNKNOWN], truth[truth != UNKNOWN]
        constant = float(np.bincount(truth).max() / len(truth))
        skills.append((float((guess == truth).mean()) - constant) / max(1e-12, 1.0 - constant))
    return float(np.mean(skills))


def agreement(documents: Sequence[Document], masks: Masks) -> dict[str, float]:
    """How well masks agree with the annotation.

    Returns:
        `judged`: the F1 that verdicts are about, and `judged_precision`, `judged_recall` that it is made of; `f1`
        against the gold words; `opinion_f1` against the opinion words where these are known; `selected`, `empty`.

        Planted reviews have two layers of gold: whole clauses, and the words in them that carry the rating. To keep
        more or less of the clause around those words is no fault, and either F1 alone would call it one. So `judged`
        there is made of the precision against clauses and the recall of opinion words; elsewhere it is `f1`. NaN
        without an annotation.
    """
    found = selection_metrics(masks)
    metrics = rationale_metrics(documents, masks)
    nothing = float("nan")
    result = {"selected": found["selected"], "empty": found["empty"], "f1": metrics.get("f1", nothing)}
    precision, recall = metrics.get("precision", nothing), metrics.get("recall", nothing)
    if "opinion_recall" in metrics:
        inner = rationale_metrics([replace(d, gold=d.opinion, opinion=None) for d in documents], masks)
        result["opinion_f1"] = inner["f1"]
        recall = metrics["opinion_recall"]
    total = precision + recall
    judged = 2.0 * precision * recall / total if total else (0.0 if total == 0 else nothing)
    return {"judged": judged, "judged_precision": precision, "judged_recall": recall, **result}


def sentences(tokens: Sequence[str]) -> list[range]:
    """Where the sentences of a text are: each up to and with its full stop, exclamation or question mark."""
    starts = [0, *(i + 1 for i, token in enumerate(tokens) if token in SENTENCE_ENDS)]
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(tokens)], strict=True) if b > a]
