"""Draws, figures and a report of a run's posterior: `python -m pyro_rationale.inspect --run RUN [--data ...]`.

Writes into a folder: `posterior.nc` (ArviZ groups; `pyro_rationale.prediction.netcdf.load` reads it), figures of prior
against posterior, of the predictive check and of the importance weights (PNG), and `report.html`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pyro_rationale.cli.evaluate import SPLITS, data_options, documents_of, is_foreign
from pyro_rationale.data import load_corpus
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.posterior.psis import TRUSTED
from pyro_rationale.optional import optional
from pyro_rationale.options import given, options_from
from pyro_rationale.prediction.inference_data import Size, write_posterior
from pyro_rationale.prediction.netcdf import ENGINES, open_groups
from pyro_rationale.prediction.predictor import PredictOptions, read
from pyro_rationale.reporting.plots import posterior_figures
from pyro_rationale.storage import remove_leftovers, write_bytes

FILE, REPORT, FOLDER = "posterior.nc", "report.html", "inspect"
FIGURES = ("rate", "spans", "predictive", "khat")
DPI = 150


@click.command()
@click.option("--run", "folder", required=True, type=click.Path(path_type=Path), help="folder of a fitted run")
@click.option("--out", type=click.Path(path_type=Path), help=f"folder for the results [default: {FOLDER} in the run's]")
@click.option("--documents", "number", default=200, show_default=True, type=click.IntRange(min=1),
              help="documents to inspect: the first of the split")
@click.option("--split", default="auto", show_default=True, type=click.Choice(SPLITS),
              help="auto: the test split, or all of a file that the run was not fitted on")
@click.option("--samples", default=Size.samples, show_default=True, type=int,
              help="masks drawn per document, in all chains together; as many from the prior")
@click.option("--chains", default=Size.chains, show_default=True, type=int,
              help="sets that the draws are divided into; --samples is rounded up to a multiple")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1), help="of all draws")
@click.option("--report/--no-report", default=True, show_default=True, help=f"write {REPORT} as well")
@click.option("--force", is_flag=True, help="replace what an earlier inspection left")
@click.option("--quiet", is_flag=True, help="no progress, only the summary")
@options_from(DataOptions, show_defaults=False, without=("documents",))
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 1024), help="CPU threads")
def inspect(
    flags: DataOptions,
    folder: Path,
    out: Path | None,
    number: int,
    split: str,
    samples: int,
    chains: int,
    seed: int,
    report: bool,
    force: bool,
    quiet: bool,
    device: str,
    threads: int,
) -> None:
    """Draw from the posterior of a run's rationales, and lay it open: a file for ArviZ, figures, and a report.

    Flags about the data are as in the run where they are not given. Draws are independent, from the guide; chains are
    sets of them, for tools that expect several.
    """
    size = Size(samples, chains)
    torch.set_num_threads(threads)
    fitted = FittedModel.load(folder, device)
    place = out or folder / FOLDER
    check_place(place, report, force)
    check_extras(report)
    data = data_options(fitted.config.data, flags, given())
    if split == "auto":
        split = "all" if is_foreign(data, fitted.config.data) else "test"
    documents = documents_of(load_corpus(data, fitted.spec), split)[:number]
    make_folder(place)
    remove_leftovers(place / FILE)
    told = Console(stderr=True)
    with_progress(
        lambda step: write_posterior(place / FILE, fitted, documents, size, seed, step), len(documents), told, quiet
    )
    with open_groups(place / FILE) as groups:
        drawn = draw(place, groups)
        written = [FILE, *drawn]
        summary = summarise(groups)
    if report:
        write_page(place / REPORT, fitted, documents, folder, f"{data.data} ({split})", size, seed, told, quiet)
        written.append(REPORT)
    console = Console(highlight=False)
    console.print(summary)
    console.print(f"written to {place}: {', '.join(written)}", soft_wrap=True, markup=False)


# Before the work.


def check_place(place: Path, report: bool, force: bool) -> None:
    """Make sure that nothing is overwritten that should not be.

    Raises:
        RunError: the folder is a file, or holds results.
    """
    if place.exists() and not place.is_dir():
        raise RunError(f"--out {place}: is a file; name a folder")
    names = [FILE, *(f"{name}.png" for name in FIGURES), *([REPORT] if report else [])]
    there = [name for name in names if (place / name).exists()]
    if there and not force:
        raise RunError(f"{place / there[0]}: is there already; replace it with --force, or change --out")


def check_extras(report: bool) -> None:
    """Find out before the work what is not installed.

    Raises:
        ConfigError: something.
    """
    for name in ENGINES:
        optional(name, "stored draws need")
    optional("xarray", "stored draws need")
    optional("matplotlib", "figures need")
    if report:
        optional("jinja2", "the report (or give --no-report) needs")


def make_folder(place: Path) -> None:
    """The folder for the results.

    Raises:
        ConfigError: it cannot be made, or written to.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
        write_bytes(place / ".probe", b"")
        (place / ".probe").unlink()
    except OSError as problem:
        raise ConfigError(f"--out {place}: cannot be written to ({problem.strerror}); name another folder") from None


