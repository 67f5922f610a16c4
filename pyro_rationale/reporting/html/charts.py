"""The report's charts: figures of `reporting.plots` as SVG, each with a description and a table of its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.evaluation.calibration import Curve, Forecasts, calibration_metrics
from pyro_rationale.evaluation.metrics.uncertainty import coverage_curve
from pyro_rationale.inference.limits import TRUSTED
from pyro_rationale.prediction.labels import tau_label
from pyro_rationale.reporting.html.context import Chart
from pyro_rationale.reporting.html.payload import percent
from pyro_rationale.reporting.plots.calibration import plot_reliability
from pyro_rationale.reporting.plots.confusion import plot_confusion
from pyro_rationale.reporting.plots.posterior import (
    Histogram,
    MaskDraws,
    Replicated,
    plot_khat,
    plot_predictive,
    plot_rates,
    plot_spans,
    rate_histogram,
    replicated_targets,
    shapes_of,
    span_histogram,
)
from pyro_rationale.reporting.plots.predictions import plot_predictions
from pyro_rationale.reporting.plots.svg import draw_svg
from pyro_rationale.reporting.plots.training import plot_training, recorded_series
from pyro_rationale.reporting.plots.uncertainty import plot_coverage, plot_pit
from pyro_rationale.reporting.prior_words import ENDLESS, prior_words
from pyro_rationale.tasks._numerals import number_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from xarray import DataTree

    from pyro_rationale.prediction.predictor import Prediction
    from pyro_rationale.training.history import EpochRecord

TRAINING = {
    "loss": "Training loss",
    "rate": "Share of words kept in training",
    "error": "Error on held-out texts",
    "elbo": "ELBO on held-out texts",
}
SCATTERS = 4  # targets that get a chart of their own
GOLD = {"annotated rationale": "gold", "rating words": "opinion"}  # fields of a document


def training_charts(history: Sequence[EpochRecord], error_name: str = "") -> Iterator[Chart]:
    """Loss, rate and held-out figures; what was not recorded is left out.

    Args:
        history: of training.
        error_name: what the error on held-out texts is, for people, as :attr:`Task.error_name
            <pyro_rationale.tasks.Task.error_name>` says it; empty if that is unknown.
    """
    best = [record.epoch for record in history if "best" in record.event]
    warm = any(record.untrained for record in history) and not all(record.untrained for record in history)
    ground = ("The warm-up, on a grey ground, first teaches the encoder to read.",) if warm else ()
    notes = {
        "loss": ground + events(history),
        "error": tuple(f"Epoch {epoch} was chosen." for epoch in best[-1:]),
    }
    for quantity, title in TRAINING.items():
        series = {name: values for name, (_, values) in recorded_series(history, quantity).items()}
        if series:
            known = {name: [value for value in values if math.isfinite(value)] for name, values in series.items()}
            changes = "; ".join(f"{name} from {_plain(v[0])} to {_plain(v[-1])}" for name, v in known.items())
            yield Chart(
                f"chart-{quantity}",
                title,
                f"{title} over {len(history)} epochs: {changes}.",
                draw_svg(partial(plot_training, history=history, quantity=quantity, error_name=error_name), quantity),
                notes.get(quantity, ()),
                ("epoch", "step", *series),
                tuple(
                    (str(record.epoch), str(record.step), *map(_plain, values))
                    for record, *values in zip(history, *series.values(), strict=True)
                ),
            )


def events(history: Sequence[EpochRecord]) -> tuple[str, ...]:
    """Events of training, those of consecutive epochs in one line."""
    lines = []
    for event, group in groupby(history, key=lambda record: record.event):
        epochs = [record.epoch for record in group]
        if event not in ("", "best"):
            which = f"Epoch {epochs[0]}" if len(epochs) == 1 else f"Epochs {epochs[0]} to {epochs[-1]}"
            lines.append(f"{which}: {event}.")
    return tuple(lines)


def prior_guide_charts(
    draws: MaskDraws,
    prior: Mapping[str, float],
    requested: Mapping[str, float] | None = None,
    tau: float = 1.0,
    each: Mapping[str, Mapping[str, float]] | None = None,
) -> Iterator[Chart]:
    """Shares of words kept and lengths of runs, under the prior and under the guide.

    Args:
        draws: of the stored masks.
        prior: `rate` and `span` of the prior that the draws are from; where known, `share` and `run` in these texts.
        requested: `rate` and `span` of the prior that was asked for, if the run recorded it.
        tau: weight of the entropy that the guide was fitted with.
        each: priors of targets that have masks of their own, by their names; `prior` holds their means then.
    """
    moved = requested is not None and any(
        not math.isclose(requested[name], prior[name], rel_tol=1e-3) for name in ("rate", "span")
    )
    names = ["Prior, learned", "Prior asked for"] if moved else ["Prior"]
    notes = tuple(
        f"{name}: {prior_words(own)}."
        for name, own in zip(names, (prior, requested), strict=False)
        if own is not None
    )
    notes += tuple(f"Prior of {name}: {prior_words(own, texts=ENDLESS)}." for name, own in (each or {}).items())
    notes = (*notes, f"Guide: q(z | x), {tau_label(tau)}; it has not seen the targets.")
    line = requested if moved and requested is not None else {"rate": math.nan, "span": math.nan}
    rates = rate_histogram(draws.rates, draws.prior_rates)
    drawing = draw_svg(lambda axes: plot_rates(axes, draws.rates, draws.prior_rates, line["rate"]), "kept")
    lows = [percent(low) for low in rates.edges[:-1]]
    yield _histogram_chart("kept", "Share of words kept", rates, drawing, notes, "words kept, from", lows)
    runs = span_histogram(draws.runs, draws.prior_runs)
    drawing = draw_svg(lambda axes: plot_spans(axes, draws.runs, draws.prior_runs, line["span"]), "span")
    lows = [str(1 + i) for i in range(len(runs.prior))]
    yield _histogram_chart("span", "Length of runs of kept words", runs, drawing, (), "words", lows)


def _histogram_chart(
    id: str, title: str, bins: Histogram, drawing: str, notes: tuple[str, ...], header: str, lows: list[str]
) -> Chart:
    if bins.open:
        lows[-1] += " and more"
        notes = (*notes, "The last bin also holds what lies above it.")
    rows = tuple((low, percent(a), percent(b)) for low, a, b in zip(lows, bins.guide, bins.prior, strict=True))
    means = [_plain(mean) for mean in bins.means]
    description = f"{title}: mean {means[0]} under the guide, {means[1]} under the prior."
    return Chart(f"chart-{id}", title, description, drawing, notes, (header, "guide", "prior"), rows)


def posterior_charts(draws: DataTree) -> Iterator[Chart]:
    """Predictive checks, a chart per target, and how far importance weights can be trusted; none without targets.

    Of so few draws that no k-hat can be had, none of trust.

    Args:
        draws: `posterior.nc`, opened.
    """
    for i, target in enumerate(replicated_targets(draws)[:SCATTERS]):
        if target is not None:
            known = int(np.isfinite(target.observed).sum())
            yield Chart(
                f"chart-{'frequencies' if target.classes else 'predictive'}-{i}",
                f"{'Classes' if target.classes else 'Ratings'} drawn from the model, and observed: {target.name}",
                f"Distribution of {target.name} over {known} documents, beside that of {len(target.drawn)} replicated "
                "data sets.",
                draw_svg(partial(_draw_predictive, target=target), f"predictive{i}"),
            )
    khat = shapes_of(draws)
    if khat is not None and len(known_khat := khat[~np.isnan(khat)]):
        trusted = percent(float(np.mean(known_khat <= TRUSTED)))
        said = f"k-hat is up to {TRUSTED} on {trusted} of {len(known_khat)} documents."
        yield Chart("chart-khat", "Trust in importance weights", said, draw_svg(partial(plot_khat, khat=khat), "khat"),
                    (said,))  # fmt: skip


def _draw_predictive(axes: Axes, target: Replicated) -> Axes:
    return plot_predictive(axes, *target, columns=1)  # beside each other they overlap in the wider letters of the page


def prediction_charts(predictions: Sequence[Prediction], spec: TargetSpec) -> Iterator[Chart]:
    """Predicted against true ratings, a chart per target; none for classes."""
    if not spec.ranges:
        return
    for target, name in enumerate(spec.names[:SCATTERS]):
        known = [p for p in predictions if p.document.targets and math.isfinite(p.document.targets[target])]
        if known:
            truth = np.array([prediction.document.targets[target] for prediction in known])
            values = np.array([prediction.predicted[target] for prediction in known])
            error = f"ean squared error {_plain(float(np.mean((values - truth) ** 2)))}"
            yield Chart(
                f"chart-scatter-{target}",
                f"Predicted against true: {name}",
                f"Predicted against true {name} of {len(known)} documents, m{error}.",
                draw_svg(
                    partial(plot_predictions, truth=truth, predicted=values, scale=spec.ranges[target]),
                    f"scatter{target}",
                ),
                (f"M{error} of the values shown.",),
            )


def uncertainty_charts(curves: Mapping[str, Any]) -> Iterator[Chart]:
    """Whether predictive distributions are right: of ratings the integral transform and coverage; of classes, a curve.

    Args:
        curves: of an evaluation, by name.
    """
    transforms = curves.get("pit", {})
    for target, (name, counts) in enumerate(list(transforms.items())[:SCATTERS]):
        total, edges = sum(counts), np.linspace(0.0, 1.0, len(counts) + 1)
        yield Chart(
            f"chart-pit-{target}",
            f"Where true ratings lie in their distributions: {name}",
            f"Probability integral transform of {name}, {total:.0f} documents: shares of "
            f"{percent(min(counts) / total)} to {percent(max(counts) / total)} in {len(counts)} bins.",
            draw_svg(partial(plot_pit, counts=counts), f"pit{target}"),
            (),
            ("probability, from", "documents"),
            tuple((percent(low), f"{round(count, 2):,g}") for low, count in zip(edges, counts, strict=False)),
        )
    if transforms:
        covered = {name: coverage_curve(np.array(counts)) for name, counts in transforms.items()}
        levels = next(iter(covered.values()))[0].tolist()
        last = percent(levels[-2])
        told = "; ".join(f"{name} {percent(shares[-2])} at {last}" for name, (_, shares) in covered.items())
        yield Chart(
            "chart-coverage",
            "Truth in intervals of each level",
            f"Share of true ratings within central intervals: {told}.",
            draw_svg(partial(plot_coverage, counts=transforms), "coverage"),
            (),
            ("level", *covered),
            tuple(
                (percent(level), *(percent(shares[i]) for _, shares in covered.values()))
                for i, level in enumerate(levels)
            ),
        )
    if "reliability" in curves:
        curve = Curve.from_dict(curves["reliability"])
        labels = f"of {int(curve.count.sum()):,} labels"
        error = f"Expected calibration error: {curve.ece:.3f}; {labels}, chance alone makes {curve.chance_ece:.3f}."
        yield Chart(
            "chart-classes",
            "Probability of the predicted class",
            f"Reliability curve of the likeliest class. {error}",
            draw_svg(
                lambda axes: plot_reliability(
                    axes, {"likeliest class": curve}, "probability of the class", "share of right predictions"
                ),
                "classes",
            ),
            (error,),
            ("mean probability", "right", "labels"),
            tuple(
                (percent(confidence), percent(accuracy), f"{int(count):,}")
                for confidence, accuracy, count in zip(curve.confidence, curve.accuracy, curve.count, strict=True)
            ),
        )


def class_charts(metrics: Mapping[str, Any]) -> Iterator[Chart]:
    """True against predicted classes, a chart per target, with the figures of each class as its table.

    Args:
        metrics: of an evaluation, by name.
    """
    targets = {"": metrics} if "classes" in metrics else metrics.get("aspects", {})
    found = [(name, figures) for name, figures in targets.items() if "classes" in figures]
    for target, (name, figures) in enumerate(found[:SCATTERS]):
        classes, counts = figures["classes"], figures["confusion"]
        told = "; ".join(
            f"{label} {percent(each['recall'])} of {each['documents']:,} found" for label, each in classes.items()
        )
        yield Chart(
            f"chart-confusion-{target}",
            f"True and predicted classes{f': {name}' if name else ''}",
            f"Confusion matrix. {told}.",
            draw_svg(partial(plot_confusion, counts=counts), f"confusion{target}"),
            (
                "Documents of each true class (rows) by the class that is predicted from the average over masks; the "
                "stronger the colour, the larger the share of the row.",
                _macro_f1(figures),
            ),
            ("class", "documents", "precision", "recall", "F1"),
            tuple(
                (label, f"{each['documents']:,}", percent(each["precision"]), percent(each["recall"]),
                 f"{each['f1']:.3f}")
                for label, each in classes.items()
            ),
        )  # fmt: skip


def _macro_f1(figures: Mapping[str, Any]) -> str:
    """The figure in a sentence, or why there is none."""
    absent = [label for label, each in figures["classes"].items() if not each["documents"]]
    if absent:
        return f"No macro F1: none of the documents is {' or '.join(absent)}."
    name = "averaged_macro_f1" if "averaged_macro_f1" in figures else "macro_f1"
    return f"Macro F1: {_plain(figures[name])}."


def reliability_charts(predictions: Sequence[Prediction]) -> Iterator[Chart]:
    """Inclusion probabilities against each kind of gold that some document has, in one chart; none without gold."""
    curves: dict[str, Curve] = {}
    notes = []
    for name, field in GOLD.items():
        words = words_of(predictions, field)
        if words is None:
            continue
        values = calibration_metrics(words, bins=10)
        whole, ambiguous = values["all"], values["ambiguous"]
        curves[name] = Curve.from_dict(whole["curve"])
        hard = "" if ambiguous is None else f"; {ambiguous['ece']:.3f} over words with P > 0.05 or marked"
        notes.append(f"{name}: {whole['ece']:.3f} ({whole['ece_low']:.3f} to {whole['ece_high']:.3f}){hard}.")
    if curves:
        yield Chart(
            "chart-reliability",
            "Inclusion probabilities under the guide, and what annotators marked",
            f"Reliability curve. Expected calibration error: {' '.join(notes)}",
            draw_svg(
                lambda axes: plot_reliability(
                    axes, curves, "inclusion probability under the guide", "share of words marked by annotators"
                ),
                "reliability",
            ),
            ("Expected calibration error, with its 95 % interval:", *notes),
            ("marked", "mean probability", "share marked", "words"),
            tuple(
                (name, percent(confidence), percent(accuracy), f"{int(count):,}")
                for name, curve in curves.items()
                for confidence, accuracy, count in zip(curve.confidence, curve.accuracy, curve.count, strict=True)
            ),
        )


def words_of(predictions: Sequence[Prediction], field: str) -> Forecasts | None:
    """The words of all documents with a rationale in this field; `None` if no word is in one."""
    marked = [(i, p, getattr(p.document, field)) for i, p in enumerate(predictions) if p.inclusion]
    known = [(i, p, gold) for i, p, gold in marked if gold is not None]
    if not any(any(gold) for _, _, gold in known):
        return None
    return Forecasts(
        np.concatenate([p.inclusion for _, p, _ in known]).clip(0.0, 1.0),
        np.concatenate([np.array(gold, dtype=bool) for _, _, gold in known]),
        np.concatenate([np.full(len(gold), i) for i, _, gold in known]),
    )


def _plain(value: float) -> str:
    """Three digits, and a proper minus sign; a hyphen for a figure that there is not."""
    return "-" if math.isnan(value) else number_text(value, ".3g").replace("-", "\N{MINUS SIGN}")
