"""From a run's records and predictions to the context of its report."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyro_rationale import __version__
from pyro_rationale.config import Config
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.evaluation.metrics import metric_named
from pyro_rationale.evaluation.options import BASELINE_TITLES, MOSTLY, SAMPLES
from pyro_rationale.prediction.labels import inclusion_label
from pyro_rationale.reporting.advice import Followed, followed
from pyro_rationale.reporting.console import label_of, shown_metrics
from pyro_rationale.reporting.html.charts import (
    class_charts,
    posterior_charts,
    prediction_charts,
    prior_guide_charts,
    reliability_charts,
    training_charts,
    uncertainty_charts,
)
from pyro_rationale.reporting.html.context import Chart, ReportContext, Section, Tile
from pyro_rationale.reporting.html.meanings import explained
from pyro_rationale.reporting.html.payload import metric_text, percent
from pyro_rationale.reporting.phrases import phrase_groups
from pyro_rationale.reporting.plots.posterior import MaskDraws, kept_words
from pyro_rationale.reporting.prior_words import ENDLESS, prior_line, prior_words
from pyro_rationale.tasks import Decision, task_of
from pyro_rationale.tasks._decision import rule_lines
from pyro_rationale.tasks._numerals import number_text

if TYPE_CHECKING:
    from xarray import DataTree

    from pyro_rationale.prediction.options import PredictOptions
    from pyro_rationale.prediction.predictor import Prediction
    from pyro_rationale.training.history import EpochRecord

RULES = {
    "agreeing": "the most probable rationale that predicts what all of them do on average",
    "mode": "the most probable rationale",
    "threshold": "the words above the threshold of --threshold",
    "sample": "one rationale drawn at random",
    "share": "as large a share of each text as --share says",
}


def build_report(
    predictions: Sequence[Prediction],
    options: PredictOptions,
    config: Config,
    spec: TargetSpec,
    name: str,
    *,
    metrics: Mapping[str, Any],
    curves: Mapping[str, Any] | None = None,
    data: str = "",
    drawn: str = "",
    history: Sequence[EpochRecord] = (),
    stored: Mapping[str, Any] | None = None,
    baselines: Mapping[str, Mapping[str, Any]] | None = None,
    draws: DataTree | None = None,
    decision: Decision | None = None,
) -> ReportContext:
    """Gathers the records and draws the charts.

    Args:
        predictions: of the documents to list.
        options: those that the predictions were made with.
        config: of the run.
        spec: what is predicted.
        name: the run's.
        metrics: of these predictions, by name.
        curves: of these predictions, by name, as :attr:`Evaluation.curves
            <pyro_rationale.evaluation.evaluate.Evaluation.curves>` has them.
        data: where the documents are from, for people; default: the corpus of the run.
        drawn: how they were chosen among those, in a sentence; empty for all.
        history: of training; empty if it was not recorded.
        stored: `metrics.json` of the run, with its best epoch, noise floor and prior; empty for an unfinished run.
        baselines: figures of other ways to predict, by their names: of these documents, or of the split that they were
            drawn from.
        draws: `posterior.nc`, opened; `None` leaves the comparison of prior and guide out.
        decision: the run's rule that names classes; `None`: the most probable one is named.
    """
    stored, averaged = stored or {}, options.predict == "average"
    decision = decision if averaged or decision is None else decision.of_one_mask
    metrics = without_absent(metrics)
    rated = sum(prediction.document.has_target for prediction in predictions)
    done = followed(config, spec)
    calibration = [*uncertainty_charts(curves or {}), *reliability_charts(predictions)]
    diagnostics = {
        ("training", "Training"): training_charts(history, task_of(spec).error_name),
        ("selection", "Prior and guide"): () if draws is None else _prior_guide(draws, stored),
        ("posterior", "Model and posterior"): () if draws is None else posterior_charts(draws),
    }
    return ReportContext(
        title=f"Rationales of {name}",
        spec=spec,
        documents=tuple(predictions),
        lead=lead_of(metrics, options.level, averaged, baselines, rated, options.samples),
        drawn=drawn,
        phrases=phrase_groups(predictions, spec, decision),
        facts=facts_of(config, spec, name, data, history, stored),
        tiles=tiles_of(metrics, options.level, stored.get("noise_floor"), averaged, rated),
        metrics=tuple((label_of(metric), metric_text(metric, metrics)) for metric in shown_metrics(metrics)),
        quality=tuple(explained([*prediction_charts(predictions, spec), *class_charts(metrics)], done)),
        sections=_sections({("calibration", "Calibration and coverage"): calibration}, done),
        diagnostics=_sections(diagnostics, done),
        rule=RULES[options.decode],
        decision=decision,
        averaged=averaged,
        inclusion=inclusion_label(config.tau),
        level=options.level,
        version=__version__,
    )


def without_absent(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics without a macro F1 that counts a class which no document has.

    A text that is taken for such a class gives it an F1 of 0, however right the model may be where the class occurs.
    """
    aspects = {name: without_absent(own) for name, own in metrics.get("aspects", {}).items()}
    of_classes = metrics.get("classes", {}).values()
    absent = any(not row["documents"] for row in of_classes) or any(
        "classes" in own and not {"macro_f1", "averaged_macro_f1"} & own.keys() for own in aspects.values()
    )
    kept = {name: value for name, value in metrics.items() if not (absent and name.endswith("macro_f1"))}
    return kept | ({"aspects": aspects} if aspects else {})


