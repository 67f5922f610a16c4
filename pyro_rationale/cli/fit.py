"""Fit a rationale model: `python -m pyro_rationale.fit --guide relaxed`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from pyro_rationale.cli.common import Command
from pyro_rationale.cli.config_file import with_config_file
from pyro_rationale.cli.left_out import telling_left_out
from pyro_rationale.config import Config, ModelOptions, TrainOptions, value_of
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import FAILED, ConfigError
from pyro_rationale.options import given, options_from, with_given
from pyro_rationale.reporting.fit_progress import FitProgress
from pyro_rationale.reporting.terminal import Terminal, waiting
from pyro_rationale.training.launch_options import LaunchOptions

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.evaluation.results import RunMetrics
    from pyro_rationale.training.distributed import Group
    from pyro_rationale.training.ensemble import EnsembleRun
    from pyro_rationale.training.run import TrainingRun

SHOWN = 3  # documents at the end
BASELINES = {"none": (), "quick": ("tfidf",), "all": ("tfidf", "full-text")}


@click.command(cls=Command)
@options_from(DataOptions, ModelOptions, TrainOptions, LaunchOptions)
@click.option("--config", "file", type=click.Path(path_type=Path), help="options from a TOML file, or those of an "
              "earlier run from its folder; flags win over them")
@click.option("--out", type=click.Path(path_type=Path), help="run folder [default: runs/DATA-GUIDE-SEED]")
@click.option("--resume", is_flag=True, help="go on with the run in --out, to the same result; or with more --steps")
@click.option("--force", is_flag=True, help="replace the run in --out")
@click.option("--quiet", is_flag=True, help="no progress bar, only the result")
@click.option("--verbose", is_flag=True, help="every epoch, every setting and every figure of the result")
@click.option("--baselines", type=click.Choice(list(BASELINES)), default="all", show_default=True,
              help="what stands beside the result: quick, a linear model of tf-idf; all, the same encoder on whole "
                   "texts as well, trained for half of the steps")
def fit(
    data: DataOptions,
    model: ModelOptions,
    train: TrainOptions,
    devices: LaunchOptions,
    file: Path | None,
    out: Path | None,
    resume: bool,
    force: bool,
    quiet: bool,
    verbose: bool,
    baselines: str,
) -> int:
    """Fit a model that predicts from a few words of each text, and show which.

    Without any flag: planted reviews, chain guide, two to four minutes.

    Defaults are those for texts of your own under --preset balanced. Those that are called "by texts" are chosen once
    the texts are read, and then shown; short texts, pairs of texts, planted reviews and other presets have some others.

    Exit status 3, and a line that says FAILED: the model is worse than a constant prediction, or never came down to
    the requested share of words.
    """
    with waiting("loading PyTorch and Pyro", quiet):
        from pyro_rationale.data.loading import warn_of_ignored
        from pyro_rationale.training.fit import fit_run
        from pyro_rationale.training.launch import check_devices, launch, process_group
        from pyro_rationale.training.run_folder import alone, check_free, is_finished

    if resume and out is None:
        raise ConfigError("--resume goes on with a run folder; name it with --out")
    if resume and force:
        raise ConfigError("--resume goes on with the run and --force throws it away; give one of them")
    flags, typed = (data, model, train), given()
    if file is not None:
        flags, typed = with_config_file(flags, typed, file)
        train = flags[2]
    if devices.processes > 1:
        if (train.members or 1) > 1:
            raise ConfigError("--members: they are fitted one after the other by one process; leave --devices out")
        flags = (*flags[:2], replace(train, members=1))
    if devices.must_launch():
        config, folder = opened(flags, typed, out, resume)
        check_devices(devices, config.train.device, value_of(config.train, "batch_size"))
        if not (resume or force):
            check_free(folder)
        if not (resume and is_finished(config, folder)):
            own = ["-m", "pyro_rationale.fit", *sys.argv[1:]]
            return launch(devices, own if out is not None else [*own, "--out", str(folder)])
    with process_group(train.device) as group:
        config, folder = group.broadcast(lambda: opened(flags, typed, out, resume))
        wanted = BASELINES[baselines]
        more = wanted if "baselines" in typed else ()  # to be added to a finished run
        if group.broadcast(lambda: resume and is_finished(config, folder) and has_baselines(folder, more)):
            if group.main:
                return show_finished(Terminal(), folder, verbose)
        elif group.main:
            warn_of_ignored(config.data.data, typed)
            with alone(folder):
                return fit_and_show(config, folder, resume, force, quiet, verbose, wanted, group)
        else:
            fit_run(config, folder, resume, force, group=group)
    return 0


def opened(
    flags: tuple[DataOptions, ModelOptions, TrainOptions], typed: set[str], out: Path | None, resume: bool
) -> tuple[Config, Path]:
    """The configuration and the folder of the run.

    Raises:
        RationaleError: the options make no sense, or the run in the folder cannot be resumed.
    """
    from pyro_rationale.training.defaults import resolve
    from pyro_rationale.training.run_folder import check_same_config

    if resume and out is not None:
        config = resumed_config(flags, out, typed)
        check_same_config(config, out)
        return config, out
    config = Config(*flags)
    known = resolve(config)  # tells at once what does not go together
    return config, out if out is not None else free_folder(Path("runs") / default_name(known))


def fit_and_show(
    config: Config,
    folder: Path,
    resume: bool,
    force: bool,
    quiet: bool,
    verbose: bool,
    baselines: Sequence[str],
    group: Group,
) -> int:
    """Fit with a progress bar; print the result, or how to resume. The exit status."""
    from pyro_rationale.evaluation.results import finish_ensemble, finish_run
    from pyro_rationale.experiments.yardsticks import baseline_rows
    from pyro_rationale.run_files import CONFIG, METRICS
    from pyro_rationale.training.ensemble import EnsembleRun, fit_ensemble
    from pyro_rationale.training.fit import fit_run

    def rows_of(run: TrainingRun | EnsembleRun) -> dict[str, Any]:
        return baseline_rows(run, baselines, bar.on_reader_progress, console.say)

    def measured(finish: Callable[..., RunMetrics], run: TrainingRun | EnsembleRun) -> RunMetrics:
        try:
            rows = rows_of(run)
            with telling_left_out(run.fitted):
                return finish(run, rows, bar.on_test_progress)
        except BaseException as problem:  # what keeps a record of the fit closes it
            for member in run.members if isinstance(run, EnsembleRun) else (run,):
                member.tell_exception(problem)
            raise

    console = Terminal()
    finished: TrainingRun | EnsembleRun
    with FitProgress(console, quiet, verbose, reader="full-text" in baselines) as bar:
        try:
            if config.members > 1:
                finished = fit_ensemble(config, folder, resume, force, [bar], group=group)
                metrics = measured(finish_ensemble, finished)
            else:
                finished = fit_run(config, folder, resume, force, [bar], group=group)
                metrics = measured(finish_run, finished)
        except KeyboardInterrupt:
            bar.stop()
            begun = (folder / CONFIG).exists() and not (folder / METRICS).exists()
            way = f"Go on with: python -m pyro_rationale.fit --out {shlex.quote(str(folder))} --resume"
            console.say(f"\nInterrupted. {way if begun else 'Nothing was written.'}", whole=True)
            raise
    bar.ended(finished)
    show_metrics(console, metrics, finished.fitted.config, verbose)  # what was chosen by the texts included
    pairs = finished.fitted.task.of_pairs
    if pairs and "baselines" in given() and baselines:
        console.say("--baselines: pairs of texts have random order and BM25; study rankers compares other methods")
    (show_pairs if pairs else show_documents)(console, finished)
    use, command = ("Make texts searchable", "index") if pairs else ("Read texts", "explain")
    way = f"python -m pyro_rationale.{command} --run {shlex.quote(str(folder))}"
    console.say(f"\nRun folder: {folder}. {use} with: {way}", whole=True)
    return FAILED if metrics.failures else 0


def resumed_config(flags: tuple[DataOptions, ModelOptions, TrainOptions], folder: Path, typed: set[str]) -> Config:
    """The configuration of the run in `folder`, with the flags that the user typed.

    Raises:
        RunError: its configuration is damaged or of another version.
    """
    from pyro_rationale.run_files import CONFIG, read_config

    if not (folder / CONFIG).exists():
        return Config(*flags)
    own = read_config(folder)[0]
    data, model, train = flags
    return Config(
        with_given(own.data, data, typed), with_given(own.model, model, typed), with_given(own.train, train, typed)
    )


def default_name(config: Config) -> str:
    """`synthetic-relaxed-0`; for a path, its stem."""
    data = config.data.data
    stem = Path(data.partition(":")[2] or data).name.partition(".")[0] or "data"
    return f"{stem}-{config.guide}-{config.seed}"


def free_folder(path: Path) -> Path:
    """`path`, with the first number from 2 that makes it new if it exists: nothing is overwritten by default."""
    folder, number = path, 1
    while folder.exists():
        number += 1
        folder = path.with_name(f"{path.name}-{number}")
    return folder


def has_baselines(folder: Path, names: Sequence[str]) -> bool:
    """Whether the result of a finished run has these baselines, or no test texts to have them of.

    The full-text reader must be there, too: a folder that somebody shares may come without it.

    Raises:
        RunError: the file is damaged or of another version.
    """
    from pyro_rationale.evaluation.results import RunMetrics
    from pyro_rationale.experiments.yardsticks import FULL_TEXT
    from pyro_rationale.run_files import MEMBERS, READER

    if not names:
        return True
    metrics = RunMetrics.load(folder)
    readers = (folder / READER, folder / MEMBERS / "0" / READER)
    lost = () if any(path.exists() for path in readers) else (FULL_TEXT,)
    return not metrics.test or set(names) <= metrics.baselines.keys() - set(lost)


def show_finished(console: Terminal, folder: Path, verbose: bool = False) -> int:
    """The result of a run that needs no more training; the exit status.

    Raises:
        RunError: the file is damaged or of another version.
    """
    from pyro_rationale.evaluation.results import RunMetrics
    from pyro_rationale.run_files import read_config

    metrics, config = RunMetrics.load(folder), read_config(folder)[0]
    console.say(f"{folder} is finished already; --force fits it again")
    show_metrics(console, metrics, config, verbose)
    return FAILED if metrics.failures else 0


def judged_by_class(config: Config) -> bool:
    """Whether accuracy is not what the fit was after: classes had weights, or are named for macro-F1."""
    return config.train.class_weight != "none" or config.train.decides_by_f1


def show_metrics(console: Terminal, metrics: RunMetrics, config: Config, verbose: bool = False) -> None:
    """The test table and what stands beside it, with the noise floor, the prior and failures below.

    Args:
        console: to print on.
        metrics: of the run.
        config: of the run.
        verbose: every figure, and the prior.
    """
    from pyro_rationale.evaluation.options import BASELINE_TITLES
    from pyro_rationale.evaluation.verdict import (
        better_baseline,
        little_explained,
        no_better_than_constant,
        shared_words,
    )
    from pyro_rationale.reporting.console import baselines_table, class_tables, metrics_table
    from pyro_rationale.reporting.prior_words import prior_line
    from pyro_rationale.tasks._decision import rule_lines
    from pyro_rationale.tasks._numerals import number_text

    balanced = judged_by_class(config)
    console.print()
    members = f", {len(metrics.members)} members" if metrics.members else ""
    title = f"Test set ({metrics.data}, {metrics.guide}{members})"
    ends = None
    if metrics.intervals and "aspects" not in metrics.test:  # columns of several targets need the room
        ends = {name: (low, high) for name, (low, high) in metrics.intervals.items()}
        title += ", with 95 % intervals"
    console.print(metrics_table(metrics.test, title, ends, every=verbose))
    for table in class_tables(metrics.test):
        console.print()
        console.print(table)
    for line in rule_lines(metrics.decision):
        console.say(line)
    if metrics.baselines or metrics.members:
        console.print()
        each = {f"member {name}": figures for name, figures in metrics.members.items()}
        console.print(baselines_table(metrics.test, each | metrics.baselines))
        constant = "" if metrics.failures else no_better_than_constant(metrics.test, metrics.baselines, balanced)
        if constant:
            count = metrics.documents.get("test", "few")
            console.say(
                f"a constant predicts these {count} test texts {constant}: "
                "nothing shows that this model has learnt anything; give it more texts or steps"
            )
        elif not metrics.failures and (better := better_baseline(metrics.test, metrics.baselines, balanced)):
            name = BASELINE_TITLES.get(better[0], better[0])
            base = ", --pretrained minilm" if config.model.pretrained is None else ""
            console.say(
                f"{name}: predicts better ({better[1]}), so this model's evidence is "
                f"not all there is; more training texts{base} or a higher --rate bring it closer"
            )
        if not constant and (little := little_explained(metrics.test, metrics.baselines)):
            console.say(
                f"this model takes away {little}, no more: its rationales are often beside the point; read some of "
                "them before you rely on any"
            )
    if shared := shared_words(metrics.test):
        console.say(f"{shared}; try --overlap 2, more texts or --preset balanced")
    if metrics.noise_floor and "mse" in metrics.test:
        ratio = metrics.test["mse"] / metrics.noise_floor
        console.say(f"noise floor of the squared error: {number_text(metrics.noise_floor)}; reached {ratio:.2f} x that")
    if verbose:
        console.say(prior_line(metrics.prior, metrics.prior_asked, metrics.constraint, config.unit))
    for failure in metrics.failures:
        console.say(Text.assemble(("FAILED", "bold red"), f": {failure}"))


def show_documents(console: Terminal, fit: TrainingRun | EnsembleRun) -> None:
    """A few test documents with their rationales; the first ones, not chosen."""
    from pyro_rationale.prediction.information import by_target, little_line, little_said
    from pyro_rationale.prediction.options import PredictOptions
    from pyro_rationale.prediction.predictor import predict
    from pyro_rationale.reporting.aspects import aspect_key, aspect_text
    from pyro_rationale.reporting.console import is_plain, legend, rationale

    documents = fit.corpus.test[:SHOWN]
    plain = is_plain(console)
    options, task = PredictOptions(alternatives=0, samples=50), fit.fitted.task
    for document, reading in zip(documents, predict(fit.fitted, documents, options), strict=True):
        console.print()
        truth = ", ".join(task.true_lines(document.targets))
        lines = task.lines(reading.predicted, reading.values, reading.interval, options.level, reading.classes)
        predicted = "; ".join(lines)
        console.print(f"{document.id}: {predicted}; true {truth}", style="bold")
        if reading.aspects:
            console.print(aspect_text(document, [part.kept for part in reading.aspects], plain))
            console.print(aspect_key(task.spec.names, plain))
        else:
            console.print(rationale(document, reading.kept, gold=document.gold, plain=plain))
        if little := little_line(little_said(by_target(task, reading.information))):
            console.print(little, style="dim")
    if documents and not plain and fit.fitted.aspects == 1:
        console.print()
        console.print(legend(gold=documents[0].gold is not None))


def show_pairs(console: Terminal, fit: TrainingRun | EnsembleRun) -> None:
    """A few test queries, the first ones, each with a similar text, and the words that both are compared by."""
    from pyro_rationale.data.pairs import PairCorpus
    from pyro_rationale.prediction.embedding import ModelEmbedder
    from pyro_rationale.reporting.console import is_plain, legend, rationale

    corpus, plain = fit.corpus, is_plain(console)
    assert isinstance(corpus, PairCorpus)
    queries, embedder = corpus.queries["test"][:SHOWN], ModelEmbedder(fit.fitted)
    texts = [(corpus.documents[query.document], corpus.documents[query.positives[0]]) for query in queries]
    asked = embedder.encode([one for one, _ in texts], query=True)
    found = embedder.encode([other for _, other in texts])  # whole texts with --match full
    for i, pair in enumerate(texts):
        cosine = float(asked.vectors[i] @ found.vectors[i])
        console.print()
        console.print(f"{pair[0].id} and {pair[1].id}, which is similar: cosine {cosine:.3f}", style="bold")
        for document, kept in zip(pair, (asked.masks[i], found.masks[i]), strict=True):
            console.print(rationale(document, tuple(kept.tolist()), gold=document.gold, plain=plain))
    if not plain:
        console.print()
        console.print(legend(gold=texts[0][0].gold is not None))
