"""Questions that the paper leaves open: `python -m pyro_rationale.study questions [NUMBER ...]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyro_rationale.cli.outputs import check_output
from pyro_rationale.cli.studies._common import show
from pyro_rationale.config import ModelOptions, TrainOptions
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError
from pyro_rationale.options import given, json_option, options_from, write_result
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.storage import write_bytes

if TYPE_CHECKING:
    from pyro_rationale.experiments.studies.common import Row


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
    the work: each takes a cell that no other has, and all print the tables in the end.
    """
    from pyro_rationale.experiments.studies.cells import Study
    from pyro_rationale.experiments.studies.question_variants import BASES, QUESTIONS
    from pyro_rationale.experiments.studies.questions import RULE_QUESTION, answer, run_cells

    for number in numbers:
        if number not in QUESTIONS:
            raise ConfigError(f"{number}: no such question; there are {', '.join(map(str, QUESTIONS))}")
    for name, path in (("--json", json_path), ("--markdown", markdown)):
        check_output(name, path)
    typed = {f.name: getattr(part, f.name) for part in (data, model, train) for f in fields(part) if f.name in given()}
    base = {**BASES.get(data.data, {}), "data": data.data, "threads": 1, **typed}
    whole = Study(out or Path("runs/questions") / Path(data.data).name, base)
    console = Terminal(stderr=True)
    results: dict[str, list[Row]] = {}
    questions = {number: QUESTIONS[number] for number in numbers or QUESTIONS}
    run_cells(whole, list(questions.values()), seeds, lambda cell: console.say(str(cell)))
    for number, question in questions.items():
        rows = answer(question, whole, seeds, by_rule=number == RULE_QUESTION)
        title = f"{number}. {question.title} ({data.data}, {seeds} seed{'s' if seeds > 1 else ''}: mean, sd)"
        show(title, [_shown(row) for row in rows])
        results[title] = rows
    write_result(json_path, {"base": base, "seeds": seeds, "tables": results})
    if markdown is not None:
        write_bytes(markdown, ("\n\n".join(_markdown(t, rows) for t, rows in results.items()) + "\n").encode())


def _shown(row: Row) -> Row:
    return {name: _cell(value) for name, value in row.items()}


def _cell(value: Any) -> Any:
    from pyro_rationale.experiments.seeds import format_mean_sd

    return format_mean_sd(value[0], value[1], digits=4) if isinstance(value, list) else value


def _markdown(title: str, rows: Sequence[Row]) -> str:
    head = [name.replace("_", " ") for name in rows[0]]
    body = [["-" if v is None else str(_cell(v)) for v in row.values()] for row in rows]
    lines = [" | ".join(cells) for cells in (head, ["---"] * len(head), *body)]
    return f"**{title}**\n\n" + "\n".join(f"| {line} |" for line in lines)
