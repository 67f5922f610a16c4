"""Methods against each other, from one file: `python -m pyro_rationale.benchmark CONFIG.toml`."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pyro_rationale.cli.common import Command
from pyro_rationale.errors import ConfigError, TrainingError
from pyro_rationale.experiments.baselines.methods import METHODS
from pyro_rationale.experiments.benchmark.runner import STATES, GridRunner
from pyro_rationale.experiments.benchmark.spec import Cell, Plan, read_plan
from pyro_rationale.experiments.benchmark.summary import Block, summarise
from pyro_rationale.experiments.benchmark.tables import as_csv, curves_csv, grid, latex, markdown, plain, title
from pyro_rationale.storage import write_bytes, write_json

RESULTS = "results.json"
TABLES = {"table.md": markdown, "table.csv": as_csv, "table.tex": latex}
CURVES = "curves.csv"
WIDE = 200


@click.command(cls=Command)
@click.argument("path", metavar="CONFIG.toml", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="folder of cells and tables, instead of the file's")
@click.option("--list", "listing", is_flag=True, help="show the cells and how far they are, and stop")
@click.option("--tables", is_flag=True, help="make the tables of the cells that are finished, and stop")
@click.option("--corpus", "corpora", multiple=True, help="make the cells of this corpus only; repeat it")
@click.option("--method", "methods", multiple=True, help="make the cells of this method only; repeat it")
@click.option("--rate", "rates", multiple=True, help="make the cells of this target only, as in the file; repeat it")
@click.option("--seed", "seeds", multiple=True, type=int, help="make the cells of this seed only; repeat it")
@click.option("--no-tables", is_flag=True, help="make cells and no tables: many processes at once need them once")
@click.option("--quiet", is_flag=True, help="no progress, only the tables")
def benchmark(
    path: Path,
    out: Path | None,
    listing: bool,
    tables: bool,
    corpora: tuple[str, ...],
    methods: tuple[str, ...],
    rates: tuple[str, ...],
    seeds: tuple[int, ...],
    no_tables: bool,
    quiet: bool,
) -> None:
    """Fit every method on every corpus at every rate with every seed, and compare them.

    Finished cells are read, interrupted ones are taken up. The same command may run several times at once: each takes
    the cells that no other has. The tables lie in the folder of the cells.
    """
    plan = read_plan(path)
    if out is not None:
        plan = replace(plan, out=out)
    if tables and no_tables:
        raise ConfigError("--tables makes tables and --no-tables makes none; give one of them")
    wanted = chosen(plan, corpora, methods, rates, seeds)
    workshop = GridRunner(plan)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    if listing:
        show_cells(console, workshop, wanted)
        return
    signal.signal(signal.SIGTERM, _interrupt)
    if not tables:
        for cell in wanted:  # all of them, before hours of work
            workshop.config(cell)
        try:
            left = make_all(workshop, wanted, Console(stderr=True, highlight=False), quiet)
        except KeyboardInterrupt:
            again = f"python -m pyro_rationale.benchmark {shlex.quote(str(path))}"
            console.print(f"\nInterrupted. Go on with the same command: {escape(again)}", soft_wrap=True)
            raise
        for cell, reason in left:
            console.print(f"not finished: {escape(f'{cell}: {reason}')}", soft_wrap=True)
    if no_tables:
        return
    blocks = write_tables(workshop)
    show_tables(console, blocks)
    console.print(f"\n{escape(', '.join([*TABLES, RESULTS]))} in {escape(str(plan.out))}", soft_wrap=True)


def chosen(
    plan: Plan, corpora: Sequence[str], methods: Sequence[str], rates: Sequence[str], seeds: Sequence[int]
) -> list[Cell]:
    """The cells that flags leave.

    Raises:
        ConfigError: a flag names what the plan does not have.
    """
    known: dict[str, tuple[Sequence[Any], Sequence[Any]]] = {
        "--corpus": (corpora, [corpus.name for corpus in plan.corpora]),
        "--method": (methods, plan.methods),
        "--rate": (rates, list(dict.fromkeys(rate.label for corpus in plan.corpora for rate in corpus.rates))),
        "--seed": (seeds, plan.seeds),
    }
    for flag, (wanted, there) in known.items():
        for item in wanted:
            if item not in there:
                raise ConfigError(f"{flag} {item}: not in the file; it has {', '.join(map(str, there))}")
    return [
        cell
        for cell in plan.cells()
        if (not corpora or cell.corpus.name in corpora)
        and (not methods or cell.method in methods)
        and (not rates or cell.rate.label in rates)
        and (not seeds or cell.seed in seeds)
    ]


def make_all(workshop: GridRunner, cells: Sequence[Cell], console: Console, quiet: bool) -> list[tuple[Cell, str]]:
    """Make what is missing, one after another; cells that other processes hold are tried again at the end.

    Returns:
        What could not be made, and why.
    """
    failed: list[tuple[Cell, str]] = []
    waiting = list(cells)
    with _progress(console, quiet) as bar:
        task = bar.add_task("cells", total=len(cells), what="")
        while waiting:
            held = []
            for cell in waiting:
                bar.update(task, what=str(cell))
                with workshop.held(cell) as ours:
                    if not ours:
                        held.append(cell)
                        continue
                    fresh = workshop.state(cell) != "finished"
                    try:
                        workshop.make(cell)
                    except TrainingError as problem:  # one fit that diverged is no reason to lose the night
                        failed.append((cell, str(problem)))
                bar.advance(task)
                if fresh and not quiet and not console.is_terminal:
                    console.print(escape(str(cell)), soft_wrap=True)
            if len(held) == len(waiting):  # others are at work on all that is left, and will make the tables
                return [*failed, *((cell, "another process is at it; run again for the tables") for cell in held)]
            waiting = held
    return failed


def _progress(console: Console, quiet: bool) -> Progress:
    return Progress(
        TextColumn("cells"), BarColumn(bar_width=20), MofNCompleteColumn(), TextColumn("{task.fields[what]}"),
        TimeElapsedColumn(), console=console, disable=quiet or not console.is_terminal, transient=True,
    )


def write_tables(workshop: GridRunner) -> list[Block]:
    """All files of tables, of what is finished.

    Raises:
        ConfigError: nothing is.
    """
    plan = workshop.plan
    finished = [workshop.read(cell) for cell in plan.cells() if workshop.state(cell) == "finished"]
    if not finished:
        raise ConfigError(f"{plan.out}: no cell is finished yet, so there is no table; run without --tables")
    blocks = summarise(workshop)
    for name, make in TABLES.items():
        write_bytes(plan.out / name, make(blocks).encode())
    if any(cell["curves"] for cell in finished):
        write_bytes(plan.out / CURVES, curves_csv(finished).encode())
    write_json(plan.out / RESULTS, {
        "methods": {name: METHODS[name].title for name in plan.methods},
        "seeds": list(plan.seeds),
        "reference": plan.reference,
        "tables": plain(blocks),
        "cells": finished,
    })
    return blocks


def show_cells(console: Console, workshop: GridRunner, cells: Sequence[Cell]) -> None:
    """A row per cell, and how many there are of each state."""
    table = Table("corpus", "rate", "method", "seed", "state", "folder")
    states = [workshop.state(cell) for cell in cells]
    for cell, state in zip(cells, states, strict=True):
        folder = escape(str(workshop.folder(cell)))
        table.add_row(cell.corpus.name, cell.rate.label, cell.method, str(cell.seed), state, folder)
    console.print(table)
    console.print(", ".join(f"{states.count(state)} {state}" for state in STATES))


def show_tables(console: Console, blocks: Sequence[Block]) -> None:
    """The tables on the terminal."""
    for block in blocks:
        head, rows = grid(block)
        table = Table(title=escape(title(block)), title_justify="left")
        for number, name in enumerate(head):
            table.add_column(name, justify="right" if number else "left")
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)


def _interrupt(number: int, frame: object) -> None:
    """SIGTERM ends like Ctrl-C: with a checkpoint."""
    raise KeyboardInterrupt