def _sections(charts: Mapping[tuple[str, str], Iterable[Chart]], done: Followed) -> tuple[Section, ...]:
    """Those of the sections, by id and title, that have a chart; each chart with its meaning."""
    made = (Section(id, title, tuple(explained(drawn, done))) for (id, title), drawn in charts.items())
    return tuple(section for section in made if section.charts)


def _prior_guide(draws: DataTree, stored: Mapping[str, Any]) -> Iterator[Chart]:
    prior = {key: float(draws.attrs[f"prior_{key}"]) for key in ("rate", "span")}
    # A chain's rate and span are those of an endless text; a learned one keeps far less of texts of real lengths.
    prior |= kept_words(draws, "prior")
    asked, each = stored.get("prior_asked"), stored.get("priors") or {}
    return prior_guide_charts(MaskDraws.of(draws), prior, asked, float(draws.attrs["tau"]), each)


def source_of(data: str) -> str:
    """The name of a corpus without the folders of the machine that it lies on: `reviews.csv` of `/srv/reviews.csv`."""
    kind, colon, path = data.partition(":")
    if colon and len(kind) > 1 and "/" not in kind:  # one letter: the drive of a Windows path
        return f"{kind}:{source_of(path)}"
    return re.split(r"[/\\]", data.rstrip("/\\"))[-1]


def lead_of(
    metrics: Mapping[str, Any],
    level: float,
    averaged: bool = False,
    baselines: Mapping[str, Mapping[str, Any]] | None = None,
    rated: int | None = None,
    samples: int = SAMPLES,
) -> str:
    """The result in one line, of those figures that are known.

    Args:
        metrics: by name.
        level: probability of the intervals.
        averaged: whether the predictions that are shown average over masks.
        baselines: figures of other ways to predict, by their names.
        rated: number of documents whose truth is known; default: all.
        samples: masks of each document that the predictions and intervals are made of.
    """
    count = metrics.get("documents")
    rated = count if rated is None else rated
    said = [f"{metric_text('documents', metrics)} documents"] if count is not None else []
    for name, text in (("accuracy", "{} of the predictions right"), ("mse", "squared error {}")):
        shown = _shown(name, metrics, averaged)
        if shown in metrics:
            said += [text.format(_brief(name, metrics[shown])), *_beside(name, baselines or {}, rated)]
    if "covered" in metrics:
        share = metrics["covered"]
        around = f" of {rated:,} (± {margin(share, rated)})" if rated else ""
        said.append(f"truth in {percent(level)} intervals {_brief('covered', share)}{around}")
    if "selected" in metrics:
        shared = metrics.get("shared", 0.0)
        also = f", {percent(shared)} of them for several targets" if shared > MOSTLY else ""
        said.append(f"{metric_text('selected', metrics)} of the words kept{also}")
    if averaged and rated and samples != SAMPLES:
        said.append(f"averaged over {samples} masks per document (fit and evaluate: {SAMPLES})")
    return "; ".join(said)


def _shown(name: str, metrics: Mapping[str, Any], averaged: bool) -> str:
    """The metric of the predictions that are shown, which may average over masks."""
    return f"averaged_{name}" if averaged and f"averaged_{name}" in metrics else name


