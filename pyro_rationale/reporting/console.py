"""Documents with their rationales, and tables, for the terminal.

Two ways of marking, chosen by :func:`is_plain`: colour with bold and underline on a terminal, brackets where there
is none (files, pipes) or where the user wants no colour (`NO_COLOR`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.progress import TaskID
from rich.table import Table
from rich.text import Text

from pyro_rationale.data.document import Document
from pyro_rationale.evaluation.metrics import every_metric, metric_named
from pyro_rationale.evaluation.options import BASELINE_TITLES
from pyro_rationale.prediction.text_spans import bracketed, noted, spans
from pyro_rationale.reporting.effects import AGAINST, FOR
from pyro_rationale.reporting.terminal import Terminal, progress_bar
from pyro_rationale.tasks._numerals import number_text

# Foreground and background together, and by value: a theme may give the sixteen named colours any look it likes.
KEPT = "bold underline #000000 on #ffd75f"
KEPT_GOLD = "bold underline not italic #000000 on #87ff87"
MISSED_GOLD = "italic underline #00875f"  # as far from black as from white
NEARLY = "underline"
UNREAD = "dim"
FEW_TEXTS = 100  # with fewer, figures have two digits
MOST_COLUMNS = 3  # aspects that have columns of their own in a terminal of 80 columns
MOST_METRICS = 4  # columns of metrics beside the names of aspects there
NEARLY_FROM = 0.2  # inclusion probability from which a word that is not kept is worth a hint


def is_plain(console: Console) -> bool:
    """Whether rationales are marked by brackets instead of colour."""
    return console.no_color or not console.is_terminal


def rationale(
    document: Document,
    kept: Sequence[bool],
    inclusion: Sequence[float] | None = None,
    gold: Sequence[bool] | None = None,
    plain: bool = False,
    signs: Sequence[int] | None = None,
) -> Text:
    """The original text with kept words marked; runs of kept words are joined over what stands between them.

    Args:
        document: text, tokens and offsets.
        kept: one flag per token.
        inclusion: P(kept) per token; words that were nearly kept are underlined (not in plain text).
        gold: one flag per token of the annotated rationale.
        plain: mark kept words with [brackets] and gold ones with {braces} instead of colours.
        signs: 1 on words of a span that speaks for the prediction, -1 against; not in plain text.

    Returns:
        Text to print at any width. Of what was not read (beyond --max-words) only the beginning is shown.
    """
    words = len(document.tokens)
    for name, flags in (("kept", kept), ("inclusion", inclusion), ("gold", gold)):
        if flags is not None and len(flags) != words:
            raise ValueError(f"expected one {name} entry per token, {words}, got {len(flags)}")
    if plain:
        return Text(bracketed(document, kept, gold), overflow="fold")
    text = Text(noted(document), overflow="fold")
    if inclusion is not None:
        for start, end in spans(document, [p >= NEARLY_FROM for p in inclusion]):
            text.stylize(NEARLY, start, end)
    both = [] if gold is None else [a and b for a, b in zip(kept, gold, strict=True)]
    speaking = [] if signs is None else [[sign == side for sign in signs] for side in (1, -1)]
    styles = [(MISSED_GOLD, gold), (KEPT, kept), *zip((FOR, AGAINST), speaking, strict=False), (KEPT_GOLD, both)]
    for style, flags in styles:
        for start, end in spans(document, flags) if flags else ():
            text.stylize(style, start, end)
    text.stylize(UNREAD, document.offsets[-1][1] if document.offsets else 0)
    return text


def legend(gold: bool, inclusion: str = "", signed: bool = False) -> Text:
    """Key to the colours of a rationale.

    Args:
        gold: whether there are annotations.
        inclusion: what the numbers are by which words are nearly kept.
        signed: whether spans are marked by what they do.
    """
    text = Text.assemble(("kept", KEPT))
    if signed:
        text = Text.assemble(("kept, for", FOR), "  ", ("kept, against", AGAINST))
    if gold:
        text = Text.assemble(("kept, annotated", KEPT_GOLD), "  ", ("kept only", KEPT), "  ")
        text.append_text(Text.assemble(("annotated only", MISSED_GOLD)))
    if inclusion:
        text.append_text(Text.assemble("  ", ("nearly kept", NEARLY), f": {inclusion}, {NEARLY_FROM:g} or more"))
    return text


def label_of(name: str) -> str:
    """A metric's name in tables; its own name if the registry has no label for it."""
    metric = metric_named(name)
    return metric.label if metric is not None and metric.label else name


