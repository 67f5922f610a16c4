"""Draws, figures and a report of a run's rationales: `python -m pyro_rationale.inspect --run RUN [--data ...]`.

Writes into a folder: `posterior.nc` (ArviZ groups; `pyro_rationale.prediction.netcdf.load` reads it), figures of prior
against guide, of the predictive check and of the importance weights (PNG), and `report.html`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.table import Table

from pyro_rationale.cli.common import Command, make_folder
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.sampling import sample_documents
from pyro_rationale.data.selection import select_documents
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.evaluation.metrics.selection import count_runs, selection_metrics
from pyro_rationale.inference.limits import FEWEST_DRAWS, TRUSTED
from pyro_rationale.optional import optional
from pyro_rationale.options import device_option, given, options_from, run_option, split_option
from pyro_rationale.prediction.labels import in_percent
from pyro_rationale.prediction.netcdf import ENGINES, open_groups
from pyro_rationale.prediction.options import ExplainOptions, PredictOptions, Size
from pyro_rationale.reporting.advice import followed, nearer_posterior
from pyro_rationale.reporting.console import counting, format_value
from pyro_rationale.reporting.plots import posterior_figures, save_figure
from pyro_rationale.reporting.plots.posterior import kept_words, shapes_of
from pyro_rationale.reporting.prior_words import constraint_words
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.storage import remove_leftovers
from pyro_rationale.training.history import read_history

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.predictor import Prediction

FILE, REPORT, FOLDER = "posterior.nc", "report.html", "inspect"
FIGURES = ("rate", "spans", "predictive", "khat")


@click.command(cls=Command)
@run_option
@click.option("--out", type=click.Path(path_type=Path), help=f"folder for the results [default: {FOLDER} in the run's]")
@click.option("--documents", "number", default=200, show_default=True, type=click.IntRange(min=1),
              help="documents to inspect: drawn at random if the split has more, each class with its share")
@split_option
@click.option("--samples", default=Size.samples, show_default=True, type=int,
              help="masks drawn per document, in all chains together; as many from the prior")
@click.option("--chains", default=Size.chains, show_default=True, type=int,
              help="sets that the draws are divided into; --samples is rounded up to a multiple")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1),
              help="seed of all draws, and of the choice of documents")
@click.option("--report/--no-report", default=True, show_default=True, help=f"write {REPORT} as well")
@click.option("--force", is_flag=True, help="replace what an earlier inspection left")
@click.option("--quiet", is_flag=True, help="no progress, only the summary")
@options_from(DataOptions, show_defaults=False, without=("documents",))
@device_option
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 1024), help="CPU threads")
def inspect(
    flags: DataOptions,
    folder: Path,
    out: Path | None,
    number: int,
    split: str,
    samples: int,
    chains: int,
    seed: int,
    report: bool,
    force: bool,
    quiet: bool,
    device: str,
    threads: int,
) -> None:
    """Draw rationales from a run's guide, prior and posterior, and write them to a file, figures, and a report.

    The guide reads the text alone. Where a rating is known, its draws are resampled by importance weights into draws
    of the posterior p(z | x, y), and k-hat says how far those can be trusted. Flags about the data are as in the run
    where they are not given. Draws are independent; chains are sets of them, for tools that expect several. Of a run
    that ranks texts there is the report alone: the queries ranked best and worst, side by side with what was found.
    """
    size = Size(samples, chains)
    import torch

    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.inference_data import write_posterior
    from pyro_rationale.prediction.predictor import predict
    from pyro_rationale.reporting.html.build import source_of

    torch.set_num_threads(threads)
    fitted = FittedModel.load(folder, device)
    results = out or folder / FOLDER
    if fitted.task.of_pairs:
        inspect_pairs(fitted, flags, folder, results, number, split, report, force)
        return
    check_folder(results, report, force)
    check_extras(report)
    chosen = select_documents(fitted.config.data, flags, given(), split, fitted.spec, fitted.rows)
    sample = sample_documents(chosen.documents, number, fitted.spec, seed)
    documents = sample.documents
    make_folder(results, [folder])
    for name in (FILE, REPORT, *(f"{name}.png" for name in FIGURES)):
        remove_leftovers(results / name)
    with counting("drawing", len(documents), quiet) as advance:
        write_posterior(results / FILE, fitted, documents, size, seed, advance)
    done = followed(fitted.config, fitted.spec)
    with open_groups(results / FILE) as groups:
        written = [FILE, *draw(results, groups)]
        lines = khat_lines(groups["sample_stats/khat"].values, size.chains * size.draws, done)
        predictions = []
        if report:
            options = ExplainOptions(samples=size.chains * size.draws, seed=seed)  # the draws of the file
            with counting("reading", len(documents), quiet) as advance:
                for prediction in predict(fitted, documents, options):
                    predictions.append(prediction)
                    advance()
            title = f"{source_of(chosen.options.data)} ({chosen.split})"
            measured = chosen.as_fitted and chosen.split == "test"
            drawn = sample.told(chosen.split)
            write_page(results / REPORT, fitted, predictions, folder, title, options, groups, measured, drawn)
            written.append(REPORT)
        summary = summarise(groups, [part.kept for one in predictions for part in one.aspects or (one,)])
    console = Terminal()
    console.print(summary)
    if sample.drawn:
        console.say(f"documents: {sample.told(chosen.split)}")
    for line in lines:
        console.say(line)
    prior = fitted.model.prior.describe(fitted.model.gain)
    console.say(
        f"prior: {prior['alpha']:.3g} nats per kept {fitted.config.unit}, {prior['gamma']:.3g} per change"
    )
    if fitted.aspects > 1:
        console.say("that is the mean of the targets; each has its own in metrics.json and posterior.nc (priors)")
    if charged := constraint_words(asdict(fitted.model.constraint)):
        console.say(f"constraint of training, which is no part of the prior: {charged}")
    if fitted.noises is not None:
        shown, inferred = fitted.noises
        known = fitted.calibration is not None and fitted.calibration.noise is not None
        factor = ", times a factor for what was read" * known
        console.say(
            f"noise of a rating, as a share of its scale: {shown:.4f} in predictions{factor}; {inferred:.4f} for "
            f"finding masks, where a rating counts {(shown / inferred) ** 2:.3g} times (kappa)"
        )
    console.say(f"written to {results}: {', '.join(written)}")


def inspect_pairs(
    fitted: FittedModel,
    flags: DataOptions,
    folder: Path,
    results: Path,
    number: int,
    split: str,
    report: bool,
    force: bool,
) -> None:
    """Write the report of a run that ranks texts: `number` queries, half of them the best and half the worst.

    Raises:
        ConfigError: the report is not wanted.
        RunError: it is there already.
    """
    from pyro_rationale.data.pairs import PairCorpus
    from pyro_rationale.evaluation.ranking import evaluate_ranked, rank
    from pyro_rationale.reporting.html.build import source_of
    from pyro_rationale.reporting.html.pairs import build_pairs_report, write_pairs_report
    from pyro_rationale.run_files import EPOCHS

    if not report:
        raise ConfigError("--no-report: of a run that ranks texts there is nothing but the report; leave it out")
    optional("matplotlib", "figures need")
    if (results / REPORT).exists() and not force:
        raise RunError(f"{results / REPORT}: is there already; replace it with --force, or change --out")
    chosen = select_documents(fitted.config.data, flags, given(), split, fitted.spec, fitted.rows)
    assert isinstance(chosen.corpus, PairCorpus)
    make_folder(results, [folder])
    remove_leftovers(results / REPORT)
    ranking = rank(fitted, chosen.corpus, chosen.split)
    metrics = evaluate_ranked(fitted, ranking).metrics
    facts = [
        ("texts", f"{source_of(chosen.options.data)} ({chosen.split})"),
        ("guide", fitted.config.guide),
        ("estimator", fitted.config.estimator),
        ("seed", str(fitted.config.seed)),
        ("compared", "kept words with " + ("whole texts" if fitted.config.model.match == "full" else "kept words")),
        ("temperature", f"{ranking.temperature:.3g}"),
    ]
    history = read_history(folder / EPOCHS)
    queries = list(ranking.ranked(max(number // 2, 1)))
    write_pairs_report(results / REPORT, build_pairs_report(queries, metrics, fitted.name, facts, history))
    Terminal().say(f"written to {results}: {REPORT}")


# Before the work.


def check_folder(results: Path, report: bool, force: bool) -> None:
    """Make sure that nothing is overwritten that should not be.

    Raises:
        RunError: the folder is a file, or holds results.
    """
    if results.exists() and not results.is_dir():
        raise RunError(f"--out {results}: is a file; name a folder")
    names = [FILE, *(f"{name}.png" for name in FIGURES), *([REPORT] if report else [])]
    there = [name for name in names if (results / name).exists()]
    if there and not force:
        raise RunError(f"{results / there[0]}: is there already; replace it with --force, or change --out")


def check_extras(report: bool) -> None:
    """Find out before the work what is not installed.

    Raises:
        ConfigError: something.
    """
    for name in ENGINES:
        optional(name, "stored draws need")
    optional("xarray", "stored draws need")
    optional("matplotlib", "figures need")
    if report:
        optional("jinja2", "the report (or give --no-report) needs")


# The work.


def draw(results: Path, groups: Any) -> list[str]:
    """All figures as PNG; the names of their files. One that these draws do not have is removed, if it is there."""
    figures = posterior_figures(groups)
    for name in FIGURES:
        path = results / f"{name}.png"
        if name not in figures:
            path.unlink(missing_ok=True)
            continue
        save_figure(figures[name], path)
    return [f"{name}.png" for name in FIGURES if name in figures]


def write_page(
    path: Path,
    fitted: FittedModel,
    predictions: Sequence[Prediction],
    folder: Path,
    data: str,
    options: PredictOptions,
    groups: Any,
    measured: bool,
    drawn: str = "",
) -> None:
    """The report of the stored draws.

    Args:
        path: of the page.
        fitted: the run.
        predictions: of the documents to list.
        folder: of the run.
        data: where the documents are from, for people.
        options: those that the predictions were made with.
        groups: the stored draws, opened.
        measured: whether its documents are of those that the run's baselines were measured on.
        drawn: how they were chosen among these, in a sentence; empty for all.
    """
    from pyro_rationale.evaluation.evaluate import evaluate_predictions
    from pyro_rationale.evaluation.results import RunMetrics
    from pyro_rationale.reporting.html import build_report, write_report
    from pyro_rationale.run_files import EPOCHS, METRICS

    evaluation = evaluate_predictions(predictions, fitted.spec, fitted, options.seed)
    stored = asdict(RunMetrics.load(folder)) if (folder / METRICS).is_file() else {}
    report = build_report(
        predictions,
        options,
        fitted.config,
        fitted.spec,
        fitted.name,
        data=data,
        drawn=drawn,
        metrics=evaluation.metrics,
        curves=evaluation.curves,
        history=read_history(folder / EPOCHS),
        stored=stored,
        baselines=stored.get("baselines") if measured else None,
        draws=groups,
        decision=fitted.decision,
    )
    write_report(path, report)


def summarise(groups: Any, shown: Sequence[Sequence[bool]] = ()) -> Table:
    """Prior beside guide, and what the weights say.

    Args:
        groups: the stored draws, opened.
        shown: the masks of the report, which are no draws; empty without one.
    """
    sizes = groups["guide"].sizes
    title = f"{sizes['document']:,} documents, {sizes['chain']} x {sizes['draw']} draws each"
    table = Table(title=title, title_justify="left")
    for name in ("", "prior", "guide", *(["shown masks"] if shown else [])):
        table.add_column(name, justify="right" if name else "left")
    kept = [kept_words(groups, group) for group in ("prior", "guide")]
    runs = [float(groups[f"{group}/spans"].mean()) for group in ("prior", "guide")]
    if shown:
        figures = selection_metrics(shown)
        kept.append({"share": figures["selected"], "run": figures["span"]})
        runs.append(sum(map(count_runs, shown)) / len(shown))
    table.add_row("words kept", *(format_value("selected", each["share"]) for each in kept))
    table.add_row("words per run", *("-" if math.isnan(each["run"]) else f"{each['run']:.3g}" for each in kept))
    table.add_row("runs of kept words per document", *(f"{each:.2f}" for each in runs))
    khat = groups["sample_stats/khat"].values
    known = khat[~np.isnan(khat)]
    if len(known):
        ess, elpd = (groups[f"sample_stats/{name}"].values for name in ("ess", "elpd"))
        if shapes_of(groups) is not None:
            table.add_row(f"k-hat up to {TRUSTED}", "", f"{100 * np.mean(known <= TRUSTED):.0f} % of documents")
        table.add_row("effective draws, median", "", f"{np.nanmedian(ess):.0f}")
        table.add_row("log predictive density", "", f"{np.nanmean(elpd):.3f} nats per document")
    return table


def khat_lines(khat: Any, draws: int, done: Collection[str] = ()) -> list[str]:
    """Meaning of the weights' Pareto shapes for the draws of the posterior, in words; nothing where none is known.

    Args:
        khat: a shape per document, NaN where it is unknown.
        draws: of each document.
        done: advice that the run follows already, from :func:`pyro_rationale.reporting.advice.followed`.
    """
    known = khat[~np.isnan(khat)]
    if not len(known):
        return []
    group = "group posterior of posterior.nc, draws of masks once the target is known,"
    if draws < FEWEST_DRAWS:
        return [f"{group} cannot be judged: k-hat needs more than {draws} draws of each document (--samples)"]
    poor = float(np.mean(known > TRUSTED))
    if not poor:
        return [
            f"{group} passes: k-hat is up to {TRUSTED} on every document, so its weighted draws count as draws of "
            "p(z | x, y), at least among masks that the guide draws"
        ]
    return [
        f"{group} is of no use on {in_percent(poor)} of the documents: k-hat is above {TRUSTED}, for the target makes "
        "masks likely there that the guide hardly ever draws, and a few draws carry all the weight. Predictions and "
        "rationales, here, in the report and of other commands, are made without it",
        f"a guide nearer to the posterior: fit with {nearer_posterior(done)}; p(z | x, y) without a guide: study "
        "posterior",
    ]
