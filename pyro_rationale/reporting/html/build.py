"""From a run's records and predictions to the context of its report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_rationale import __version__
from pyro_rationale.config import Config
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.evaluation.evaluate import compute
from pyro_rationale.evaluation.metrics import (
    MetricInputs,
    Metrics,
)
from pyro_rationale.reporting.console import format_value
from pyro_rationale.reporting.html.charts import (
    prediction_charts,
    prior_posterior_charts,
    reliability_charts,
    training_charts,
)
from pyro_rationale.reporting.html.context import ReportContext, Section, Tile
from pyro_rationale.reporting.plots.posterior import MaskDraws
from pyro_rationale.tasks import task_of

if TYPE_CHECKING:
    from xarray import DataTree

    from pyro_rationale.prediction.predictor import Prediction, PredictOptions
    from pyro_rationale.training.history import EpochRecord

RULES = {
    "mode": "the most probable rationale",
    "threshold": "the words above the threshold of --threshold",
    "sample": "one rationale drawn at random",
}


def build_report(
    predictions: Sequence[Prediction],
    options: PredictOptions,
    config: Config,
    spec: TargetSpec,
    name: str,
    *,
    data: str = "",
    metrics: Mapping[str, Any] | None = None,
    history: Sequence[EpochRecord] = (),
    stored: Mapping[str, Any] | None = None,
    draws: DataTree | None = None,
) -> ReportContext:
    """Measures the predictions and draws the charts.

    Args:
        predictions: of the documents to list.
        options: those that the predictions were made with.
        config: of the run.
        spec: what is predicted.
        name: of the run.
        data: where the documents are from, for people; default: the corpus of the run.
        metrics: more figures for the summary, such as the terms of the objective on these documents.
        history: of training; empty if it was not recorded.
        stored: `metrics.json` of the run, with its best epoch, noise floor and prior; empty for an unfinished run.
        draws: `posterior.nc`, opened; `None` leaves the comparison of prior and posterior out.
    """
    stored = stored or {}
    charts = {
        ("training", "Training"): training_charts(history),
        ("selection", "Prior and posterior"): () if draws is None else _prior_posterior(draws, stored),
        ("quality", "Predictions and probabilities"): [
            *prediction_charts(predictions, spec), *reliability_charts(predictions)
        ],
    }  # fmt: skip
    sections = (Section(id, title, tuple(found)) for (id, title), found in charts.items())
    measured = measure(predictions, spec) | dict(metrics or {})
    return ReportContext(
        title=f"Rationales of {name}",
        spec=spec,
        documents=tuple(predictions),
        facts=facts_of(config, spec, name, data, history, stored),
        tiles=tiles_of(measured, options.level, stored.get("noise_floor")),
        sections=tuple(section for section in sections if section.charts),
        rule=RULES[options.decode],
        level=options.level,
        version=__version__,
    )


def _prior_posterior(draws: DataTree, stored: Mapping[str, Any]) -> Iterator[Any]:
    prior = {key: float(draws.attrs[f"prior_{key}"]) for key in ("rate", "span")}
    return prior_posterior_charts(MaskDraws.of(draws), prior, stored.get("prior_asked"))


def facts_of(
    config: Config, spec: TargetSpec, name: str, data: str, history: Sequence[EpochRecord], stored: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """Label and value of where the report's numbers come from."""
    facts = [
        ("run", name),
        ("documents", data or config.data.data),
        ("predicted", task_of(spec).describe()),
        ("guide", config.guide),
        ("estimator", config.estimator),
        ("seed", str(config.seed)),
    ]
    epoch = stored.get("best_epoch")
    if history:
        facts.append(("epochs", f"{history[-1].epoch}" + (f", number {epoch} chosen" if epoch else "")))
    return tuple(facts)


def measure(documents: Sequence[Prediction], spec: TargetSpec) -> Metrics:
    """Metrics of the listed rationales, with `covered`: the share of true ratings inside their intervals."""
    texts, masks = [read.document for read in documents], [read.kept for read in documents]
    if not texts:
        return compute(MetricInputs(texts, spec, masks)).metrics
    ends = [read.interval for read in documents if read.interval is not None]
    return compute(
        MetricInputs(
            texts,
            spec,
            masks,
            values=np.array([read.expected for read in documents]),
            scores=[np.array(read.inclusion) for read in documents],
            intervals=np.array(ends, dtype=float) if len(ends) == len(texts) else None,
        )
    ).metrics


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
