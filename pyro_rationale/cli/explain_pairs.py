"""`explain` of a run that ranks texts: a query, and how like it other texts are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from pyro_rationale.data.document import Document, with_words
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.reporting.console import is_plain, legend, rationale
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.storage import to_json

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.pairs import QueryPosterior


def print_pairs(fitted: FittedModel, documents: Sequence[Document], options: PredictOptions, as_json: bool) -> None:
    """Print the first text as a query, and the others with how like it they are.

    Raises:
        DataError: a text has no word.
    """
    from pyro_rationale.prediction.embedding import unknown_words
    from pyro_rationale.prediction.labels import doubt_of_query
    from pyro_rationale.prediction.pairs import explain_pairs

    query, *others = with_words(documents)
    found = explain_pairs(fitted, query, others, options)
    console = Terminal()
    if as_json:
        print(to_json(found.record()), flush=True)
        return
    plain = is_plain(console)
    doubt = doubt_of_query(unknown_words(fitted, query), query.tokens)
    for line in lines(found, plain, doubt):
        if plain:
            print(line, flush=True)
        else:
            console.print(line)
    if not plain:
        console.print(legend(gold=False), style="dim")


def lines(found: QueryPosterior, plain: bool, doubt: str = "") -> Iterator[Text]:
    """The query, with a line of doubt about it if there is one, and the other texts, the most probable first."""
    query = found.query
    kept, words = query.marked.words_kept, len(query.marked.mask)
    share = f"{100 * query.frequency:.0f} %"
    yield Text(f"query: {kept} of {words} words kept; {share} of the draws are this mask", style="bold")
    yield rationale(query.document, query.marked.mask, query.inclusion, plain=plain)
    if doubt:
        yield Text(doubt, style="bold")
    yield Text("")
    for pair in sorted(found.pairs, key=lambda pair: -pair.probability):
        low, high = pair.interval
        text = pair.text
        share = f"probability {100 * pair.probability:.1f} %, " if len(found.pairs) > 1 else ""
        yield Text(
            f"{text.document.id}: {share}score {pair.score:.3f}, over draws of both masks {pair.mean:.3f} "
            f"({100 * found.level:.0f} % of them {low:.3f} to {high:.3f})",
            style="bold",
        )
        yield rationale(text.document, text.marked.mask, text.inclusion, plain=plain)
        yield Text("")
