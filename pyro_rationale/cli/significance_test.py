"""Is one run better than another, on these documents? `python -m pyro_rationale.against RUN OTHER`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from pyro_rationale.cli.common import Command
from pyro_rationale.cli.evaluate import LEVEL, judge_of, measuring_options, refuse_for_pairs
from pyro_rationale.cli.outputs import check_output
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.selection import select_documents
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.metrics import Metric, every_metric, metric_named
from pyro_rationale.evaluation.significance import Difference, differences, holm, p_text
from pyro_rationale.options import (
    STANDARD_OUTPUT,
    given,
    write_result,
)
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.reporting.console import foldable, format_value
from pyro_rationale.reporting.terminal import Terminal

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.evaluation.evaluate import Evaluation

NAME_WIDTH = 10
SHORT = {"judge_kept_mse": "squared error of judge", "judge_kept_accuracy": "accuracy of judge"}  # from kept words


@click.command(cls=Command)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@click.option("--draws", default=9999, show_default=True, type=click.IntRange(min=1),
              help="swaps of documents, and resamples of them")
@measuring_options
def against(
    how: DecodeOptions,
    flags: DataOptions,
    run: Path,
    other: Path,
    split: str,
    judge_folder: Path | None,
    draws: int,
    batch_size: int,
    json_path: Path | None,
    device: str,
    threads: int | None,
) -> None:
    """Test RUN against OTHER, document by document, on the test set of RUN; runs that rank texts, query by query.

    Each difference has a 95 % bootstrap interval over documents, and the p-value of a permutation test that swaps
    what the two did on a document; the last column corrects p for the number of rows (Holm). This is about two fitted
    runs, not two methods: another seed is another run.
    """
    import torch

    from pyro_rationale.data.pairs import PairCorpus
    from pyro_rationale.evaluation.evaluate import evaluate
    from pyro_rationale.evaluation.objective_comparison import check_same_target, fitted_elsewhere, short_names
    from pyro_rationale.evaluation.ranking import evaluate_ranking
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.rationalizer import ModelRationalizer

    check_output("--json", json_path)
    if run.resolve() == other.resolve():
        raise ConfigError(f"{other}: is the first run itself; name two runs")
    check_same_target([run, other])
    if threads is not None:
        torch.set_num_threads(threads)
    console_err = Terminal(stderr=True)
    for note in fitted_elsewhere([run, other]):
        console_err.say(f"note: {note}")
    first, second = FittedModel.load(run, device), FittedModel.load(other, device)
    judge = None if judge_folder is None else judge_of(judge_folder, [run, other], first, device, batch_size)
    chosen = select_documents(first.config.data, flags, given(), split, first.spec, first.rows)
    if isinstance(chosen.corpus, PairCorpus):
        refuse_for_pairs({"judge": judge_folder})
        corpus, how = chosen.corpus, how.for_pairs
        one, two = (evaluate_ranking(fitted, corpus, chosen.split, how, batch_size) for fitted in (first, second))
    else:
        one, two = (evaluate(ModelRationalizer(fitted, how, batch_size), chosen.documents, judge=judge, seed=how.seed)
                    for fitted in (first, second))
    result = {
        "run": str(run),
        "other": str(other),
        "judge": None if judge_folder is None else str(judge_folder),
        "data": chosen.options.data,
        "split": chosen.split,
        "documents": len(chosen.documents),
        "decode": how.decode,
        "draws": draws,
        "level": LEVEL,
        "metrics": compared(one, two, draws, how.seed),
    }
    write_result(json_path, result)
    if json_path != STANDARD_OUTPUT:
        Terminal().print(differences_table(result, short_names([run, other])))


def compared(one: Evaluation, other: Evaluation, draws: int, seed: int) -> dict[str, dict[str, Any]]:
    """By metric that is tested: both figures, their difference with its interval, p, and p as Holm adjusts it."""
    tested = [metric.name for metric in every_metric() if metric.tested]
    names = [name for name in tested if name in one.statistics and name in other.statistics]
    tests = differences(
        {name: one.statistics[name] for name in names},
        {name: other.statistics[name] for name in names},
        draws,
        LEVEL,
        seed,
    )
    adjusted = holm({name: item.p for name, item in tests.items()})
    return {name: _entry(item) | {"p_holm": adjusted[name]} for name, item in tests.items()}


def _entry(item: Difference) -> dict[str, Any]:
    return asdict(item) | {"difference": item.difference}


def differences_table(result: Mapping[str, Any], names: list[str]) -> Group:
    """A row per metric; differences are RUN minus OTHER, of shares in percentage points."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    for name in names:
        table.add_column(foldable(name, NAME_WIDTH), justify="right", max_width=NAME_WIDTH)
    for title in (f"difference ({100 * LEVEL:g} %)", "p", "Holm"):
        table.add_column(title, justify="right", overflow="fold")
    for name, row in result["metrics"].items():
        label = SHORT.get(name, _metric(name).label.removesuffix(" (ERASER)"))
        figures = format_value(name, row["one"]), format_value(name, row["other"]), difference_text(name, row)
        table.add_row(label, *figures, p_text(row["p"]), p_text(row["p_holm"]))
    which = "all of it" if result["split"] == "all" else f"{result['split']} split"
    title = f"{result['documents']:,} documents of {result['data']} ({which}), masks by {result['decode']}"
    return Group(Text(title, style="bold"), table)


def _metric(name: str) -> Metric:
    return metric_named(name) or Metric(name, name)


def difference_text(name: str, row: Mapping[str, float]) -> str:
    """`+3.3 (+2.9, +3.7)`; no interval where there is none."""
    share = _metric(name).format == "%"
    texts = [f"{100 * row[key]:+.1f}" if share else f"{row[key]:+.2g}" for key in ("difference", "low", "high")]
    return texts[0] if math.isnan(row["low"]) else f"{texts[0]} ({texts[1]}, {texts[2]})"
