"""Measure a fitted run on a labelled corpus: `python -m pyro_rationale.evaluate --run RUN [--data ...]`."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyro_rationale.cli.common import Command, together
from pyro_rationale.cli.left_out import telling_left_out
from pyro_rationale.cli.outputs import check_output
from pyro_rationale.data.duplicates import summary
from pyro_rationale.data.files.text import log, read_text
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.selection import override, select_documents
from pyro_rationale.data.tokenizers import Tokenizer
from pyro_rationale.data.tokenizers.unicode import tokenize
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.evaluation.options import SAMPLES
from pyro_rationale.evaluation.significance import intervals
from pyro_rationale.options import (
    STANDARD_OUTPUT,
    batch_size_option,
    device_option,
    given,
    json_option,
    options_from,
    run_option,
    split_option,
    threads_option,
    write_result,
)
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.reporting.console import baselines_table, class_tables, counting, metrics_table
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.storage import user_path
from pyro_rationale.tasks import task_of

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.data.selection import Selection
    from pyro_rationale.evaluation.statistic import Metrics
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.rationalizer import ModelRationalizer

LEVEL = 0.95  # of the intervals


measuring_options = together(
    split_option,
    options_from(DecodeOptions),
    options_from(DataOptions, show_defaults=False, rare=("documents",)),
    click.option("--judge", "judge_folder", type=click.Path(path_type=Path),
                 help="another run or reader, which judges the rationales: does it need them, are they enough?"),
    batch_size_option,
    json_option,
    device_option,
    threads_option,
)


@click.command(cls=Command)
@run_option
@click.option("--lexicon", help="vader, or a file with a word per line: how many kept words are in it?")
@click.option("--bootstrap", default=0, show_default=True, type=click.IntRange(min=0),
              help="resamples of the documents for 95 % intervals; 0: none")
@click.option("--samples", default=SAMPLES, show_default=True, type=click.IntRange(min=0),
              help="masks drawn per text, for the average and the predictive distribution; 0: leave these out")
@click.option("--verbose", is_flag=True, help="every figure; else the main ones (--json has all of them)")
@click.option("--quiet", is_flag=True, help="no progress bar")
@measuring_options
def evaluate(
    how: DecodeOptions,
    flags: DataOptions,
    folder: Path,
    split: str,
    lexicon: str | None,
    judge_folder: Path | None,
    bootstrap: int,
    samples: int,
    verbose: bool,
    quiet: bool,
    threads: int | None,
    batch_size: int,
    json_path: Path | None,
    device: str,
) -> None:
    """Print the test table of a run. Without --data: of the corpus that it was fitted on.

    Flags about the data that are not given are as in the run, save those that name files.
    """
    import torch

    from pyro_rationale.evaluation.evaluate import evaluate as evaluate_metrics
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.rationalizer import ModelRationalizer

    check_output("--json", json_path)
    if threads is not None:
        torch.set_num_threads(threads)
    fitted = FittedModel.load(folder, device)
    words = None
    if lexicon is not None:
        cache = override(fitted.config.data, flags, given()).cache
        words = read_lexicon(lexicon, cache, fitted.tokenizer)
    if fitted.task.of_pairs:
        refuse_for_pairs({"lexicon": lexicon, "judge": judge_folder})
    chosen = select_documents(fitted.config.data, flags, given(), split, fitted.spec, fitted.rows)
    corpus, documents = chosen.corpus, chosen.documents
    if chosen.foreign and (known := fitted.vocabulary.coverage(documents)) < 0.5:
        share = f"{100 * known:.0f} % of the words"
        log.warning("%s: the model knows only %s; is it one for texts like these?", corpus.name, share)
    if not chosen.as_fitted and (seen := fitted.count_training_texts(documents)):
        log.warning("%s: %d of %d texts were training texts of the run, so it does better on them than on new ones; "
                    "leave them out", corpus.name, seen, len(documents))  # fmt: skip
    if fitted.task.of_pairs:
        evaluate_pairs(fitted, chosen, how, folder, bootstrap, batch_size, json_path, verbose)
        return
    judge = None if judge_folder is None else judge_of(judge_folder, [folder], fitted, device, batch_size)
    rationalizer = ModelRationalizer(fitted, how, batch_size)
    bar = counting("evaluating", len(documents) * fitted.aspects, quiet or not samples)
    with telling_left_out(fitted), bar as advance:
        evaluation = evaluate_metrics(
            rationalizer,
            documents,
            judge=judge,
            lexicon=words,
            objective=True,
            seed=how.seed,
            samples=samples,
            progress=lambda done, total: advance(),
        )
    metrics = evaluation.metrics
    if corpus.noise_floor is not None:
        metrics["noise_floor"] = corpus.noise_floor
    result = {
        "run": str(folder),
        "data": chosen.options.data,
        "split": chosen.split,
        "guide": fitted.config.guide,
        "estimator": fitted.config.estimator,
        "seed": fitted.config.seed,
        "decode": how.decode,
        "metrics": metrics,
        "curves": evaluation.curves,
    }
    if chosen.as_fitted and chosen.split == "test" and (rows := stored_baselines(folder)):
        result["baselines"] = rows
    if judge_folder is not None:
        result["judge"] = str(judge_folder)
    if bootstrap:
        ends = intervals(evaluation.statistics, bootstrap, LEVEL, seed=how.seed)
        result["bootstrap"] = {"draws": bootstrap, "level": LEVEL, "intervals": ends}
    if corpus.leaks is not None and not chosen.foreign:
        result["leaks"] = asdict(corpus.leaks)
    report(result, json_path, verbose)
    if json_path != STANDARD_OUTPUT and not chosen.foreign:
        Terminal().say(summary(corpus))


def refuse_for_pairs(options: Mapping[str, object]) -> None:
    """Refuse options that have no meaning for a run that ranks texts.

    Raises:
        ConfigError: one is given.
    """
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"--{name}: is about predictions of single texts, and the run ranks texts; leave it out")


def evaluate_pairs(
    fitted: FittedModel,
    chosen: Selection,
    how: DecodeOptions,
    folder: Path,
    bootstrap: int,
    batch_size: int,
    json_path: Path | None,
    verbose: bool = False,
) -> None:
    """Print the table of a run that ranks texts; intervals are over queries."""
    from pyro_rationale.data.pairs import PairCorpus
    from pyro_rationale.evaluation.ranking import evaluate_ranked, rank
    from pyro_rationale.evaluation.ranking_baselines import baselines_of

    assert isinstance(chosen.corpus, PairCorpus)
    how = how.for_pairs
    ranking = rank(fitted, chosen.corpus, chosen.split, how, batch_size)
    evaluation = evaluate_ranked(fitted, ranking, how, batch_size)
    config = fitted.config
    result = {
        "run": str(folder),
        "data": chosen.options.data,
        "split": chosen.split,
        "guide": config.guide,
        "estimator": config.estimator,
        "seed": config.seed,
        "decode": how.decode,
        "metrics": evaluation.metrics,
        "curves": evaluation.curves,
        "baselines": baselines_of(ranking),
    }
    if bootstrap:
        ends = intervals(evaluation.statistics, bootstrap, LEVEL, seed=how.seed)
        result["bootstrap"] = {"draws": bootstrap, "level": LEVEL, "intervals": ends}
    report(result, json_path, verbose)


def stored_baselines(folder: Path) -> dict[str, Metrics]:
    """Errors of other predictions on the test texts of a run, which its fit has measured; none of an unfinished one.

    Raises:
        RunError: the file is damaged or of another version.
    """
    from pyro_rationale.evaluation.results import RunMetrics
    from pyro_rationale.run_files import METRICS

    return RunMetrics.load(folder).baselines if (folder / METRICS).is_file() else {}


def judge_of(
    judge: Path, folders: Sequence[Path], fitted: FittedModel, device: str, batch_size: int
) -> ModelRationalizer:
    """Who judges: a run other than those which are judged, or a reader, with the same targets.

    Raises:
        ConfigError: it is the same, or predicts something else.
        RunError: it is no usable run.
    """
    from pyro_rationale.experiments.baselines import load_reference_predictor

    if judge.resolve() in [folder.resolve() for folder in folders]:
        raise ConfigError(f"--judge {judge}: is the run that is judged; name one that was fitted without it")
    other = load_reference_predictor(judge, device)
    if other.spec != fitted.spec:
        what = task_of(other.spec).describe(), fitted.task.describe()
        raise ConfigError(f"--judge {judge}: predicts {what[0]}, and {folders[0]} predicts {what[1]}; name another run")
    other.batch_size = batch_size
    return other


def read_lexicon(name: str, cache: str | None = None, tokenizer: Tokenizer = tokenize) -> Container[str]:
    """Words of the VADER lexicon, or of a file: what stands before the first tab of each line.

    Raises:
        DataError: the file cannot be read, or holds no word.
    """
    if name == "vader":
        from pyro_rationale.data.corpora._vader import lexicon

        return frozenset(lexicon(cache))
    try:
        lines = read_text(user_path(name)).splitlines()
    except DataError as error:
        raise DataError(f"--lexicon {name}: cannot be read ({error}); give vader, or a UTF-8 file") from None
    entries = (tokenizer(line.split("\t")[0])[0] for line in lines)
    words = frozenset(entry[0] for entry in entries if len(entry) == 1)
    if not words:
        raise DataError(f"--lexicon {name}: no word in it; expected a word per line")
    return words


def report(result: dict[str, Any], json_path: Path | None, verbose: bool = False) -> None:
    """The table on the terminal, the figures in a file; only the figures where they go to standard output."""
    write_result(json_path, result)
    if json_path == STANDARD_OUTPUT:
        return
    which = "all of it" if result["split"] == "all" else f"{result['split']} split"
    title = f"{result['run']} on {result['data']} ({which}), masks by {result['decode']}"
    ends = result.get("bootstrap", {}).get("intervals")
    if ends is not None:
        over = "queries" if "queries" in result["metrics"] else "documents"
        title += f", {100 * LEVEL:g} % intervals over {over}"
    console = Terminal()
    console.print(metrics_table(result["metrics"], title, ends, every=verbose))
    for table in class_tables(result["metrics"]):
        console.print()
        console.print(table)
    if "baselines" in result:
        console.print()
        console.print(baselines_table(result["metrics"], result["baselines"]))