def _beside(name: str, baselines: Mapping[str, Mapping[str, Any]], rated: int | None) -> Iterator[str]:
    """A phrase with the value that each baseline has in a metric; nothing where none has one."""
    others = {key: baselines[key] for key in BASELINE_TITLES if name in baselines.get(key, {})}
    if not others:
        return
    titles = BASELINE_TITLES | ({"constant": "the most frequent class"} if name == "accuracy" else {})
    verbs = [" has", *[""] * (len(others) - 1)]
    said = ", ".join(
        f"{titles[key]}{verb} {_brief(name, figures[name])}"
        for verb, (key, figures) in zip(verbs, others.items(), strict=True)
    )
    count = next(iter(others.values())).get("documents")
    yield said + (f" (of all {count:,} test texts)" if count is not None and count != rated else "")


def margin(share: float, count: int) -> str:
    """Two standard errors of a share of `count`, in percentage points.

    Two hits and two misses are added (Agresti and Coull 1998): a share of 0 or 1 is not certain.
    """
    near = (share * count + 2) / (count + 4)
    points = 200 * math.sqrt(near * (1 - near) / (count + 4))
    return f"{points:.0f}" if points >= 1 else f"{points:.1f}"


def _brief(name: str, value: float) -> str:
    """A metric with two or three digits."""
    metric = metric_named(name)
    percent = metric is not None and metric.format == "%"
    return f"{100 * value:.0f} %" if percent else number_text(value, "#.3g").rstrip(".")


def facts_of(
    config: Config, spec: TargetSpec, name: str, data: str, history: Sequence[EpochRecord], stored: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """Label and value of where the report's numbers come from."""
    facts = [
        ("run", name),
        ("documents", source_of(data or config.data.data)),
        ("predicted", task_of(spec).describe()),
        ("guide", config.guide),
        ("tau", f"{config.tau:g}" + (", which sharpens the guide" if config.tau < 1.0 else "")),
        ("estimator", config.estimator),
        ("seed", str(config.seed)),
    ]
    if (members := config.members) > 1:
        facts[-1] = ("members", f"{members}, of seeds {config.seed} to {config.seed + members - 1}")
    if stored.get("prior") and stored.get("prior_asked"):
        line = prior_line(stored["prior"], stored["prior_asked"], stored.get("constraint", {}), config.unit)
        each = stored.get("priors") or {}
        facts.append(("prior, mean of the targets" if each else "prior", line.removeprefix("prior: ")))
        facts += [(f"prior, {name}", prior_words(own, config.unit, ENDLESS)) for name, own in each.items()]
    facts += [("class", line) for line in rule_lines(stored.get("decision") or {})]
    epoch = stored.get("best_epoch")
    if history:
        facts.append(("epochs", f"{history[-1].epoch}" + (f", number {epoch} chosen" if epoch else "")))
    return tuple(facts)


# The metrics that people look for first: name, label and note.
TILES = (
    ("documents", "documents", ""),
    ("accuracy", "accuracy", ""),
    ("macro_f1", "macro F1", "mean of the classes' F1"),
    ("log_loss", "log loss", "nats per label"),
    ("mse", "squared error", "{floor}"),
    ("covered", "truth in interval", "{level} expected{around}"),
    ("selected", "words kept", ""),
    ("span", "mean run", "kept words in a row"),
    ("empty", "nothing kept", "share of documents"),
    ("precision", "precision", "kept words that annotators marked"),
    ("recall", "recall", "marked words that are kept"),
    ("opinion_recall", "opinion recall", "rating words that are kept"),
    ("elbo", "ELBO", "nats per document"),
    ("expected_cost", "expected cost", "as in Lei et al. (2016)"),
)


def tiles_of(
    metrics: Mapping[str, Any],
    level: float,
    noise_floor: float | None = None,
    averaged: bool = False,
    rated: int = 0,
) -> tuple[Tile, ...]:
    """The tiles of those metrics that are known.

    Args:
        metrics: by name.
        level: probability of the intervals.
        noise_floor: the least squared error possible, if it is known.
        averaged: whether the predictions that are shown average over masks.
        rated: number of documents whose truth is known; 0 leaves out how far shares of them can be trusted.
    """
    around = ""
    if "covered" in metrics and rated:
        points = margin(metrics["covered"], rated)
        around = f"; ± {points} points: two standard errors of a share of {rated:,}"
    floor = "" if noise_floor is None else f"{number_text(noise_floor)} is the ratings' own noise"
    words = {"floor": floor, "level": percent(level), "around": around}
    made = []
    for name, label, note in TILES:
        shown = _shown(name, metrics, averaged)
        if shown in metrics:
            twice = shown != name and name in metrics
            notes = [f"from the kept words alone {metric_text(name, metrics)}"] if twice else []
            if text := note.format(**words):
                notes.append(text)
            made.append(Tile(label, metric_text(shown, metrics), "; ".join(notes)))
    return tuple(made)
