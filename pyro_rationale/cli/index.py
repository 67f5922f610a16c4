"""Make a corpus searchable: `python -m pyro_rationale.index --run RUN --corpus FILE --out INDEX`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyro_rationale.cli.common import Command, make_folder
from pyro_rationale.data.document import Document, words_beyond
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError
from pyro_rationale.options import batch_size_option, device_option, given, options_from, run_option, with_given
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.reporting.console import counting
from pyro_rationale.reporting.terminal import Terminal

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel

READING = ("text_column", "encoding", "separator", "header", "skip_bad_rows")  # how a file is read
OTHERS = tuple(item.name for item in fields(DataOptions) if item.name not in READING)


@click.command(cls=Command)
@run_option
@click.option("--corpus", type=click.Path(path_type=Path),
              help="a text per row or line: a table, a saved data set, a text file [default: the texts of the run]")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="folder of the index")
@options_from(DecodeOptions)
@options_from(DataOptions, show_defaults=False, without=OTHERS)
@batch_size_option
@device_option
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads; default: as torch chooses")
@click.option("--force", is_flag=True, help="replace the index that is there")
@click.option("--quiet", is_flag=True, help="no progress, only the summary")
def index(
    how: DecodeOptions,
    flags: DataOptions,
    folder: Path,
    corpus: Path | None,
    out: Path,
    batch_size: int,
    device: str,
    threads: int | None,
    force: bool,
    quiet: bool,
) -> None:
    """Turn the texts of a corpus into vectors, each made of the words kept, for `search`.

    After an interruption the same command goes on where it stopped.
    """
    import torch

    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.embedding import ModelEmbedder
    from pyro_rationale.prediction.index import make_index

    if threads is not None:
        torch.set_num_threads(threads)
    if corpus is None and (typed := given() & set(READING)):
        name = min(typed).replace("_", "-")
        raise ConfigError(f"--{name}: is about a file of texts; name it with --corpus")
    fitted = FittedModel.load(folder, device)
    embedder = ModelEmbedder(fitted, how, batch_size)
    documents, count = texts_of(fitted, corpus, flags, given())
    most, cut = fitted.config.data.max_words, 0

    def read() -> Iterator[Document]:
        nonlocal cut
        for document in documents:
            cut += words_beyond(document, most) > 0
            yield document

    make_folder(out)
    started = time.monotonic()
    with counting("indexing", count, quiet) as advance:
        made = make_index(embedder, read(), out, str(corpus or fitted.config.data.data), force, advance)
    facts = made.facts
    console = Terminal()
    share = facts["kept"] / max(facts["words"], 1)
    console.say(
        f"{facts['texts']:,} texts, {100 * share:.1f} % of their words kept, nothing kept of "
        f"{100 * facts['empty']:.1f} % of them; "
        f"{time.monotonic() - started:.1f} s"
    )
    if cut:
        whole = f"{cut:,} of {facts['texts']:,} texts"
        console.say(f"{whole} have more than the {most:,} words that the run reads (--max-words)")
    console.say(f"search it: python -m pyro_rationale.search --run {folder} --index {out} \"a text\"")


def texts_of(
    fitted: FittedModel, corpus: Path | None, flags: DataOptions, typed: set[str]
) -> tuple[Iterator[Document], int | None]:
    """The texts to index, one by one, and their number where it is known before they are read.

    Args:
        fitted: the run, whose tokenizer and number of words are taken.
        corpus: a file; `None` for the corpus of the run.
        flags: how the file is written.
        typed: names of the flags that the user set.
    """
    run = fitted.config.data
    if corpus is None:
        from pyro_rationale.data import load_corpus
        from pyro_rationale.data.loading import is_from_memory

        if is_from_memory(run.data):
            raise ConfigError(f"--run {fitted.name}: was fitted in Python, and holds no texts; name them with --corpus")
        whole = load_corpus(run, fitted.spec, typed=())
        documents, chosen = whole.documents, whole.searchable  # type: ignore[attr-defined]
        return (documents[int(i)] for i in chosen), len(chosen)
    from pyro_rationale.data.question_files import read_questions

    plain = DataOptions(max_words=run.max_words, tokenizer=run.tokenizer)
    return read_questions(corpus, with_given(plain, flags, typed & set(READING))), None
