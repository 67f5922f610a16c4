"""Fits of real texts beside simple predictors: `python -m pyro_rationale.study real-texts FILE.toml`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from pyro_rationale.cli.benchmark import WIDE, Filter, filtered, make_all, show_cells
from pyro_rationale.cli.common import Command
from pyro_rationale.cli.outputs import check_output
from pyro_rationale.errors import ConfigError
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.storage import write_bytes, write_json

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.experiments.studies.real_texts import RealCell

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
    check_output("--page", page_path)
    columns: dict[str, Callable[[RealCell], object]] = {
        "corpus": lambda cell: cell.corpus.name,
        "setting": lambda cell: cell.setting.name,
        "seed": lambda cell: cell.seed,
    }
    filters: dict[str, Filter[RealCell]] = {
        "--corpus": (corpora, [corpus.name for corpus in plan.corpora], columns["corpus"]),
        "--setting": (settings, [setting.name for setting in plan.settings], columns["setting"]),
        "--seed": (seeds, plan.seeds, columns["seed"]),
    }
    cells = filtered(plan.cells(), filters)
    runner = RealTexts(plan)
    console = Terminal(wide=WIDE)
    if listing:
        show_cells(console, runner, cells, columns)
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
        words = ["python", "-m", "pyro_rationale.study", "real-texts", str(path)]
        words += [word for flag, (values, _, _) in filters.items() for value in values for word in (flag, str(value))]
        words += ["--page", str(page_path)]
        write_bytes(page_path, page(runner, shlex.join(words)).encode())
    console.say(f"\n{TABLE} and {RESULTS} in {plan.out}")