def label_in(name: str, metrics: Mapping[str, Any]) -> str:
    """A metric's name beside others of the same evaluation: on lists of 20, where every list has so many candidates."""
    size, label = metrics.get("list_size"), label_of(name)
    return label.replace("lists of candidates", f"lists of {size}") if isinstance(size, int) else label


def shown_metrics(metrics: Mapping[str, Any]) -> list[str]:
    """Names of those metrics that tables show: registered ones that have a label, then unregistered ones."""
    registered = every_metric()
    known = [metric.name for metric in registered if metric.label and metric.name in metrics]
    hidden = {metric.name for metric in registered} | {"aspects"}
    return [*known, *(name for name in metrics if name not in hidden)]


def foldable(name: str, width: int) -> str:
    """The name of a run folder for a column: one of more than `width` characters may be cut at hyphens and slashes."""
    return name if len(name) <= width else name.replace("-", "- ").replace("/", "/ ")


def format_value(name: str, value: Any, few: bool = False) -> str:
    """A metric as people read it: shares as percentages, other numbers to a few digits.

    Args:
        name: of the metric.
        value: as JSON has it.
        few: of few texts, of which no more digits than two tell anything.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    metric = metric_named(name)
    style = ".4g" if metric is None else metric.format
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if style == "%":
        return f"{100 * value:.0f} %" if few else f"{100 * value:.1f} %"
    if isinstance(value, int):
        return f"{value:,}"
    return number_text(float(f"{value:.2g}"), "g") if few else number_text(value, style)


def format_interval(name: str, ends: tuple[float, float], few: bool = False) -> str:
    """`59.4 to 62.2 %`: both ends as the metric itself, the unit once; `few` as for :func:`format_value`."""
    low, high = (format_value(name, end, few) for end in ends)
    return "" if "-" in (low, high) else f"{low.removesuffix(' %')} to {high}"


def main_metrics(metrics: Mapping[str, Any]) -> list[str]:
    """Names of the metrics that a short table shows: the main ones, and those that are not registered."""
    minor = {metric.name for metric in every_metric() if not metric.main}
    minor |= {"shared"} if "f1" in metrics else set()  # gold says more of whose words are kept
    minor |= {"documents"} if "queries" in metrics else set()  # the figures are means over queries
    return [name for name in shown_metrics(metrics) if name not in minor]


def metrics_table(
    metrics: Mapping[str, Any],
    title: str | None = None,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    every: bool = True,
) -> Group:
    """One row per metric, and a column for each of a few aspects; more of them have rows of their own, below.

    The title stands above, at full width; intervals stand next to the figures that they are of.

    Args:
        metrics: by name.
        title: a line above.
        intervals: both ends, by name.
        every: all metrics; else the main ones, and a line that says how many more there are.
    """
    aspects: Mapping[str, Mapping[str, Any]] = metrics.get("aspects", {})
    beside = aspects if len(aspects) <= MOST_COLUMNS else {}
    table = Table(box=None, pad_edge=False, show_header=bool(beside))
    table.add_column()
    table.add_column("all", justify="right")
    if intervals is not None:
        table.add_column()
    for aspect in beside:
        table.add_column(aspect, justify="right")
    names = shown_metrics(metrics)
    told = names if every else main_metrics(metrics)
    few = metrics.get("documents", FEW_TEXTS) < FEW_TEXTS
    for name in told:
        own = beside.values()
        cells = [format_value(name, values.get(name), few) if name in values else "" for values in own]
        if intervals is not None:
            cells.insert(0, format_interval(name, intervals[name], few) if name in intervals else "")
        table.add_row(label_in(name, metrics), format_value(name, metrics[name], few), *cells)
    heading = [] if title is None else [Text(title, style="bold")]
    more = len(names) - len(told)
    rest = [Text(f"{more} more figures: --verbose", style="dim")] if more else []
    below = [] if beside else _aspect_tables(aspects, [name for name in told if name != "documents"], few)
    return Group(*heading, table, *below, *rest)


def _aspect_tables(aspects: Mapping[str, Mapping[str, Any]], told: Sequence[str], few: bool) -> list[Table]:
    """Tables with one row per aspect, each of as many metrics as fit beside one another."""
    told = [name for name in told if any(name in values for values in aspects.values())]
    tables = []
    for start in range(0, len(told), MOST_METRICS):
        names = told[start : start + MOST_METRICS]
        table = Table(box=None, pad_edge=False)
        table.add_column("by target", overflow="fold", vertical="bottom")
        for name in names:
            table.add_column(label_of(name), justify="right", vertical="bottom", max_width=12)
        for aspect, values in aspects.items():
            cells = (format_value(name, values[name], few) if name in values else "" for name in names)
            table.add_row(Text(aspect), *cells)
        tables.append(table)
    return tables


WIDEST = 6  # classes whose confusion matrix fits beside their figures


def class_tables(metrics: Mapping[str, Any]) -> Iterator[Group]:
    """A table per target of classes: documents, precision, recall and F1 of each, and what they are predicted to be.

    Of few classes that is the confusion matrix; of more, the class that each is most often mistaken for.
    """
    targets = {"": metrics} if "classes" in metrics else metrics.get("aspects", {})
    source = "the average over masks" if "averaged_macro_f1" in metrics else "one mask of each text"
    for name, figures in targets.items():
        if "classes" in figures:
            heading = f"{name}: classes" if name else "Classes"
            table = _class_table(figures["classes"], figures["confusion"])
            yield Group(Text(f"{heading}, as predicted from {source}", style="bold"), table)


def _class_table(classes: Mapping[str, Mapping[str, float]], confusion: Mapping[str, Mapping[str, int]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("true")
    few = len(classes) <= WIDEST
    columns = [f"as {label}" for label in classes] if few else []
    for heading in ("documents", "precision", "recall", "F1", *columns):
        table.add_column(Text(heading), justify="right")
    if not few:
        table.add_column("most often taken for")
    for label, figures in classes.items():
        shares = (f"{100 * figures[name]:.1f} %" for name in ("precision", "recall"))
        row = [f"{figures['documents']:,}", *shares, f"{figures['f1']:.3f}"]
        if few:
            row += [f"{count:,}" for count in confusion[label].values()]
        else:
            others = {other: count for other, count in confusion[label].items() if other != label and count}
            most = max(others, key=lambda other: others[other], default=None)
            row.append("" if most is None else f"{most} ({others[most]:,})")
        table.add_row(Text(label), *map(Text, row))
    return table


# Metrics that stand in the table of baselines, although no test of two runs is made of them.
BESIDE = ("macro_f1", "mrr", "p_at_1", "corpus_map")


def baselines_table(test: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row per way to predict, this fit first; columns for what significance tests look at, and for `BESIDE`.

    The figures of the fit are those of the shown words; a second row has those of the average over masks.
    """
    rows = {"this fit": test, **{BASELINE_TITLES.get(name, name): figures for name, figures in baselines.items()}}
    tested = [metric.name for metric in every_metric() if metric.tested or metric.name in BESIDE]
    names = [name for name in tested if all(name in figures for figures in rows.values())]
    table = Table(box=None, pad_edge=False)
    table.add_column()
    for name in names:
        table.add_column(label_of(name), justify="right")
    for title, figures in rows.items():
        table.add_row(title, *(format_value(name, figures[name]) for name in names))
        averaged = [test.get(f"averaged_{name}") for name in names] if figures is test else []
        if any(value is not None for value in averaged):
            table.add_row("  averaged over masks", *map(_if_known, names, averaged))
    return table


def _if_known(name: str, value: Any) -> str:
    return "" if value is None else format_value(name, value)


@contextmanager
def corpus_progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """A progress bar on the terminal while a corpus is cut into words; yields the function that moves it."""
    with progress_bar(Terminal(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def move(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(f"cutting {name} into words", total=total)
            bar.update(tasks[name], completed=done)

        yield move


@contextmanager
def counting(name: str, steps: int | None, quiet: bool = False) -> Iterator[Callable[..., None]]:
    """A bar on standard error, if that is a terminal; gives the function that advances it, by 1 or by a number."""
    with progress_bar(Terminal(stderr=True), quiet=quiet) as bar:
        task = bar.add_task(name, total=steps)
        yield lambda steps=1: bar.advance(task, steps)
