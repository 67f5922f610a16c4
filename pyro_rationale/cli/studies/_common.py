"""Shared by the commands of studies: how a run and its documents are loaded, and results printed as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from pyro_rationale.cli.common import refuse_ranking, together
from pyro_rationale.data.options import DataOptions
from pyro_rationale.options import device_option, given, json_option, options_from, run_option, split_option
from pyro_rationale.reporting.terminal import Terminal

# Modules that need torch are imported by the functions that use them: help comes at once.
if TYPE_CHECKING:
    from pyro_rationale.data.document import Document
    from pyro_rationale.experiments.studies.common import Row
    from pyro_rationale.fitted import FittedModel

WIDE = 160  # columns of a table that goes to a file or a pipe
run_options = together(
    run_option, split_option, options_from(DataOptions, show_defaults=False), device_option, json_option
)


def run_documents(
    folder: Path, flags: DataOptions, split: str = "auto", device: str = "auto", ensembles: bool = False
) -> tuple[FittedModel, list[Document]]:
    """A run, and documents that have targets: of its own test split, or as the flags that were typed say.

    Args:
        folder: of the run.
        flags: about the data.
        split: of the documents.
        device: to compute on.
        ensembles: whether it may be an ensemble.

    Raises:
        RunError: no usable run.
        DataError: no such documents.
    """
    from pyro_rationale.fitted import FittedModel

    fitted = (FittedModel.load if ensembles else FittedModel.load_single)(folder, device)
    refuse_ranking("study", fitted.spec)
    return fitted, documents_for(fitted, flags, split)


def documents_for(fitted: FittedModel, flags: DataOptions, split: str) -> list[Document]:
    """Documents of a split that have targets: the run's own, or as the flags that were typed say.

    Raises:
        DataError: no such documents.
    """
    from pyro_rationale.data.selection import select_documents

    return select_documents(fitted.config.data, flags, given(), split, fitted.spec, fitted.rows).with_targets()


def show(title: str, rows: Sequence[Row], digits: int = 4) -> None:
    """Print rows with the same keys as a table; the first column is the name."""
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(rows[0]):
        table.add_column(name.replace("_", " "), justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        table.add_row(*(_cell(value, digits) for value in row.values()))
    Terminal(wide=WIDE).print(table)


def _cell(value: Any, digits: int) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
