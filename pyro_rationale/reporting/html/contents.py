"""From a run and its readings to what the report says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_rationale import __version__
from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.distributions import ChainPrior
from pyro_rationale.evaluation.calibration import Curve, Words, calibration_metrics
from pyro_rationale.evaluation.evaluate import targets_of
from pyro_rationale.evaluation.metrics import (
    Metrics,
    Predictions,
    prediction_metrics,
    rationale_metrics,
    selection_metrics,
)
from pyro_rationale.fitted import EPOCHS, METRICS
from pyro_rationale.inference.objectives.report import objective_report
from pyro_rationale.prediction.predictor import PredictOptions, Reading
from pyro_rationale.reporting.console import format_value
from pyro_rationale.reporting.html.charts import plain
from pyro_rationale.reporting.html.prior_posterior import selection_of
from pyro_rationale.reporting.html.records import OtherRationale, ReadDocument, Reliability, ReportContents, Tile
from pyro_rationale.training.history import EpochRecord, read_history

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel

RULES = {
    "mode": "the most probable rationale",
    "threshold": "the words above the threshold of --threshold",
    "sample": "one rationale drawn at random",
}
LAYERS: dict[str, Callable[[Document], tuple[bool, ...] | None]] = {
    "annotated rationale": lambda document: document.gold,
    "rating words": lambda document: document.opinion,
}


def contents_of(
    fitted: FittedModel,
    readings: Iterable[Reading],
    folder: Path,
    options: PredictOptions | None = None,
    data: str = "",
    draws: int = 20,
    seed: int = 0,
) -> ReportContents:
    """Measures the readings and gathers what the run's folder knows.

    Args:
        fitted: the run.
        readings: of the documents to list, from `posterior.read`.
        folder: of the run; its history and its prior are shown where they exist.
        options: those of the readings.
        data: where the documents are from, for people.
        draws: masks per document from the prior and from the guide, for the comparison of the two.
        seed: of these draws, and of those behind the ELBO.

    Raises:
        RunError: the folder's history is damaged.
    """
    options = options or PredictOptions()
    documents = tuple(_read_document(reading) for reading in readings)
    texts = [read.document for read in documents]
    stored = _stored(folder)
    metrics = measure(documents, fitted.spec)
    if any(np.isfinite(text.targets).any() for text in texts if text.targets):
        metrics |= objective_report(fitted, texts, seed=seed)
    history = read_history(folder / EPOCHS) if (folder / EPOCHS).is_file() else []
    return ReportContents(
        title=f"Rationales of {fitted.name}",
        spec=fitted.spec,
        documents=documents,
        facts=facts_of(fitted, data, history, stored),
        tiles=tiles_of(metrics, options.level, stored.get("noise_floor")),
        history=tuple(history),
        selection=selection_of(fitted, texts, _asked(stored), draws, seed) if texts else None,
        reliability=tuple(reliability_of(documents)),
        rule=RULES[options.decode],
        level=options.level,
        version=__version__,
    )


def _read_document(reading: Reading) -> ReadDocument:
    others = [OtherRationale(a.mask, a.frequency, a.log_probability, a.values) for a in reading.alternatives]
    inclusion = tuple(min(1.0, max(0.0, p)) for p in reading.inclusion)
    return ReadDocument(
        reading.document, inclusion, reading.kept, reading.values, reading.interval, tuple(others), reading.expected
    )


def _stored(folder: Path) -> dict[str, Any]:
    """`metrics.json`, or nothing: a fit without a test split has none, and the report can do without."""
    try:
        found = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _asked(stored: Mapping[str, Any]) -> ChainPrior | None:
    """The prior that was asked for, if the run wrote it down."""
    found = stored.get("prior_asked")
    return ChainPrior(found["alpha"], found["gamma"]) if isinstance(found, dict) else None


def facts_of(
    fitted: FittedModel, data: str, history: Sequence[EpochRecord], stored: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """Where all this comes from."""
    config = fitted.config
    facts = [
        ("run", fitted.name),
        ("documents", data or config.data.data),
        ("predicted", predicted(fitted.spec)),
        ("guide", config.guide),
        ("estimator", config.estimator),
        ("seed", str(config.seed)),
    ]
    epoch = stored.get("best_epoch")
    if history:
        facts.append(("epochs", f"{history[-1].epoch}" + (f", number {epoch} chosen" if epoch else "")))
    return tuple(facts)


def predicted(spec: TargetSpec) -> str:
    """What is predicted, with its scale or its classes."""
    if spec.kind != "regression":
        return f"{', '.join(spec.names)} ({', '.join(spec.classes)})"
    named = zip(spec.names, spec.ranges, strict=True)
    return ", ".join(f"{name} ({plain(low)} to {plain(high)})" for name, (low, high) in named)


def measure(documents: Sequence[ReadDocument], spec: TargetSpec) -> Metrics:
    """The keys of :mod:`pyro_rationale.evaluation.metrics` for the listed rationales, and `covered`: the share of true
    ratings inside their intervals, where there are intervals."""
    texts, masks = [read.document for read in documents], [read.kept for read in documents]
    truth = targets_of(texts, spec)
    metrics: Metrics = {"documents": len(texts)}
    if len(texts):
        expected = np.array([read.values if read.expected is None else read.expected for read in documents])
        metrics |= prediction_metrics(spec, Predictions(expected, truth))
    metrics |= selection_metrics(masks) | rationale_metrics(texts, masks)
    if len(texts) and all(read.interval is not None for read in documents):
        ends = np.array([read.interval for read in documents], dtype=float)
        known = ~np.isnan(truth)
        inside = (ends[..., 0] <= truth) & (truth <= ends[..., 1])
        if known.any():
            metrics["covered"] = float(inside[known].mean())
    return metrics


def tiles_of(metrics: Mapping[str, Any], interval: float, noise_floor: float | None = None) -> tuple[Tile, ...]:
    """The figures that people look for first; those that are not known are left out."""
    floor = "" if noise_floor is None else f"{noise_floor:.4g} is the ratings' own noise"
    labels = {
        "documents": ("documents", ""),
        "accuracy": ("accuracy", ""),
        "log_loss": ("log loss", "nats per label"),
        "mse": ("squared error", floor),
        "covered": ("truth in interval", f"{100 * interval:.3g} % expected"),
        "selected": ("words kept", ""),
        "span": ("mean run", "kept words in a row"),
        "empty": ("nothing kept", "share of documents"),
        "precision": ("precision", "kept words that are gold"),
        "recall": ("recall", "gold words that are kept"),
        "opinion_recall": ("opinion recall", "rating words that are kept"),
        "elbo": ("ELBO", "nats per document"),
        "expected_cost": ("expected cost", "as in Lei et al. (2016)"),
    }
    shares = {"covered"}
    found = []
    for name, (label, note) in labels.items():
        if name in metrics:
            value = f"{100 * metrics[name]:.1f} %" if name in shares else format_value(name, metrics[name])
            found.append(Tile(label, value.replace("-", "\N{MINUS SIGN}"), note))
    return tuple(found)


def reliability_of(documents: Sequence[ReadDocument]) -> list[Reliability]:
    """A curve for each kind of gold that some document has, and that is anywhere true."""
    found = []
    for name, flags_of in LAYERS.items():
        known = [(i, read, flags_of(read.document)) for i, read in enumerate(documents) if read.inclusion]
        marked = [(i, read, flags) for i, read, flags in known if flags is not None]
        if not any(any(flags) for _, _, flags in marked):
            continue
        words = Words(
            np.concatenate([read.inclusion for _, read, _ in marked]),
            np.concatenate([np.array(flags, dtype=bool) for _, _, flags in marked]),
            np.concatenate([np.full(len(flags), i) for i, _, flags in marked]),
        )
        values = calibration_metrics(words, bins=10)
        everything, contested = values["all"], values["contested"]
        shown = {key: np.array(value) for key, value in everything["curve"].items()}
        found.append(
            Reliability(
                name,
                Curve(**shown),
                everything["ece_low"],
                everything["ece_high"],
                None if contested is None else contested["ece"],
            )
        )
    return found
