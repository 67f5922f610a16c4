"""The report of a run that ranks texts: the best and the worst ranked queries, side by side with what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pyro_rationale import __version__
from pyro_rationale.reporting.console import label_in, shown_metrics
from pyro_rationale.reporting.html.charts import training_charts
from pyro_rationale.reporting.html.context import Section, Tile
from pyro_rationale.reporting.html.meanings import explained
from pyro_rationale.reporting.html.payload import metric_text
from pyro_rationale.reporting.html.render import base_style, jinja_environment, page_file, policy_hash
from pyro_rationale.storage import write_bytes

if TYPE_CHECKING:
    from pyro_rationale.evaluation.ranking import RankedQuery
    from pyro_rationale.training.history import EpochRecord

SHOWN = 5  # candidates of each query, and the best similar text behind them
# The metrics that people look for first: name, label and note.
TILES = (
    ("queries", "queries", ""),
    ("map", "MAP", "on lists of candidates"),
    ("full_map", "MAP, all words", "the same encoder"),
    ("map_share", "share of that", "reached by the kept words"),
    ("rest_map", "MAP, other words", "without the kept ones"),
    ("p_at_1", "P@1", "similar text ranked first"),
    ("corpus_map", "MAP, whole corpus", ""),
    ("oracle_map", "MAP possible", "knowing what was asked"),
    ("list_log_loss", "log loss", "nats per similar text"),
    ("selected", "words kept", ""),
    ("span", "mean run", "kept words in a row"),
    ("empty", "nothing kept", "share of texts"),
    ("precision", "precision", "kept words that annotators marked"),
    ("recall", "recall", "marked words that are kept"),
)


@dataclass(frozen=True)
class PairsContext:
    """Everything that the page shows.

    Attributes:
        title: its heading.
        facts: label and value of where the numbers come from.
        tiles: the summary.
        metrics: label and value of every metric, of all texts, of queries and of candidates.
        sections: of charts.
        queries: heading, note and queries of each part.
        version: of the package.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    tiles: tuple[Tile, ...]
    metrics: tuple[tuple[str, ...], ...]
    sections: tuple[Section, ...]
    queries: tuple[tuple[str, str, tuple[RankedQuery, ...]], ...]
    version: str = __version__


def build_pairs_report(
    queries: Sequence[RankedQuery],
    metrics: Mapping[str, Any],
    name: str,
    facts: Sequence[tuple[str, str]] = (),
    history: Sequence[EpochRecord] = (),
) -> PairsContext:
    """Gather what the page shows.

    Args:
        queries: the best ranked first; the second half of them are the worst.
        metrics: of all queries, by name.
        name: the run's.
        facts: label and value of where the numbers come from.
        history: of training; empty if it was not recorded.
    """
    half = (len(queries) + 1) // 2
    parts = (
        ("Ranked best", "highest average precision first", tuple(queries[:half])),
        ("Ranked worst", "lowest average precision first", tuple(reversed(queries[half:]))),
    )
    charts = tuple(explained(training_charts(history)))
    sides: Mapping[str, Mapping[str, Any]] = metrics.get("aspects", {})
    rows = tuple(
        (label_in(metric, metrics), *(metric_text(metric, table) for table in (metrics, *sides.values())))
        for metric in shown_metrics(metrics)
    )
    return PairsContext(
        title=f"Similar texts by {name}",
        facts=(("run", name), *facts),
        tiles=tuple(Tile(label, metric_text(key, metrics), note) for key, label, note in TILES if key in metrics),
        metrics=(("", "all", *sides), *rows),
        sections=(Section("training", "Training", charts),) if charts else (),
        queries=tuple((title, note, tuple(map(_cut, some))) for title, note, some in parts if some),
    )


def write_pairs_report(path: Path, context: PairsContext) -> None:
    """Write the page, in one step; equal contexts give equal bytes."""
    write_bytes(path, render_pairs(context).encode())


def render_pairs(context: PairsContext) -> str:
    """The page as text; it makes no request and runs no script."""
    style = base_style() + page_file("style.css") + page_file("pairs.css")
    return jinja_environment().get_template("pairs.html.j2").render(
        context=context,
        style=Markup(style),
        policy=f"default-src 'none'; style-src {policy_hash(style)}; base-uri 'none'; form-action 'none'",
    )


def _cut(query: RankedQuery) -> RankedQuery:
    """The query with its first candidates, and the first similar text if that is none of them."""
    chosen = query.candidates[:SHOWN]
    if not any(text.relevant for text in chosen):
        chosen += tuple(text for text in query.candidates[SHOWN:] if text.relevant)[:1]
    return replace(query, candidates=chosen)
