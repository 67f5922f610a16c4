"""The questions that the reading notes put to the paper: `python -m pyro_rationale.study questions [NUMBER ...]`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from pyro_rationale.config import ModelOptions, TrainOptions
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError
from pyro_rationale.experiments.studies.cells import Measures, Study, StudyCell
from pyro_rationale.experiments.studies.common import Row, show
from pyro_rationale.experiments.studies.question_variants import BASES, QUESTIONS, Flags, Question
from pyro_rationale.options import check_writable, given, json_option, options_from, write_result

COLUMNS = (
    *("mse", "accuracy", "selected", "empty", "precision", "opinion_recall", "lexicon_lift", "error_reading_all"),
)
RULE_QUESTION = 2
SLOW = ("tracegraph", "straight-through")  # two to four times as long as the others


@click.command("questions")
@click.argument("numbers", nargs=-1, type=int)
@options_from(DataOptions, ModelOptions, TrainOptions, show_defaults=False)
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(min=1), help="of each variant: 0 ... N-1")
@click.option(
    "--out", type=click.Path(path_type=Path), help="folder of the cells; default: runs/questions/CORPUS. Cells in it "
    "are read, not fitted again"
)
@click.option("--markdown", type=click.Path(path_type=Path), help="write the tables to this file, as Markdown")
@json_option
def study(
    data: DataOptions,
    model: ModelOptions,
    train: TrainOptions,
    numbers: tuple[int, ...],
    seeds: int,
    out: Path | None,
    markdown: Path | None,
    json_path: Path | None,
) -> None:
    """Answer questions 1 to 7 (all by default) on one corpus: mean and standard deviation over seeds.

    Flags of the fit replace those of the corpus's base, in every variant. The same command in several processes shares
    the work: each takes a cell that nobody is at, and all print the tables in the end.
    """
    for number in numbers:
        if number not in QUESTIONS:
            raise ConfigError(f"{number}: no such question; there are {', '.join(map(str, QUESTIONS))}")
    for path in (json_path, markdown):
        check_writable("--json", path)
    typed = {f.name: getattr(part, f.name) for part in (data, model, train) for f in fields(part) if f.name in given()}
    base = {**BASES.get(data.data, {}), "data": data.data, "threads": 1, **typed}
    cells = Study(out or Path("runs/questions") / Path(data.data).name, base)
    console = Console(stderr=True, highlight=False)
    results: dict[str, list[Row]] = {}
    run_cells(cells, [QUESTIONS[number] for number in numbers or tuple(QUESTIONS)], seeds, console)
    for number in numbers or tuple(QUESTIONS):
        question = QUESTIONS[number]
        rows = answer(question, cells, seeds, by_rule=number == RULE_QUESTION)
        title = f"{number}. {question.title} ({data.data}, {seeds} seed{'s' if seeds > 1 else ''}: mean, sd)"
        show(title, [_told(row) for row in rows])
        results[title] = rows
    write_result(json_path, {"base": _plain(base), "seeds": seeds, "tables": results})
    if markdown is not None:
        markdown.write_text("\n\n".join(_markdown(t, rows) for t, rows in results.items()) + "\n", encoding="utf-8")


def run_cells(study: Study, questions: Sequence[Question], seeds: int, console: Console) -> None:
    """Run all cells but those that other processes hold: the slowest first, those that read others' last."""
    variants = {variant.name: variant for question in questions for variant in question.variants}.values()
    order = sorted(variants, key=lambda v: (bool(v.attention), v.flags.get("estimator") not in SLOW))
    cells = [StudyCell(variant, seed) for variant in order for seed in range(seeds)]
    study.run_all(cells, lambda cell: console.print(str(cell)))


def answer(question: Question, study: Study, seeds: int, by_rule: bool) -> list[Row]:
    """A row per variant (or per variant and rule): its name, then measure -> [mean, sd]."""
    rows: list[Row] = []
    for variant in question.variants:
        measures = [study.measures(variant, seed) for seed in range(seeds)]
        if by_rule:
            guide = variant.flags["guide"]
            for rule in measures[0]["rules"]:
                rows.append(_row(f"{guide}: {rule}", [cell["rules"][rule] for cell in measures], ()))
        else:
            rows.append(_row(variant.name, measures, question.columns))
    known = {name for row in rows for name, value in row.items() if value is not None}
    return [{name: row.get(name) for name in row if name in known} for row in rows]


def _row(name: str, found: Sequence[Measures], more: tuple[str, ...]) -> Row:
    row: Row = {"arm": name}
    for measure in dict.fromkeys((*COLUMNS, *more)):
        values = [cell.get(measure) for cell in found]
        usable = [float(v) for v in values if isinstance(v, (int, float)) and math.isfinite(v)]
        spread = statistics.stdev(usable) if len(usable) > 1 else None
        row[measure] = [statistics.mean(usable), spread] if usable else None
    return row


def _told(row: Row) -> Row:
    return {name: _cell(value) for name, value in row.items()}


def _cell(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    mean, spread = value
    return f"{mean:.4g}" if spread is None else f"{mean:.4g} ({spread:.2g})"


def _markdown(title: str, rows: Sequence[Row]) -> str:
    head = [name.replace("_", " ") for name in rows[0]]
    body = [["-" if v is None else str(_cell(v)) for v in row.values()] for row in rows]
    lines = [" | ".join(cells) for cells in (head, ["---"] * len(head), *body)]
    return f"**{title}**\n\n" + "\n".join(f"| {line} |" for line in lines)


def _plain(flags: Flags) -> Flags:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in flags.items()}
