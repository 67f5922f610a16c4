"""Find similar texts: `python -m pyro_rationale.search --run RUN --index INDEX "A text" ...`.

Prints the texts of the index that are most like each query; on both sides the words are marked that this rests on.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.rule import Rule
from rich.text import Text

from pyro_rationale.cli.common import Command
from pyro_rationale.cli.index import OTHERS, READING
from pyro_rationale.cli.input_texts import gather, is_table
from pyro_rationale.data.document import Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.options import device_option, given, options_from, run_option, with_given
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.reporting.console import is_plain, legend
from pyro_rationale.reporting.marked import marked
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.storage import to_json, user_path

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.retrieval import Hits

AT_ONCE = 64  # queries


@click.command(cls=Command, prints_only=True)
@click.argument("texts", nargs=-1)
@run_option
@click.option("--index", "index_folder", required=True, type=click.Path(path_type=Path),
              help="folder that the command index has made")
@click.option("--top", default=10, show_default=True, help="texts to show per query, 1 to 100")
@click.option("--file", help="a query per row of a table, or per line of a text file; - for standard input")
@click.option("--id-column", help="column that names each row of the table in the output [default: id, _id or qid; "
              "else its line]")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object per query (JSON lines)")
@options_from(DecodeOptions)
@options_from(DataOptions, show_defaults=False, without=OTHERS)
@device_option
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads; default: as torch chooses")
def search(
    how: DecodeOptions,
    flags: DataOptions,
    texts: tuple[str, ...],
    folder: Path,
    index_folder: Path,
    top: int,
    file: str | None,
    id_column: str | None,
    as_json: bool,
    device: str,
    threads: int | None,
) -> None:
    """Find the texts of an index that are most like TEXTS (or those of --file, or of standard input).

    A query without a word has no hits. The probability of a hit is its share among the 100 best ones. A decode rule
    that is not that of the index is refused.
    """
    import torch

    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.embedding import ModelEmbedder
    from pyro_rationale.prediction.index import Index, check_model
    from pyro_rationale.prediction.retrieval import search_each

    if threads is not None:
        torch.set_num_threads(threads)
    fitted = FittedModel.load(folder, device)
    embedder = ModelEmbedder(fitted, how)
    index = Index.load(index_folder)
    check_model(index, embedder, index_folder)
    queries = queries_of(fitted, texts, file, flags, id_column)
    console = Terminal()
    while some := list(islice(queries, AT_ONCE)):
        for query, hits in zip(some, search_each(embedder, index, some, top), strict=True):
            if as_json:
                print(to_json({"id": query.id} | hits.record()), flush=True)
            elif is_plain(console):
                print("\n".join([f"{query.id} ".ljust(80, "-"), *map(str, lines(hits, plain=True))]), flush=True)
            else:
                console.print(Rule(Text(query.id), style="dim", align="left", characters="-"))
                for line in lines(hits, plain=False):
                    console.print(line)
    if not as_json and not is_plain(console):
        console.print(legend(gold=False), style="dim")


def queries_of(
    fitted: FittedModel, texts: tuple[str, ...], file: str | None, flags: DataOptions, id_column: str | None
) -> Iterator[Document]:
    """The queries, one by one.

    Raises:
        ConfigError: an option that means nothing for them.
        DataError: the only one has no word, or the file cannot be read.
    """
    from pyro_rationale.data.question_files import read_queries
    from pyro_rationale.prediction.retrieval import has_words

    run, typed = fitted.config.data, given() & {*READING, "id_column"}
    if file is not None and not texts and is_table(file):
        plain = DataOptions(max_words=run.max_words, tokenizer=run.tokenizer)
        return read_queries(user_path(file), with_given(plain, flags, typed & set(READING)), id_column)
    if typed:
        raise ConfigError(f"--{min(typed).replace('_', '-')}: is about tables; name one with --file, or leave it out")
    queries = gather(texts, file, run.max_words, fitted.tokenizer)
    if len(texts) != 1:
        return queries
    (query,) = queries
    if not has_words(query):
        raise DataError(f"{query.id}: no word in it; write a text to search for")
    return iter([query])


def lines(hits: Hits, plain: bool) -> Iterator[Text]:
    """The query and its hits as lines for the terminal."""
    yield marked(hits.query, plain)
    if not hits.query.mask:
        yield Text("no word in it", style="bold")
    if hits.doubt:
        yield Text(hits.doubt, style="bold")
    yield Text("")
    for hit in hits:
        scores = f"score {hit.score:.3f}, probability {100 * hit.probability:.1f} %"
        yield Text(f"{hit.rank:>3}  {hit.id}  {scores}", style="bold")
        yield marked(hit.document_explanation, plain)
        yield Text("")
