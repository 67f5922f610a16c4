"""Methods against each other, from one file: `python -m pyro_rationale.benchmark CONFIG.toml`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.table import Table

from pyro_rationale.cli.common import Command
from pyro_rationale.errors import ConfigError
from pyro_rationale.experiments.baselines import find_method
from pyro_rationale.reporting.terminal import Terminal, progress_bar
from pyro_rationale.storage import write_bytes, write_json

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.experiments.benchmark.runner import BenchmarkRunner
    from pyro_rationale.experiments.benchmark.spec import Cell
    from pyro_rationale.experiments.benchmark.summary import Block
    from pyro_rationale.experiments.grid import GridRunner

RESULTS = "results.json"
TABLES = ("table.md", "table.csv", "table.tex")
CURVES = "curves.csv"
WIDE = 200
C = TypeVar("C")  # a cell
Filter = tuple[Sequence[Any], Sequence[Any], Callable[[C], object]]


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
    from pyro_rationale.experiments.benchmark.runner import CELL, BenchmarkRunner
    from pyro_rationale.experiments.benchmark.spec import read_plan

    plan = read_plan(path)
    if out is not None:
        plan = replace(plan, out=out)
    if tables and no_tables:
        raise ConfigError("--tables makes tables and --no-tables makes none; give one of them")
    labels = list(dict.fromkeys(rate.label for corpus in plan.corpora for rate in corpus.rates))
    columns: dict[str, Callable[[Cell], object]] = {
        "corpus": lambda cell: cell.corpus.name,
        "rate": lambda cell: cell.rate.label,
        "method": lambda cell: cell.method,
        "seed": lambda cell: cell.seed,
    }
    filters: dict[str, Filter[Cell]] = {
        "--corpus": (corpora, [corpus.name for corpus in plan.corpora], columns["corpus"]),
        "--method": (methods, plan.methods, columns["method"]),
        "--rate": (rates, labels, columns["rate"]),
        "--seed": (seeds, plan.seeds, columns["seed"]),
    }
    cells = filtered(plan.cells(), filters)
    runner = BenchmarkRunner(plan)
    console = Terminal(wide=WIDE)
    if listing:
        show_cells(console, runner, cells, columns)
        return
    if not tables:
        for method in dict.fromkeys(cell.method for cell in cells):
            find_method(method).check_installed()
        for cell in cells:  # all of them, before hours of work
            runner.config(cell)
            plan.settings(cell)
        try:
            left = make_all(runner, cells, Terminal(stderr=True), quiet)
        except KeyboardInterrupt:
            again = f"python -m pyro_rationale.benchmark {shlex.quote(str(path))}"
            console.say(f"\nInterrupted. Go on with the same command: {again}")
            raise
        for cell, reason in left:
            console.say(f"not finished: {cell}: {reason}")
    if unjudged := runner.unjudged(plan.cells()):
        places = " ".join(shlex.quote(str(runner.folder(cell) / CELL)) for cell in unjudged[:3])
        more = f" and {len(unjudged) - 3} more" if len(unjudged) > 3 else ""
        console.say(f"{len(unjudged)} cells were measured before the file named a judge, and have no figures of it; "
                    f"delete {places}{more} and run again: the fits are kept")  # fmt: skip
    if no_tables:
        return
    blocks = write_tables(runner)
    show_tables(console, blocks)
    console.say(f"\n{', '.join([*TABLES, RESULTS])} in {plan.out}")


def filtered(cells: Sequence[C], filters: Mapping[str, Filter[C]]) -> list[C]:
    """Cells that the flags leave.

    Args:
        cells: of the file.
        filters: by flag: the values that are requested (none: all), those that the file has, and a cell's value.

    Raises:
        ConfigError: a flag names what the file does not have.
    """
    for flag, (requested, there, _) in filters.items():
        for item in requested:
            if item not in there:
                raise ConfigError(f"{flag} {item}: not in the file; it has {', '.join(map(str, there))}")
    return [
        cell
        for cell in cells
        if all(not requested or value_of(cell) in requested for requested, _, value_of in filters.values())
    ]


def make_all(runner: GridRunner[C], cells: Sequence[C], console: Terminal, quiet: bool) -> list[tuple[C, str]]:
    """Make what is missing, with a progress bar.

    Returns:
        Cells that could not be made, and why.
    """
    with progress_bar(console, "what", quiet=quiet) as bar:
        task = bar.add_task("cells", total=len(cells), what="")

        def on_end(cell: C, fresh: bool) -> None:
            bar.advance(task)
            if fresh and not quiet and not console.is_terminal:
                console.say(str(cell))

        return runner.run_all(cells, lambda cell: bar.update(task, what=str(cell)), on_end)


def write_tables(runner: BenchmarkRunner) -> list[Block]:
    """Write all files of tables, of the cells that are finished.

    Raises:
        ConfigError: nothing is.
    """
    from pyro_rationale.experiments.benchmark.summary import summarise
    from pyro_rationale.experiments.benchmark.tables import as_csv, curves_csv, latex, markdown, plain

    plan = runner.plan
    finished = [runner.read(cell) for cell in plan.cells() if runner.state(cell) == "finished"]
    if not finished:
        raise ConfigError(f"{plan.out}: no cell is finished yet, so there is no table; run without --tables")
    blocks = summarise(runner)
    for name, make in zip(TABLES, (markdown, as_csv, latex), strict=True):
        write_bytes(plan.out / name, make(blocks).encode())
    if any(cell["curves"] for cell in finished):
        write_bytes(plan.out / CURVES, curves_csv(finished).encode())
    write_json(plan.out / RESULTS, {
        "methods": {name: find_method(name).title for name in plan.methods},
        "seeds": list(plan.seeds),
        "reference": plan.reference,
        "tables": plain(blocks),
        "cells": finished,
    })
    return blocks


def show_cells(
    console: Terminal, runner: GridRunner[C], cells: Sequence[C], columns: Mapping[str, Callable[[C], object]]
) -> None:
    """A row per cell, and how many there are of each state.

    Args:
        console: where they are shown.
        runner: knows how far each cell is.
        cells: the cells.
        columns: heads, and what a cell has there; state and folder follow.
    """
    from pyro_rationale.experiments.grid import STATES

    table = Table(*columns, "state", "folder")
    states = [runner.state(cell) for cell in cells]
    for cell, state in zip(cells, states, strict=True):
        own = [str(value_of(cell)) for value_of in columns.values()]
        table.add_row(*own, state, str(runner.folder(cell)))
    console.print(table)
    console.print(", ".join(f"{states.count(state)} {state}" for state in STATES))


def show_tables(console: Terminal, blocks: Sequence[Block]) -> None:
    """The tables on the terminal."""
    from pyro_rationale.experiments.benchmark.tables import grid, title

    for block in blocks:
        head, rows = grid(block)
        table = Table(title=title(block), title_justify="left")
        for number, name in enumerate(head):
            table.add_column(name, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
