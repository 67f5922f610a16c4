"""Measures that several stress tests share: skill of predictions, agreement with the annotation, kinds of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.evaluation.metrics import Masks, rationale_metrics, selection_metrics, targets_of
from pyro_rationale.evaluation.statistic import Flags, as_flags
from pyro_rationale.tasks import Decision, Numbers, task_of

Labels = NDArray[np.int64]
UNKNOWN = -1
# Closed-class words of English. Negations, "but" and words of degree are left out: they turn what is said.
FUNCTION_WORDS = frozenset(
    """
    a an the this that these those there here i me my mine we us our ours you your yours he him his she her hers it its
    they them their theirs who whom whose which what am is are was were be been being have has had having do does did
    doing will would shall should can could may might must of in on at by for from to with about into onto over under
    between through during before after above below up down out off again once then and or if because as until while
    so than when where how all any both each other some such own same s t re ve ll d m
    """.split()
)


def truths(documents: Sequence[Document], spec: TargetSpec) -> Labels:
    """True targets as classes, `(N, D)`; `UNKNOWN` where there is none."""
    targets = targets_of(documents, spec)
    decisions = task_of(spec).true_decisions(targets)
    return np.where(np.isnan(targets), UNKNOWN, np.nan_to_num(decisions)).astype(np.int64)


def skill(
    values: Numbers, documents: Sequence[Document], spec: TargetSpec, decision: Decision | None = None
) -> float:
    """How much better predictions `(N, W)` are than the best constant: 0 no better, 1 perfect, below 0 worse."""
    return task_of(spec, decision).skill(values, targets_of(documents, spec))


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
    selection = selection_metrics(masks)
    metrics = rationale_metrics(documents, masks)
    nothing = float("nan")
    result = {"selected": selection["selected"], "empty": selection["empty"], "f1": metrics.get("f1", nothing)}
    precision, recall = metrics.get("precision", nothing), metrics.get("recall", nothing)
    if "opinion_recall" in metrics:
        inner = rationale_metrics([replace(d, gold=d.opinion, opinion=None) for d in documents], masks)
        result["opinion_f1"] = inner["f1"]
        recall = metrics["opinion_recall"]
    total = precision + recall
    judged = 2.0 * precision * recall / total if total else (0.0 if total == 0 else nothing)
    return {"judged": judged, "judged_precision": precision, "judged_recall": recall, **result}


def joined(masks: Masks) -> Flags:
    """Masks of many documents, one behind the other, `(words of all,)`."""
    return np.concatenate([as_flags(mask) for mask in masks])


def kind_of(token: str) -> str:
    """`punctuation`, `function word`, `number` or `content`."""
    if not any(map(str.isalnum, token)):
        return "punctuation"
    if token in FUNCTION_WORDS:
        return "function word"
    return "number" if token.isdigit() else "content"
