"""Cut a corpus into words once, for fits that read it from disk: `python -m pyro_rationale.prepare --cache FOLDER`.

Every command with the same data options and the same `--cache` then finds it; without this one, the first of them
makes it.
"""

from __future__ import annotations

import time

import click
from rich.table import Table

from pyro_rationale.cli.common import Command
from pyro_rationale.data import load_corpus
from pyro_rationale.data.cache.dataset import ArrowDocuments
from pyro_rationale.data.duplicates import summary
from pyro_rationale.data.loading import warn_of_ignored
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError
from pyro_rationale.options import given, options_from
from pyro_rationale.reporting.console import corpus_progress
from pyro_rationale.reporting.terminal import Terminal


@click.command(cls=Command)
@options_from(DataOptions)
def prepare(options: DataOptions) -> None:
    """Make the Arrow files of a table or of synthetic reviews in --cache, or check existing ones."""
    if options.cache is None:
        raise ConfigError("--cache: name the folder that the Arrow files shall be in")
    warn_of_ignored(options.data, given())
    started = time.monotonic()
    with corpus_progress() as progress:
        corpus = load_corpus(options, progress=progress)
    table = Table(title=f"{options.data}, {corpus.spec.kind} of {', '.join(corpus.spec.names)}")
    for column in ("split", "documents", "words", "Arrow file", "megabytes"):
        table.add_column(column, justify="left" if column in ("split", "Arrow file") else "right")
    for name in ("train", "dev", "test"):
        documents = getattr(corpus, name)
        if not isinstance(documents, ArrowDocuments):
            raise ConfigError(f"--data {options.data}: only tables and synthetic reviews are kept as Arrow files")
        size, words = documents.file.path.stat().st_size / 1e6, int(documents.lengths.sum())
        table.add_row(name, f"{len(documents):,}", f"{words:,}", documents.file.path.name, f"{size:,.1f}")
    console = Terminal()
    console.print(table)
    console.say(summary(corpus))
    console.say(f"ready after {time.monotonic() - started:.1f} s")
