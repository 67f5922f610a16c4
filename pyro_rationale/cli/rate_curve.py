"""Error and rationales at any share of words, from one model: `python -m pyro_rationale.curve --run RUN [...]`."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from pyro_rationale.cli.common import Command, refuse_ranking
from pyro_rationale.cli.explain_tables import Hanging
from pyro_rationale.cli.outputs import check_output
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.selection import documents_of, select_documents
from pyro_rationale.data.targets import number_of
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.metrics import metric_named
from pyro_rationale.evaluation.options import MASK_RULES, RATES
from pyro_rationale.options import (
    STANDARD_OUTPUT,
    device_option,
    given,
    json_option,
    options_from,
    split_option,
    threads_option,
    write_result,
)
from pyro_rationale.reporting.console import format_value, label_of
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.storage import write_bytes
from pyro_rationale.tasks import cost_names

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.evaluation.rate_curves import Curve

WIDE = 140
LONGEST = 12  # letters of a heading
GAP, FEWEST = 2, 3  # columns between figures; figures that are always shown
SHORT = {"selected": "kept", "mse": "error", "span": "span", "empty": "no word"}
# Of each way: what it is in words, and what its levels are. Of top-k they are the shares that were asked for.
WAYS = {
    "threshold": ("words above a threshold (threshold)", "threshold"),
    "top-k": ("a like share of every text (top-k)", ""),
    "prior": ("other prices of words (prior)", "nats"),
    "own": ("its own masks (own)", ""),
}
MOST_COUPLING = 1000.0  # nats; no mask changes with far fewer


@click.command(cls=Command)
@click.option("--run", "folders", multiple=True, required=True, type=click.Path(path_type=Path),
              help="folder of a fitted run, drawn as curves; repeat it")
@click.option("--per-rate", "singles", multiple=True, type=click.Path(path_type=Path),
              help="folder of a run that was fitted for one rate, drawn as a point; repeat it")
@click.option("--way", "ways", multiple=True, type=click.Choice(MASK_RULES),
              help="rule by which words are marked; repeat it [default: all that a run has]")
@click.option("--rates", default=",".join(f"{rate:g}" for rate in RATES), show_default=True,
              help="shares of words, with commas")
@click.option("--coupling", default=0.0, show_default=True,
              help="--way prior: nats by which the price of every change of the mask rises as well")
@split_option
@click.option("--levels", default="same", show_default=True, type=click.Choice(("same", "dev")),
              help="texts on which thresholds and prices of words are found, without their labels")
@options_from(DataOptions, show_defaults=False)
@json_option
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="write the table to this file")
@click.option("--figure", type=click.Path(path_type=Path), help="draw the curves into this file (.png, .svg, .pdf)")
@device_option
@threads_option
def curve(
    flags: DataOptions,
    folders: tuple[Path, ...],
    singles: tuple[Path, ...],
    ways: tuple[str, ...],
    rates: str,
    coupling: float,
    split: str,
    levels: str,
    json_path: Path | None,
    csv_path: Path | None,
    figure: Path | None,
    device: str,
    threads: int | None,
) -> None:
    """Print error, accuracy, precision, recall and F1 of runs at many shares of words, without fitting again.

    Flags about the data that are not given are as in the first run.
    """
    shares = read_rates(rates)
    if not abs(coupling) <= MOST_COUPLING:
        raise ConfigError(f"--coupling: expected {-MOST_COUPLING:g} to {MOST_COUPLING:g} nats, got {coupling:g}")
    for flag, path in (("--json", json_path), ("--csv", csv_path), ("--figure", figure)):
        check_output(flag, path)
    if figure is not None:
        from pyro_rationale.reporting.plots.files import check_figure

        check_figure(figure)
    import torch

    from pyro_rationale.data.aspects import by_aspect
    from pyro_rationale.evaluation.objective_comparison import check_same_target, short_names
    from pyro_rationale.evaluation.rate_curves import mask_rules_of, own_point, trace
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.rationalizer import ModelRationalizer

    every = [*folders, *singles]
    check_same_target(every)
    if threads is not None:
        torch.set_num_threads(threads)
    rationalizers = [ModelRationalizer(FittedModel.load(folder, device)) for folder in every]
    refuse_ranking("curve", rationalizers[0].spec)
    for rationalizer, name in zip(rationalizers, short_names(every), strict=True):
        rationalizer.name = name
        for way in ways:
            if way not in mask_rules_of(rationalizer) and rationalizer in rationalizers[: len(folders)]:
                if way == "top-k":
                    raise ConfigError(f"--way top-k: would cut the sentences of {name}; use --way threshold or prior")
                raise ConfigError(
                    f"--way {way}: the recurrent guide of {name} has no closed form under another prior; "
                    "use --way threshold or top-k"
                )
    for rationalizer in rationalizers[: len(folders)]:
        config = rationalizer.fitted.config
        if not config.train.any_rate:
            Terminal(stderr=True).say(
                f"note: {rationalizer.name} was fitted for {100 * config.model.rate:.3g} % of the words: at other "
                "shares its curve is of masks that its encoder was not trained on; --any-rate 0.5 fits one that was"
            )
    first = rationalizers[0].fitted
    chosen = select_documents(first.config.data, flags, given(), split, first.spec, first.rows)
    documents, data, split = chosen.documents, chosen.options, chosen.split
    found_on = documents_of(chosen.corpus, "dev") if levels == "dev" else None
    curves: list[Curve] = []
    for number, rationalizer in enumerate(rationalizers):  # a run with a mask for each target asks about each of them
        asked, found = documents, found_on
        if rationalizer.aspects > 1:
            asked = by_aspect(documents, rationalizer.aspects)
            found = None if found_on is None else by_aspect(found_on, rationalizer.aspects)
        if number < len(folders):
            rules = ways or mask_rules_of(rationalizer)
            curves += [trace(rationalizer, asked, way, shares, coupling, found) for way in rules]
        curves.append(own_point(rationalizer, asked, rationalizer.fitted.config.model.rate))
    result = {"data": data.data, "split": split, "documents": len(documents), "coupling": coupling,
              "levels": levels, "curves": [asdict(curve) for curve in curves]}
    write_result(json_path, result)
    if json_path != STANDARD_OUTPUT:
        console = Terminal(wide=WIDE)
        about = f"{data.data} ({split} split, {len(documents)} documents)"
        console.print(curve_tables(curves, about, console.width))
    if csv_path is not None:
        write_bytes(csv_path, as_csv(curves).encode())
    if figure is not None:
        from pyro_rationale.reporting.plots import curve_figure, save_figure

        save_figure(curve_figure(curves), figure)


def read_rates(text: str) -> list[float]:
    """Shares of words, written with commas.

    Raises:
        ConfigError: something is no share.
    """
    rates = set()
    for part in text.split(","):
        rate = number_of(part.strip())
        if rate is None:
            raise ConfigError(f"--rates {text}: expected shares of words with commas between them, as 0.05,0.1")
        if not 0.0 < rate <= 1.0:
            raise ConfigError(f"--rates: expected shares of words above 0 and at most 1, got {rate:g}")
        rates.add(rate)
    return sorted(rates)


def _columns() -> tuple[str, ...]:
    return ("rate", "level", "selected", *cost_names(), "precision", "recall", "f1", "span", "empty")


def as_csv(curves: list[Curve]) -> str:
    """One row per point."""
    rows = [{"name": line.name, "way": line.way, **point} for line in curves for point in line.points]
    known = [name for name in ("name", "way", *_columns()) if any(row.get(name) is not None for row in rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, known, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def curve_tables(curves: list[Curve], title: str, width: int = WIDE) -> Group:
    """A table for each run and way of marking, under a heading; columns of one name stand below each other.

    Args:
        curves: of runs.
        title: a line above all.
        width: columns of the terminal; figures that it has no room for are left out, the last ones first.
    """
    tables = [_rows(line) for line in curves]
    heads = list(dict.fromkeys(head for rows in tables for row in rows for head in row))
    levels = [head for head in heads if head in {_way(line)[1] for line in curves}]
    heads = [head for head in heads if head not in levels]  # of each way its own, so they stand last
    cells = {head: max(len(head), *(len(row.get(head, "")) for rows in tables for row in rows))
             for head in (*heads, *levels)}  # fmt: skip
    last = max((cells[head] for head in levels), default=0)
    while len(heads) > FEWEST and sum(cells[head] + GAP for head in heads) + last > width:
        if last:
            last, levels = 0, []
        else:
            heads.pop()
    parts: list[Table | Text] = [Text(title, style="bold")]
    for line, rows in zip(curves, tables, strict=True):
        shown = [head for head in (*heads, *levels) if any(row.get(head) for row in rows)]
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        for head in shown:
            table.add_column(head, justify="right", width=cells[head], no_wrap=True)
        for row in rows:
            table.add_row(*(row.get(head, "-") for head in shown))
        parts += [Text(""), Hanging("", f"{line.name}, {_way(line)[0]}"), table]
    return Group(*parts)


def _way(line: Curve) -> tuple[str, str]:
    return WAYS.get(line.way, (line.way, "level"))


def _rows(line: Curve) -> list[dict[str, str]]:
    """The figures of a curve as they are shown, by heading; the ones that are there."""
    rows = []
    for point in line.points:
        row = {"asked": format_value("selected", point.get("rate"))}
        row |= {_heading(name): _cell(name, point.get(name)) for name in _columns()[2:] if point.get(name) is not None}
        if _way(line)[1] and point.get("level") is not None:
            row[_way(line)[1]] = f"{point['level']:.3g}"
        rows.append(row)
    return rows


def _heading(name: str) -> str:
    label = label_of(name)
    return SHORT.get(name, label if len(label) <= LONGEST else name)


def _cell(name: str, value: Any) -> str:
    metric = metric_named(name)
    return format_value(name, value) if metric is not None and metric.format == "%" else f"{value:.3g}"
