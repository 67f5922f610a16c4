"""Stress tests of a fitted run: `python -m pyro_rationale.stress --run RUN [--only TEST ...]`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table
from rich.text import Text

from pyro_rationale.cli.common import Command, refuse_ranking
from pyro_rationale.cli.outputs import check_output
from pyro_rationale.evaluation.stress import TESTS, RefitOptions, Settings
from pyro_rationale.options import (
    STANDARD_OUTPUT,
    device_option,
    json_option,
    options_from,
    run_option,
    write_result,
)
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.storage import finite, read_json, write_json

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.evaluation.stress import Subject

COLOURS = {"pass": "green", "fail": "bold red", "not applicable": "dim"}
NARROWEST = 100  # columns of a table that goes to a file or a pipe
Result = dict[str, Any]


@click.command(cls=Command)
@run_option
@click.option("--only", multiple=True, type=click.Choice(list(TESTS)), help="this test; repeat it [default: all]")
@click.option("--target", default="", help="of a run with masks for each target: that whose masks are tested")
@click.option("--into", type=click.Path(path_type=Path), help="folder of refits and verdicts [default: RUN/stress]")
@options_from(Settings, RefitOptions)
@click.option("--force", is_flag=True, help="measure and fit again what is there already")
@click.option("--details", is_flag=True, help="all figures of every test below the table")
@json_option
@device_option
def stress(
    settings: Settings,
    refits: RefitOptions,
    folder: Path,
    only: tuple[str, ...],
    target: str,
    into: Path | None,
    force: bool,
    details: bool,
    json_path: Path | None,
    device: str,
) -> None:
    """Try to break a run, test by test, and print a verdict for each.

    The last three tests fit the run's configuration several times; --steps and the like make these fits smaller.
    Results and refits are kept; the next call reads them instead of making them again.
    """
    import torch

    from pyro_rationale.evaluation.stress import Subject
    from pyro_rationale.fitted import FittedModel

    check_output("--json", json_path)
    if refits.threads is not None:
        torch.set_num_threads(refits.threads)
    console = Terminal(stderr=json_path == STANDARD_OUTPUT, wide=NARROWEST)
    tell = partial(say, console)
    fitted = FittedModel.load_single(folder, device)
    refuse_ranking("stress", fitted.spec)
    subject = Subject(folder, into or folder / "stress", fitted, settings, refits, force, tell, target)
    results = [answer(subject, name) for name in TESTS if not only or name in only]
    write_result(json_path, results)
    if json_path != STANDARD_OUTPUT:
        show(console, f"{folder}, {target}" if target else str(folder), results, details)


def answer(subject: Subject, name: str) -> Result:
    """The result of one test: taken from its file if run and settings are the same, else measured and kept."""
    from pyro_rationale.run_files import WEIGHTS

    test = TESTS[name]
    path = subject.into / f"{name}.json"
    request = {"weights": fingerprint(subject.folder / WEIGHTS), "settings": finite(asdict(subject.settings))}
    if test.refits:
        request["refits"] = {k: v for k, v in subject.refits.given().items() if k != "threads"}
    if subject.target:
        request["target"] = subject.target
    if path.exists() and not subject.force:
        known = read_json(path)
        if isinstance(known, dict) and known.get("asked") == request:
            return known
    subject.say(f"{test.title} ...")
    start = time.monotonic()
    verdict = test.check(subject)
    result: Result = {
        "test": name,
        "title": test.title,
        "answer": verdict.answer,
        "figure": verdict.figure,
        "bar": verdict.bar,
        "reason": verdict.reason,
        "reference": test.reference,
        "rows": list(verdict.rows),
        "seconds": round(time.monotonic() - start, 1),
        "asked": request,
    }
    subject.into.mkdir(parents=True, exist_ok=True)
    result = finite(result)
    write_json(path, result)
    return result


def fingerprint(path: Path) -> str:
    """Digest of a file; that of the weights changes when a run is fitted again."""
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()


def say(console: Terminal, line: str) -> None:
    """Print progress on a terminal; nothing elsewhere."""
    if console.is_terminal:
        console.say(line, "dim")


def show(console: Terminal, run: str, results: Sequence[Result], details: bool) -> None:
    """Print the verdicts, the reason for each that is no pass, and the references."""
    table = Table(title=f"Stress tests of {run}", title_justify="left", show_lines=True, box=box.HORIZONTALS)
    table.add_column("test", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("measured")
    table.add_column("bar")
    for number, result in enumerate(results, 1):
        verdict = Text(result["answer"], style=COLOURS[result["answer"]])
        table.add_row(f"{number} {result['title']}", verdict, result["figure"], result["bar"])
    console.print(table)
    for number, result in enumerate(results, 1):
        reason = f"{result['answer']}: {result['reason']}. " if result["reason"] else ""
        console.print(Text.assemble(f"{number} {reason}", (result["reference"], "dim")))
    if details:
        for result in results:
            show_rows(console, result)


def show_rows(console: Terminal, result: Result) -> None:
    """Print all figures of a test."""
    rows = result["rows"]
    if not rows:
        return
    keys = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(title=result["title"], title_justify="left")
    for number, key in enumerate(keys):
        table.add_column(key.replace("_", " "), justify="right" if number else "left")
    for row in rows:
        table.add_row(*(cell(row.get(key)) for key in keys))
    console.print(table)


def cell(value: Any) -> str:
    """A number as text, `-` for none."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
