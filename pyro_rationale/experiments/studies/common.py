"""What the studies share: a run and its documents, and results as a table and a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from pyro_rationale.cli.evaluate import SPLITS, data_options, documents_of, is_foreign
from pyro_rationale.data import load_corpus
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.options import given
from pyro_rationale.storage import write_json

Row = dict[str, Any]
WIDE = 160  # columns of a table that goes to a file or a pipe


def run_option(required: bool = True) -> Callable[..., Any]:
    """`--run`."""
    kind = click.Path(path_type=Path)
    return click.option("--run", "folder", required=required, type=kind, help="folder of a fitted run")


def split_option() -> Callable[..., Any]:
    """`--split`."""
    text = "auto: the test split, or all of a file that the run was not fitted on"
    return click.option("--split", default="auto", show_default=True, type=click.Choice(SPLITS), help=text)


def json_option() -> Callable[..., Any]:
    """`--json`."""
    return click.option("--json", "json_path", type=click.Path(path_type=Path), help="write the figures to this file")


def check_json(path: Path | None) -> None:
    """Refuse a file that cannot be written before any work is done.

    Raises:
        ConfigError: its folder does not exist.
    """
    if path is not None and not path.absolute().parent.is_dir():
        raise ConfigError(f"--json {path}: there is no such folder to write into; make it first")


def run_documents(
    folder: Path, flags: DataOptions, split: str = "auto", device: str = "auto"
) -> tuple[FittedModel, list[Document]]:
    """A run, and documents that have targets: of its own test split, or as the flags that were typed say.

    Raises:
        RunError: no usable run.
        DataError: no such documents.
    """
    fitted = FittedModel.load(folder, device)
    data = data_options(fitted.config.data, flags, given())
    corpus = load_corpus(data, fitted.spec)
    if split == "auto":
        split = "all" if is_foreign(data, fitted.config.data) else "test"
    documents = [d for d in documents_of(corpus, split) if d.targets and any(t == t for t in d.targets)]
    return fitted, documents


def batches_of(fitted: FittedModel, documents: Sequence[Document], size: int = 64) -> Iterator[Batch]:
    """Every document once, on the run's device, the shortest first; `index` says where each came from."""
    for batch in BucketedBatches(documents, fitted.vocabulary, fitted.spec, size).ordered(size):
        yield batch.to(fitted.device)


def show(title: str, rows: Sequence[Row], digits: int = 4) -> None:
    """Rows of one set of keys as a table on the terminal; the first column is the name."""
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(rows[0]):
        table.add_column(name.replace("_", " "), justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        table.add_row(*(_cell(value, digits) for value in row.values()))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    console.print(table)


def _cell(value: Any, digits: int) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def save(path: Path | None, result: dict[str, Any]) -> None:
    """Write the figures, if a file was asked for."""
    if path is not None:
        write_json(path, result)