# The work.


def with_progress(work: Callable[[Callable[[], object]], object], steps: int, told: Console, quiet: bool) -> None:
    """Calls `work` with a function that it calls `steps` times, and shows how far it is where somebody looks."""
    from rich.progress import Progress

    with Progress(console=told, transient=True, disable=quiet or not told.is_terminal) as bar:
        task = bar.add_task("drawing", total=steps)
        work(lambda: bar.advance(task))


def draw(place: Path, groups: Any) -> list[str]:
    """All figures as PNG; the names of their files. One that these draws do not have is removed, if it is there."""
    made = posterior_figures(groups)
    for name in FIGURES:
        path = place / f"{name}.png"
        if name not in made:
            path.unlink(missing_ok=True)
            continue
        content = io.BytesIO()
        made[name].savefig(content, format="png", dpi=DPI)
        write_bytes(path, content.getvalue())
    return [f"{name}.png" for name in FIGURES if name in made]


def write_page(
    path: Path,
    fitted: FittedModel,
    documents: Sequence[Document],
    folder: Path,
    data: str,
    size: Size,
    seed: int,
    told: Console,
    quiet: bool,
) -> None:
    """The report, of the same draws: they are seeded by the texts."""
    from pyro_rationale.reporting.html import contents_of, write_report

    options = PredictOptions(samples=size.chains * size.draws, seed=seed)
    readings: Iterable[Any] = read(fitted, documents, options)
    shown = not quiet and told.is_terminal
    readings = track(readings, "reading", len(documents), console=told, transient=True, disable=not shown)
    write_report(path, contents_of(fitted, readings, folder, options, data, seed=seed))


def summarise(groups: Any) -> Table:
    """Prior beside posterior, and what the weights say."""
    sizes = groups["posterior"].sizes
    title = f"{sizes['document']:,} documents, {sizes['chain']} x {sizes['draw']} draws each"
    table = Table(title=title, title_justify="left")
    for name in ("", "prior", "posterior"):
        table.add_column(name, justify="right" if name else "left")
    for label, name, style in (
        ("share of words kept", "rate", ".3f"),
        ("runs of kept words per document", "spans", ".2f"),
    ):
        table.add_row(label, *(format(float(groups[f"{g}/{name}"].mean()), style) for g in ("prior", "posterior")))
    table.add_row("words per run", *(_span(groups[group]) for group in ("prior", "posterior")))
    khat = groups["sample_stats/khat"].values
    known = khat[~np.isnan(khat)]
    if len(known):
        ess, elpd = (groups[f"sample_stats/{name}"].values for name in ("ess", "elpd"))
        table.add_row(f"k-hat up to {TRUSTED}", "", f"{np.mean(known <= TRUSTED):.0%} of documents")
        table.add_row("effective draws, median", "", f"{np.nanmedian(ess):.0f}")
        table.add_row("log predictive density", "", f"{np.nanmean(elpd):.3f} nats per document")
    return table


def _span(group: Any) -> str:
    kept = float((group["spans"] * group["span"]).sum())
    runs = float(group["spans"].sum())
    return f"{kept / runs:.2f}" if runs else "-"
