"""All metrics of a fitted run on labelled documents, in one flat dict."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

from pyro_rationale.data.cache.dataset import target_rows
from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.evaluation.metrics import (
    Metrics,
    Predictions,
    lexicon_metrics,
    prediction_metrics,
    rationale_metrics,
    selection_metrics,
)
from pyro_rationale.prediction.predictor import DecodeOptions, decode_all, draw_all
from pyro_rationale.tasks import Numbers

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel


def evaluate_documents(
    fitted: FittedModel,
    documents: Sequence[Document],
    decode: str = "mode",
    threshold: float = 0.5,
    batch_size: int = 64,
    seed: int = 0,
    lexicon: Container[str] | None = None,
) -> Metrics:
    """Decodes a hard mask for every document, predicts from it, and measures both.

    Args:
        fitted: a run.
        documents: with targets (NaN where unknown), and gold rationales if there are any.
        decode: rule for the masks; `sample` depends on `seed`.
        threshold: for that rule.
        batch_size: documents at once; it changes nothing but speed, and which draws `sample` makes.
        seed: of the draws.
        lexicon: words whose share among the kept ones is wanted.

    Returns:
        The keys of :mod:`pyro_rationale.evaluation.metrics`, and `documents`; rationale keys only where gold exists.
        For the terms of the objective see :func:`pyro_rationale.inference.objectives.report.objective_report`.
    """
    options = DecodeOptions(decode=decode, threshold=threshold, seed=seed)
    masks, values = decode_all(fitted, documents, options, batch_size)
    metrics: Metrics = {"documents": len(documents)}
    metrics |= prediction_metrics(fitted.spec, Predictions(values, targets_of(documents, fitted.spec)))
    metrics |= selection_metrics(masks)
    metrics |= rationale_metrics(documents, masks)
    if lexicon is not None:
        metrics |= lexicon_metrics(documents, masks, lexicon)
    return metrics


def evaluate_average(
    fitted: FittedModel, documents: Sequence[Document], samples: int = 16, batch_size: int = 64, seed: int = 0
) -> Metrics:
    """The same for predictions averaged over masks drawn from q(z | x); masks are measured all together.

    Args:
        fitted: a run.
        documents: with targets, and gold rationales if there are any; at least one.
        samples: masks per document.
        batch_size: documents at once.
        seed: of the draws.
    """
    draws, values = draw_all(fitted, documents, samples, seed, batch_size)
    masks = [mask for draw in draws for mask in draw]
    metrics: Metrics = {"documents": len(documents)}
    metrics |= prediction_metrics(fitted.spec, Predictions(values, targets_of(documents, fitted.spec)))
    return metrics | selection_metrics(masks) | rationale_metrics([*documents] * samples, masks)


def targets_of(documents: Sequence[Document], spec: TargetSpec) -> Numbers:
    """True targets `(N, D)` in the user's units (class indices for classes); NaN where a document has none."""
    return target_rows(documents, len(spec.names))
