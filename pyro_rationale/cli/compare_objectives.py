"""The ELBO beside the paper's expected cost, run by run: `python -m pyro_rationale.compare RUN [RUN ...]`."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from pyro_rationale.cli.common import Command, make_folder, refuse_ranking
from pyro_rationale.cli.outputs import check_output
from pyro_rationale.config import Config, ModelOptions, TrainOptions, value_of
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.selection import select_documents
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.evaluation.options import ComparisonOptions
from pyro_rationale.guides import own_guides
from pyro_rationale.options import given, options_from, split_option
from pyro_rationale.reporting.console import foldable, format_value, label_of
from pyro_rationale.reporting.fit_progress import FitProgress
from pyro_rationale.reporting.plots import figures, require_matplotlib, save_figure
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.storage import write_bytes, write_json
from pyro_rationale.tasks import task_of

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.evaluation.objective_comparison import Compared

LABEL_WIDTH = 31
COLUMN_WIDTH = 11
TABLES = ("comparison.csv", "comparison.json")  # in the folder of --out
EVALUATION_OPTIONS = {"seed", "device", "threads", "batch_size"}  # of a fit, but used without one as well

Rows = dict[str, tuple[str, str]]
# Title of a part of the table, and its rows: score, label, format.
PARTS: dict[str, Rows] = {
    "Objective (2), nats": {
        "objective": ("at the run's tau", ".2f"),
        "objective_tau1": ("scored at tau = 1", ".2f"),
        "objective_tau0": ("scored at tau = 0", ".2f"),
    },
    "Under the prior asked for": {
        "asked_cost": ("cost (tau = 0)", ".4g"),
        "asked_free": ("cost - H / gain (tau = 1)", ".4g"),
        "asked_elbo": ("ELBO, kappa = tau = 1", ".2f"),
    },
    "Bounds, kappa = tau = 1, nats": {"elbo": ("ELBO", ".2f"), "iwae": ("IWAE-{iwae}", ".2f")},
    "Terms, nats": {
        "reconstruction": ("kappa E log p(y | x, z)", ".2f"),
        "log_likelihood": ("E log p(y | x, z)", ".3f"),
        "kl": ("KL(q || p)", ".2f"),
        "entropy": ("entropy H(q)", ".3g"),
        "log_z": ("log Z", ".2f"),
    },
    "Expected cost, Lei et al.": {
        "error": ("error", ".4g"),
        "penalty_kept": ("E lambda1 |z|", ".4g"),
        "penalty_changes": ("E lambda2 |dz|", ".4g"),
        "cost": ("sum: directly", ".6g"),
        "cost_from_elbo": ("from the ELBO, by (3)", ".6g"),
        "residual": ("residual, relative", ".1e"),
        "residual_worst": ("  of the worst document", ".1e"),
    },
    "With the constraint": {
        "trained_objective": ("objective as fitted, less it", ".2f"),
        "trained_cost": ("cost: directly", ".6g"),
        "trained_cost_from_elbo": ("from the objective, by (3)", ".6g"),
        "trained_residual": ("residual, relative", ".1e"),
    },
    "What q keeps": {
        "kept": ("E|z|, words or sentences", ".2f"),
        "changes": ("E|dz|", ".2f"),
        "share": ("share of these", "%"),
        "flatness": ("entropy, of a coin's", "%"),
    },
    "The run": {
        "gain": ("gain, nats per unit of cost", ".4g"),
        "kappa": ("kappa", ".4g"),
        "sigma": ("sigma", ".4g"),
        "alpha": ("alpha, nats per kept unit", ".3f"),
        "gamma": ("gamma, nats per change", ".3f"),
        "lambda1": ("lambda1", ".3g"),
        "lambda2": ("lambda2", ".3g"),
        "constraint_word": ("constraint, per kept unit", ".3f"),
        "constraint_change": ("constraint, nats per change", ".3f"),
    },
}
RULE_TITLES = {
    "agreeing": "Test time: the shown mask",
    "mode": "Test time: the likeliest mask",
    "threshold": "Test time: words above 1/2",
    "sample": "Test time: one sample",
    "average": "Test time: mean of {draws} samples",
}
RULE_ROWS = ("mse", "accuracy", "log_loss", "selected", "empty", "precision", "recall", "opinion_recall")


@click.command(cls=Command)
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--train", "training", is_flag=True, help="fit what is missing: elbo and expected-cost x four guides")
@click.option("--into", type=click.Path(path_type=Path), help="--train: folder of the runs [default: runs/compare]")
@click.option("--out", type=click.Path(path_type=Path), help=f"folder for {TABLES[0]}, {TABLES[1]} and figures")
@click.option("--figures/--no-figures", "drawing", default=True, show_default=True, help="into --out, PNG and PDF")
@click.option("--force", is_flag=True, help="replace what an earlier comparison left in --out")
@split_option
@click.option("--quiet", is_flag=True, help="no progress, only the table")
@options_from(ComparisonOptions)
@options_from(DataOptions, ModelOptions, TrainOptions, show_defaults=False)
def compare(
    how: ComparisonOptions,
    data: DataOptions,
    model: ModelOptions,
    train: TrainOptions,
    runs: tuple[Path, ...],
    training: bool,
    into: Path | None,
    out: Path | None,
    drawing: bool,
    force: bool,
    split: str,
    quiet: bool,
) -> None:
    """Compare fitted runs: test results by each test-time rule, then term by term under both objectives.

    The flags of a fit are for --train, which fits one run per guide and objective (tau = 1: elbo, tau = 0:
    expected-cost) and keeps what is there already; with --guide, only that guide. Flags about the data choose another
    test set, as in pyro_rationale.evaluate. Without them: the test split of the first run.
    """
    typed = given()
    check_options(runs, training, into, typed)
    if force and out is None:
        raise ConfigError("--force: is about --out; leave it out")
    if out is not None:
        if drawing:
            require_matplotlib(", or give --no-figures")
        make_folder(out, runs)
        for name in TABLES:
            check_output("--out", out / name)
            if (out / name).exists() and not force:
                raise RunError(f"{out / name}: is there already; replace it with --force, or change --out")
    import torch

    from pyro_rationale.evaluation.objective_comparison import (
        check_same_target,
        compare_run,
        fitted_elsewhere,
        short_names,
    )
    from pyro_rationale.run_files import read_config, read_rows

    torch.set_num_threads(train.threads or 1)
    console, console_err = Terminal(), Terminal(stderr=True)
    check_same_target(runs)
    folders = list(runs)
    if training:
        guides = (model.guide,) if "guide" in typed else own_guides()
        folders += train_grid(Config(data, model, train), guides, into or Path("runs/compare"), console_err, quiet)
        check_same_target(folders)
    config, spec = read_config(folders[0])
    refuse_ranking("compare", spec)
    chosen = select_documents(config.data, data, typed, split, spec, read_rows(folders[0]))
    documents, about = chosen.with_targets(), {"data": chosen.options.data, "split": chosen.split}
    for note in fitted_elsewhere(folders):
        console_err.say(f"note: {note}")
    compared = []
    for number, (name, folder) in enumerate(zip(short_names(folders), folders, strict=True), 1):
        if not quiet:
            console_err.say(f"comparing {number} of {len(folders)}: {folder}")
        size = value_of(train, "batch_size")
        compared.append(compare_run(name, folder, documents, how, train.device, size, train.seed))
    unit = task_of(spec).loss_unit
    console.say(
        f"Means over {len(documents):,} documents of {about['data']} ({about['split']}); costs in {unit}", "bold"
    )
    show(console, compared, how)
    if out is not None:
        write(out, compared, {**about, "documents": len(documents), **vars(how), "seed": train.seed})
        if drawing:
            drawn = draw(out, compared, unit)
            if "training" not in drawn:
                console_err.say("note: these runs did not record the ELBO of their epochs; no figure of training")
        console.say(f"\nwritten to {out}")


# Before the work.


def check_options(runs: Sequence[Path], training: bool, into: Path | None, typed: set[str]) -> None:
    """Refuse flags that would do nothing, or contradict what --train is for.

    Raises:
        ConfigError: the flag.
    """
    if not runs and not training:
        raise ConfigError("name the run folders to compare, or fit them with --train")
    if training and "tau" in typed:
        raise ConfigError("--tau: --train fits both objectives, tau = 1 and tau = 0; leave it out")
    if not training:
        of_fits = {item.name for kind in (ModelOptions, TrainOptions) for item in fields(kind)} - EVALUATION_OPTIONS
        for name in sorted(typed & of_fits):
            raise ConfigError(f"--{name.replace('_', '-')}: is for fitting; give --train as well, or leave it out")
        if into is not None:
            raise ConfigError("--into: is where --train fits; give --train as well, or leave it out")


def train_grid(config: Config, guides: Sequence[str], into: Path, console_err: Terminal, quiet: bool) -> list[Path]:
    """Fit what is missing, with a bar for each; Ctrl-C or a polite kill keeps what is done."""
    from pyro_rationale.evaluation.objective_comparison import fit_grid, grid

    configs = grid(config, guides)
    bars: list[FitProgress] = []

    def progress(name: str) -> FitProgress:
        if bars:
            bars[-1].stop()
        if not quiet:
            console_err.say(f"\nfitting {name} ({list(configs).index(name) + 1} of {len(configs)})", "bold")
        bars.append(FitProgress(console_err, quiet))
        return bars[-1].__enter__()

    try:
        return fit_grid(configs, into, progress)
    except KeyboardInterrupt:
        console_err.say("\nInterrupted. The same command goes on from here.")
        raise
    finally:
        if bars:
            bars[-1].stop()


# After it.


def show(console: Terminal, runs: Sequence[Compared], how: ComparisonOptions) -> None:
    """Test results and then terms as rows, runs as columns; as many runs side by side as there is room for."""
    at_once = max(1, (console.width - LABEL_WIDTH) // (COLUMN_WIDTH + 1))
    for start in range(0, len(runs), at_once):
        console.print()
        console.print(_block(runs[start : start + at_once], {"iwae": how.iwae, "draws": how.draws}))


def _block(runs: Sequence[Compared], words: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(width=LABEL_WIDTH - 1, no_wrap=True)
    for _ in runs:
        table.add_column(justify="right", width=COLUMN_WIDTH, overflow="fold")
    table.add_row("run", *(foldable(run.name, COLUMN_WIDTH) for run in runs), style="bold")
    table.add_row("guide", *(run.guide for run in runs))
    table.add_row("fitted with tau", *(f"{run.tau:g}" for run in runs))
    for rule, title in RULE_TITLES.items():
        table.add_row()
        table.add_row(Text(title.format(**words), style="bold"))
        for name in RULE_ROWS:
            if name in runs[0].rules[rule]:
                cells = [format_value(name, run.rules[rule].get(name)) for run in runs]
                table.add_row("  " + label_of(name), *cells)
    for title, rows in PARTS.items():
        table.add_row()
        table.add_row(Text(title.format(**words), style="bold"))
        for name, (label, style) in rows.items():
            cells = [_cell(run.scores[name], style) for run in runs]
            if any(cell != "-" for cell in cells):
                table.add_row("  " + label.format(**words), *cells)
    targets = dict.fromkeys(target for run in runs for target in run.priors)
    if targets:
        table.add_row()
        table.add_row(Text("Prior of each target, nats", style="bold"))
    for target in targets:
        for name, label in (("alpha", "per kept unit"), ("gamma", "per change")):
            values = [run.priors.get(target, {}).get(name, math.nan) for run in runs]
            table.add_row(Text(f"  {target}: {label}"), *(_cell(value, ".3f") for value in values))
    return table


def _cell(value: float, style: str) -> str:
    if math.isnan(value):
        return "-"
    return f"{100 * value:.1f} %" if style == "%" else format(value, style)


def write(out: Path, runs: Sequence[Compared], about: dict[str, Any]) -> None:
    """`comparison.json` with everything, `comparison.csv` with a line per run."""
    write_json(out / TABLES[1], {**about, "runs": [run.to_dict() for run in runs]})
    lines = []
    for run in runs:
        line: dict[str, Any] = {"run": run.name, "folder": str(run.folder), "guide": run.guide}
        line |= {"objective": run.objective} | run.scores
        for rule, metrics in run.rules.items():
            line |= {f"{rule}_{name}": value for name, value in metrics.items() if isinstance(value, int | float)}
        lines.append(line)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for line in lines for name in line)))
    writer.writeheader()
    writer.writerows(lines)
    write_bytes(out / TABLES[0], text.getvalue().encode())


def draw(out: Path, runs: Sequence[Compared], unit: str) -> list[str]:
    """Every figure as a bitmap and as vectors; their names."""
    drawn = figures(runs, unit)
    for name, figure in drawn.items():
        for kind in ("png", "pdf"):
            save_figure(figure, out / f"{name}.{kind}")
    return list(drawn)
