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
from pyro_rationale.cli.input_texts import gather
from pyro_rationale.options import device_option, options_from, run_option
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.reporting.console import is_plain, legend
from pyro_rationale.reporting.marked import marked
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.storage import to_json

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.prediction.retrieval import Hits

AT_ONCE = 64  # queries


@click.command(cls=Command, prints_only=True)
@click.argument("texts", nargs=-1)
@run_option
@click.option("--index", "index_folder", required=True, type=click.Path(path_type=Path),
              help="folder that the command index has made")
@click.option("--top", default=10, show_default=True, help="texts to show per query, 1 to 100")
@click.option("--file", help="one query per line; - for standard input")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object per query (JSON lines)")
@options_from(DecodeOptions)
@device_option
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads; default: as torch chooses")
def search(
    how: DecodeOptions,
    texts: tuple[str, ...],
    folder: Path,
    index_folder: Path,
    top: int,
    file: str | None,
    as_json: bool,
    device: str,
    threads: int | None,
) -> None:
    """Find the texts of an index that are most like TEXTS (or the lines of --file, or of standard input).

    The probability of a hit is its share among the 100 best ones. A decode rule that is not that of the index is
    refused.
    """
    import torch

    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.embedding import ModelEmbedder
    from pyro_rationale.prediction.index import Index, check_model
    from pyro_rationale.prediction.retrieval import search as find

    if threads is not None:
        torch.set_num_threads(threads)
    fitted = FittedModel.load(folder, device)
    embedder = ModelEmbedder(fitted, how)
    index = Index.load(index_folder)
    check_model(index, embedder, index_folder)
    queries = gather(texts, file, fitted.config.data.max_words, fitted.tokenizer)
    console = Terminal()
    while some := list(islice(queries, AT_ONCE)):
        for query, hits in zip(some, find(embedder, index, some, top), strict=True):
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


def lines(hits: Hits, plain: bool) -> Iterator[Text]:
    """The query and its hits as lines for the terminal."""
    yield marked(hits.query, plain)
    if hits.doubt:
        yield Text(hits.doubt, style="bold")
    yield Text("")
    for hit in hits:
        scores = f"score {hit.score:.3f}, probability {100 * hit.probability:.1f} %"
        yield Text(f"{hit.rank:>3}  {hit.id}  {scores}", style="bold")
        yield marked(hit.document_explanation, plain)
        yield Text("")
