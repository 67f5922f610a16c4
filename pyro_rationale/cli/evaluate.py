"""Measure a fitted run on a labelled corpus: `python -m pyro_rationale.evaluate --run RUN [--data ...]`."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from pyro_rationale.data import CORPORA, load_corpus
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.data.duplicates import summary
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.tokenize import tokenize
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.evaluation.measuring import measure
from pyro_rationale.evaluation.metrics import intervals
from pyro_rationale.experiments.baselines import ModelRationalizer
from pyro_rationale.experiments.baselines.evaluator import load_judge
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.objectives.report import objective_report
from pyro_rationale.options import given, options_from, with_given
from pyro_rationale.prediction.predictor import DecodeOptions
from pyro_rationale.reporting.console import LABELS, metrics_table
from pyro_rationale.storage import to_json, write_json
from pyro_rationale.tasks import task_of

SPLITS = ("auto", "train", "dev", "test", "all")
STANDARD_OUTPUT = "-"
LEVEL = 0.95  # of the intervals
# Flags that name files: those of the run must not be mixed with another --data.
FILES = ("data", "dev_data", "test_data", "annotations")


@click.command()
@click.option("--run", "folder", required=True, type=click.Path(path_type=Path), help="folder of a fitted run")
@click.option(
    "--split",
    default="auto",
    show_default=True,
    type=click.Choice(SPLITS),
    help="auto: the test split, or all of a file that the run was not fitted on",
)
@options_from(DecodeOptions)
@options_from(DataOptions, show_defaults=False)
@click.option("--lexicon", help="vader, or a file with a word per line: how many kept words are in it?")
@click.option("--judge", "judge_folder", type=click.Path(path_type=Path),
              help="folder of another run, or of a reader: does it need the kept words, and are they enough for it?")
@click.option("--bootstrap", default=0, show_default=True, type=click.IntRange(min=0),
              help="resamples of the documents for 95 % intervals; 0: none")
@click.option("--batch-size", default=64, show_default=True, type=click.IntRange(min=1), help="documents at once")
@click.option("--json", "json_path", help="write the figures to this file; - prints them, without the table")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1")
def evaluate(
    how: DecodeOptions,
    flags: DataOptions,
    folder: Path,
    split: str,
    lexicon: str | None,
    judge_folder: Path | None,
    bootstrap: int,
    batch_size: int,
    json_path: str | None,
    device: str,
) -> None:
    """Print the test table of a run. Without --data: of the corpus that it was fitted on.

    Flags about the data that are not given are as in the run, save those that name files.
    """
    check_json(json_path)
    fitted = FittedModel.load(folder, device)
    data = data_options(fitted.config.data, flags, given())
    words = None if lexicon is None else read_lexicon(lexicon, data.cache)
    corpus = load_corpus(data, fitted.spec)
    foreign = is_foreign(data, fitted.config.data)  # none of its splits was trained on
    if split == "auto":
        split = "all" if foreign else "test"
    documents = documents_of(corpus, split)
    judge = None if judge_folder is None else judge_of(judge_folder, [folder], fitted, device, batch_size)
    measured = measure(ModelRationalizer(fitted, how, batch_size), documents, judge, words, how.seed)
    metrics = measured.metrics | objective_report(fitted, documents, batch_size=batch_size, seed=how.seed)
    if corpus.noise_floor is not None:
        metrics["noise_floor"] = corpus.noise_floor
    result = {
        "run": str(folder),
        "data": data.data,
        "split": split,
        "guide": fitted.config.guide,
        "estimator": fitted.config.estimator,
        "seed": fitted.config.seed,
        "decode": how.decode,
        "metrics": metrics,
    }
    if judge_folder is not None:
        result["judge"] = str(judge_folder)
    if bootstrap:
        ends = intervals(measured.statistics, bootstrap, LEVEL, seed=how.seed)
        result["bootstrap"] = {"draws": bootstrap, "level": LEVEL, "intervals": ends}
    if corpus.leaks is not None and not foreign:
        result["leaks"] = asdict(corpus.leaks)
    report(result, json_path)
    if json_path != STANDARD_OUTPUT and not foreign:
        click.echo(summary(corpus))


def check_json(path: str | None) -> None:
    """Refuse a file that cannot be written before any work is done.

    Raises:
        ConfigError: its folder does not exist.
    """
    if path not in (None, STANDARD_OUTPUT) and not Path(str(path)).absolute().parent.is_dir():
        raise ConfigError(f"--json {path}: there is no such folder to write into; make it first")


def judge_of(judge: Path, folders: Sequence[Path], fitted: FittedModel, device: str, batch_size: int) -> ModelRationalizer:
    """Who judges: a run other than those which are judged, or a reader, with the same targets.

    Raises:
        ConfigError: it is the same, or predicts something else.
        RunError: it is no usable run.
    """
    if judge.resolve() in [folder.resolve() for folder in folders]:
        raise ConfigError(f"--judge {judge}: is the run that is judged; name one that was fitted without it")
    other = load_judge(judge, device)
    if other.spec != fitted.spec:
        what = task_of(other.spec).describe(), fitted.task.describe()
        raise ConfigError(f"--judge {judge}: predicts {what[0]}, and {folders[0]} predicts {what[1]}; name another run")
    other.batch_size = batch_size
    return other


def data_options(run: DataOptions, flags: DataOptions, typed: set[str]) -> DataOptions:
    """The run's options with those that the user typed; with another corpus, none of the run's files."""
    base = run
    if "data" in typed and flags.data != run.data:
        base = with_given(run, DataOptions(), set(FILES))
    return with_given(base, flags, typed & {f.name for f in fields(DataOptions)})


def is_foreign(data: DataOptions, run: DataOptions) -> bool:
    """Whether this is a table of its own, no split of which the run was fitted on."""
    path, fitted_on = Path(data.data).expanduser(), Path(run.data).expanduser()
    return data.data not in CORPORA and path.is_file() and path.resolve() != fitted_on.resolve()


def documents_of(corpus: Corpus, split: str) -> Sequence[Document]:
    """One split, or all three.

    Raises:
        DataError: there is nothing in it.
    """
    parts = (corpus.train, corpus.dev, corpus.test)
    documents = [d for part in parts for d in part] if split == "all" else getattr(corpus, split)
    if not documents:
        raise DataError(f"{corpus.name}: no document in the {split} split; try --split all")
    return documents


def read_lexicon(name: str, cache: str | None = None) -> Container[str]:
    """Words of the VADER lexicon, or of a file: what stands before the first tab of each line.

    Raises:
        DataError: the file cannot be read, or holds no word.
    """
    if name == "vader":
        from pyro_rationale.data.corpora._vader import lexicon

        return frozenset(lexicon(cache))
    try:
        lines = Path(name).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--lexicon {name}: cannot be read ({error}); give vader, or a UTF-8 file") from None
    entries = (tokenize(line.split("\t")[0])[0] for line in lines)
    words = frozenset(entry[0] for entry in entries if len(entry) == 1)
    if not words:
        raise DataError(f"--lexicon {name}: no word in it; expected a word per line")
    return words


def report(result: dict[str, Any], json_path: str | None) -> None:
    """The table on the terminal, the figures in a file; only the figures where they go to standard output."""
    if json_path == STANDARD_OUTPUT:
        click.echo(to_json(result, indent=2))
        return
    which = "all of it" if result["split"] == "all" else f"{result['split']} split"
    title = f"{result['run']} on {result['data']} ({which}), masks by {result['decode']}"
    shown = {name: value for name, value in result["metrics"].items() if name in LABELS or name == "aspects"}
    ends = result.get("bootstrap", {}).get("intervals")
    if ends is not None:
        title += f", {100 * LEVEL:g} % intervals over documents"
    Console(highlight=False).print(metrics_table(shown, title, ends))
    if json_path is not None:
        write_json(Path(json_path), result)
