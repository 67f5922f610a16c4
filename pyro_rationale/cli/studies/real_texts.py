"""Fits of real texts beside simple predictors: `python -m pyro_rationale.study real-texts FILE.toml`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from pyro_rationale.cli.benchmark import WIDE, make_all
from pyro_rationale.cli.common import Command
from pyro_rationale.errors import ConfigError
from pyro_rationale.options import check_writable
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.storage import write_bytes, write_json

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.experiments.studies.real_texts import RealCell, RealPlan, RealTexts

TABLE, RESULTS = "table.md", "results.json"


@click.command("real-texts", cls=Command)
@click.argument("path", metavar="FILE.toml", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="folder of cells and table, instead of the file's")
@click.option("--list", "listing", is_flag=True, help="show the cells and how far they are, and stop")
@click.option("--tables", is_flag=True, help="make the table of the cells that are finished, and stop")
@click.option("--corpus", "corpora", multiple=True, help="make the cells of this corpus only; repeat it")
@click.option("--setting", "settings", multiple=True, help="make the cells of this setting only; repeat it")
@click.option("--seed", "seeds", multiple=True, type=int, help="make the cells of this seed only; repeat it")
@click.option("--page", "page_path", type=click.Path(path_type=Path), help="write the table and the rationales of the "
              "first test texts to this file, as Markdown; all cells must be of one version of the code")
@click.option("--quiet", is_flag=True, help="no progress, only the table")
def study(
    path: Path,
    out: Path | None,
    listing: bool,
    tables: bool,
    corpora: tuple[str, ...],
    settings: tuple[str, ...],
    seeds: tuple[int, ...],
    page_path: Path | None,
    quiet: bool,
) -> None:
    """Fit every corpus under every setting with every seed, and compare with simple predictors.

    Finished cells are read, interrupted ones are taken up. The same command may run several times at once: each takes
    the cells that no other has. The table lies in the folder of the cells.
    """
    from pyro_rationale.experiments.studies.real_tables import HEAD, page, rows, table
    from pyro_rationale.experiments.studies.real_texts import RealTexts, read_real_plan

    plan = read_real_plan(path)
    if out is not None:
        plan = replace(plan, out=out)
    check_writable("--page", page_path)
    cells = filtered(plan, corpora, settings, seeds)
    runner = RealTexts(plan)
    console = Terminal(wide=WIDE)
    if listing:
        show_cells(console, runner, cells)
        return
    if not tables:
        for cell in cells:  # all of them, before hours of work
            runner.config(cell)
        for cell, reason in make_all(runner, cells, Terminal(stderr=True), quiet):
            console.say(f"not finished: {cell}: {reason}")
    if not any(map(runner.is_finished, plan.cells())):
        raise ConfigError(f"{plan.out}: no cell is finished yet, so there is no table; run without --tables")
    write_bytes(plan.out / TABLE, table(runner).encode())
    results = [runner.read(cell) for cell in plan.cells() if runner.is_finished(cell)]
    write_json(plan.out / RESULTS, {"head": HEAD, "rows": rows(runner), "cells": results})
    shown = Table(*HEAD)
    for row in rows(runner):
        shown.add_row(*row)
    console.print(shown)
    if page_path is not None:
        words = ["python", "-m", "pyro_rationale.study", "real-texts", str(path), "--page", str(page_path)]
        write_bytes(page_path, page(runner, shlex.join(words)).encode())
    console.say(f"\n{TABLE} and {RESULTS} in {plan.out}")


def filtered(
    plan: RealPlan, corpora: Sequence[str], settings: Sequence[str], seeds: Sequence[int]
) -> list[RealCell]:
    """Cells of the plan that the flags leave.

    Raises:
        ConfigError: a flag names what the plan does not have.
    """
    known: dict[str, tuple[Sequence[Any], Sequence[Any]]] = {
        "--corpus": (corpora, [corpus.name for corpus in plan.corpora]),
        "--setting": (settings, [setting.name for setting in plan.settings]),
        "--seed": (seeds, plan.seeds),
    }
    for flag, (requested, there) in known.items():
        for item in requested:
            if item not in there:
                raise ConfigError(f"{flag} {item}: not in the file; it has {', '.join(map(str, there))}")
    return [
        cell
        for cell in plan.cells()
        if (not corpora or cell.corpus.name in corpora)
        and (not settings or cell.setting.name in settings)
        and (not seeds or cell.seed in seeds)
    ]


def show_cells(console: Terminal, runner: RealTexts, cells: Sequence[RealCell]) -> None:
    """A row per cell, and how many there are of each state."""
    from pyro_rationale.experiments.grid import STATES

    shown = Table("corpus", "setting", "seed", "state", "folder")
    states = [runner.state(cell) for cell in cells]
    for cell, state in zip(cells, states, strict=True):
        shown.add_row(cell.corpus.name, cell.setting.name, str(cell.seed), state, str(runner.folder(cell)))
    console.print(shown)
    console.print(", ".join(f"{states.count(state)} {state}" for state in STATES))
