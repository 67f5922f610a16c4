"""Error and rationales at any share of words, from one model: `python -m pyro_rationale.curve --run RUN [...]`."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from pyro_rationale.cli.common import Command, refuse_ranking
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.selection import documents_of, select_documents
from pyro_rationale.data.targets import number_of
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.options import MASK_RULES, RATES
from pyro_rationale.options import (
    STANDARD_OUTPUT,
    check_writable,
    device_option,
    given,
    json_option,
    options_from,
    split_option,
    write_result,
)
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.storage import write_bytes
from pyro_rationale.tasks import cost_names

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.evaluation.rate_curves import Curve

WIDE = 140
MOST_COUPLING = 1000.0  # nats; no mask changes with far fewer


@click.command(cls=Command)
@click.option("--run", "folders", multiple=True, required=True, type=click.Path(path_type=Path),
              help="folder of a fitted run, drawn as curves; repeat it")
@click.option("--per-rate", "singles", multiple=True, type=click.Path(path_type=Path),
              help="folder of a run that was fitted for one rate, drawn as a point; repeat it")
@click.option("--way", "ways", multiple=True, type=click.Choice(MASK_RULES),
              help="of marking; repeat it [default: all that a run has]")
@click.option("--rates", default=",".join(f"{rate:g}" for rate in RATES), show_default=True,
              help="shares of words, with commas")
@click.option("--coupling", default=0.0, show_default=True,
              help="with the way prior: nats by which every change of the mask becomes dearer as well")
@split_option
@click.option("--levels", default="same", show_default=True, type=click.Choice(("same", "dev")),
              help="texts on which thresholds and prices of words are found, without their labels")
@options_from(DataOptions, show_defaults=False)
@json_option
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="write the table to this file")
@click.option("--figure", type=click.Path(path_type=Path), help="draw the curves into this file (.png, .svg, .pdf)")
@device_option
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
) -> None:
    """Print error, accuracy, precision, recall and F1 of runs at many shares of words, without fitting again.

    Flags about the data that are not given are as in the first run.
    """
    shares = read_rates(rates)
    if not abs(coupling) <= MOST_COUPLING:
        raise ConfigError(f"--coupling: expected {-MOST_COUPLING:g} to {MOST_COUPLING:g} nats, got {coupling:g}")
    for flag, path in (("--json", json_path), ("--csv", csv_path), ("--figure", figure)):
        check_writable(flag, path)
    if figure is not None:
        from pyro_rationale.reporting.plots.files import check_figure

        check_figure(figure)
    from pyro_rationale.data.aspects import by_aspect
    from pyro_rationale.evaluation.objective_comparison import check_same_target, short_names
    from pyro_rationale.evaluation.rate_curves import mask_rules_of, own_point, trace
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.rationalizer import ModelRationalizer

    every = [*folders, *singles]
    check_same_target(every)
    markers = [ModelRationalizer(FittedModel.load(folder, device)) for folder in every]
    refuse_ranking("curve", markers[0].spec)
    for marker, name in zip(markers, short_names(every), strict=True):
        marker.name = name
        for way in ways:
            if way not in mask_rules_of(marker) and marker in markers[: len(folders)]:
                if way == "top-k":
                    raise ConfigError(f"--way top-k: would cut the sentences of {name}; use --way threshold or prior")
                raise ConfigError(
                    f"--way {way}: the recurrent guide of {name} has no closed form under another prior; "
                    "use --way threshold or top-k"
                )
    first = markers[0].fitted
    chosen = select_documents(first.config.data, flags, given(), split, first.spec, first.rows)
    documents, data, split = chosen.documents, chosen.options, chosen.split
    found_on = documents_of(chosen.corpus, "dev") if levels == "dev" else None
    curves: list[Curve] = []
    for number, marker in enumerate(markers):  # a run with a mask for each target asks about each of them
        asked, found = documents, found_on
        if marker.aspects > 1:
            asked = by_aspect(documents, marker.aspects)
            found = None if found_on is None else by_aspect(found_on, marker.aspects)
        if number < len(folders):
            curves += [trace(marker, asked, way, shares, coupling, found) for way in ways or mask_rules_of(marker)]
        curves.append(own_point(marker, asked, marker.fitted.config.model.rate))
    result = {"data": data.data, "split": split, "documents": len(documents), "coupling": coupling,
              "levels": levels, "curves": [asdict(curve) for curve in curves]}
    write_result(json_path, result)
    if json_path != STANDARD_OUTPUT:
        Terminal(wide=WIDE).print(_table(curves, f"{data.data} ({split} split, {len(documents)} documents)"))
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


def _table(curves: list[Curve], title: str) -> Table:
    points = [point for line in curves for point in line.points]
    known = [name for name in _columns() if any(point.get(name) is not None for point in points)]
    table = Table("run", "way", *known, title=title)
    for line in curves:
        for number, point in enumerate(line.points):
            first = (line.name, line.way) if number == 0 else ("", "")
            table.add_row(*first, *(_cell(point.get(name)) for name in known))
        table.add_section()
    return table


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.3g}"
