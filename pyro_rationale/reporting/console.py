"""Documents with their rationales, and tables, for the terminal.

Two ways of marking, chosen by :func:`is_plain`: colour with bold and underline on a terminal, brackets where there
is none (files, pipes) or where the user wants no colour (`NO_COLOR`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from pyro_rationale.data.document import Document, spans_of

# Foreground and background together, and by value: a theme may give the sixteen named colours any look it likes.
KEPT = "bold underline #000000 on #ffd75f"
KEPT_GOLD = "bold underline not italic #000000 on #87ff87"
MISSED_GOLD = "italic underline #00875f"  # as far from black as from white
NEARLY = "underline"
UNREAD = "dim"
UNREAD_SHOWN = 200  # characters of an unread tail that are shown
NEARLY_FROM = 0.2  # inclusion probability from which a word that is not kept is worth a hint

Span = tuple[int, int]

_OBEYED = re.compile("[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069]")


def is_plain(console: Console) -> bool:
    """Whether rationales must be told by brackets instead of colour."""
    return console.no_color or not console.is_terminal


def rationale(
    document: Document,
    kept: Sequence[bool],
    inclusion: Sequence[float] | None = None,
    gold: Sequence[bool] | None = None,
    plain: bool = False,
) -> Text:
    """The original text with kept words marked; runs of kept words are joined over what stands between them.

    Args:
        document: text, tokens and offsets.
        kept: one flag per token.
        inclusion: P(kept) per token; words that were nearly kept are underlined (not in plain text).
        gold: one flag per token of the annotated rationale.
        plain: mark kept words with [brackets] and gold ones with {braces} instead of colours.

    Returns:
        Text to print at any width. Of what was not read (beyond --max-words) only the beginning is shown.
    """
    words = len(document.tokens)
    for name, flags in (("kept", kept), ("inclusion", inclusion), ("gold", gold)):
        if flags is not None and len(flags) != words:
            raise ValueError(f"expected one {name} entry per token, {words}, got {len(flags)}")
    read = document.offsets[-1][1] if document.offsets else 0
    clean = _shortened(harmless(document.text), read)
    kept_spans = list(spans(document, kept))
    gold_spans = [] if gold is None else list(spans(document, gold))
    if plain:
        return Text(_bracketed(clean, kept_spans, gold_spans), overflow="fold")
    text = Text(clean, overflow="fold")
    if inclusion is not None:
        for start, end in spans(document, [p >= NEARLY_FROM for p in inclusion]):
            text.stylize(NEARLY, start, end)
    for start, end in gold_spans:
        text.stylize(MISSED_GOLD, start, end)
    for start, end in kept_spans:
        text.stylize(KEPT, start, end)
    if gold is not None:
        for start, end in spans(document, [a and b for a, b in zip(kept, gold, strict=True)]):
            text.stylize(KEPT_GOLD, start, end)
    text.stylize(UNREAD, read)
    return text


def spans(document: Document, flags: Sequence[bool]) -> Iterator[Span]:
    """Character spans of maximal runs of flagged tokens, the white space inside a run included."""
    if len(flags) != len(document.offsets):
        raise ValueError(f"expected one flag per token, {len(document.offsets)}, got {len(flags)}")
    for start, end in spans_of(flags):
        yield document.offsets[start][0], document.offsets[end - 1][1]


def snippets(document: Document, mask: Sequence[bool], most: int | None = None) -> str:
    """The kept runs alone, on one line: `cheap and cheerful … never again`; at most `most` characters."""
    runs = (" ".join(harmless(document.text[start:end]).split()) for start, end in spans(document, mask))
    line = " … ".join(runs) or "(nothing)"
    return line if most is None or len(line) <= most else line[: most - 1] + "…"


def legend(gold: bool, inclusion: bool) -> Text:
    """What the colours mean."""
    text = Text.assemble(("kept", KEPT))
    if gold:
        text = Text.assemble(("kept, annotated", KEPT_GOLD), "  ", ("kept only", KEPT), "  ")
        text.append_text(Text.assemble(("annotated only", MISSED_GOLD)))
    if inclusion:
        text.append_text(Text.assemble("  ", ("nearly kept", NEARLY)))
    return text


def _shortened(text: str, read: int) -> str:
    """`text` with a long tail beyond character `read` cut."""
    unread = len(text) - read - UNREAD_SHOWN
    if unread <= UNREAD_SHOWN:
        return text
    return f"{text[: read + UNREAD_SHOWN]}… ({unread:,} more characters not read)"


def _bracketed(text: str, kept: Sequence[Span], gold: Sequence[Span]) -> str:
    """Brackets around kept spans and braces around gold ones; where both begin, the brace is outside."""
    marks: list[tuple[int, int, str]] = []
    for start, end in kept:
        marks += [(start, 3, "["), (end, 0, "]")]
    for start, end in gold:
        marks += [(start, 2, "{"), (end, 1, "}")]
    pieces, position = [], 0
    for place, _, mark in sorted(marks):
        pieces += [text[position:place], mark]
        position = place
    return "".join([*pieces, text[position:]])


def harmless(text: str) -> str:
    """The text with what a terminal might obey (control characters, bidi overrides) replaced one for one."""
    return _OBEYED.sub(lambda match: " " if match[0].isspace() else "\ufffd", text)


# (label, format) of the metrics that people read; anything else is printed under its own name.
LABELS = {
    "documents": ("documents", "d"),
    "mse": ("mean squared error", ".4g"),
    "mse_scaled": ("  on a [0, 1] scale", ".4g"),
    "noise_floor": ("  the least possible", ".4g"),
    "mae": ("mean absolute error", ".4g"),
    "accuracy": ("accuracy", "%"),
    "log_loss": ("log loss (nats)", ".4g"),
    "selected": ("words kept", "%"),
    "span": ("mean run of kept words", ".3g"),
    "empty": ("documents with none kept", "%"),
    "gold": ("words in the gold rationale", "%"),
    "precision": ("precision", "%"),
    "recall": ("recall", "%"),
    "f1": ("F1", "%"),
    "precision_macro": ("precision, mean of documents", "%"),
    "recall_macro": ("recall, mean of documents", "%"),
    "f1_macro": ("F1, mean of documents", "%"),
    "precision_lei": ("precision as in Lei et al.", "%"),
    "opinion_recall": ("opinion words kept", "%"),
    "iou_f1": ("IOU F1 (ERASER)", "%"),
    "token_f1": ("token F1 (ERASER)", "%"),
    "auprc": ("AUPRC (ERASER)", "%"),
    "maps": ("annotators per document", ".3g"),
    "maps_f1_each": ("F1 with single annotators", "%"),
    "humans_f1_each": ("  an annotator with another", "%"),
    "left_out_f1_majority": ("F1 with all annotators but one", "%"),
    "humans_f1_majority": ("  that one with the others", "%"),
    "comprehensiveness": ("comprehensiveness", ".3f"),
    "comprehensiveness_random": ("  of random words", ".3f"),
    "sufficiency": ("sufficiency", ".3f"),
    "sufficiency_random": ("  of random words", ".3f"),
    "aopc_comprehensiveness": ("comprehensiveness, AOPC", ".3f"),
    "aopc_comprehensiveness_random": ("  of random words", ".3f"),
    "aopc_sufficiency": ("sufficiency, AOPC", ".3f"),
    "aopc_sufficiency_random": ("  of random words", ".3f"),
    "judge_mse": ("squared error of the judge", ".4g"),
    "judge_kept_mse": ("  from kept words alone", ".4g"),
    "judge_accuracy": ("accuracy of the judge", "%"),
    "judge_kept_accuracy": ("  from kept words alone", "%"),
    "lexicon_kept": ("kept words in the lexicon", "%"),
    "lexicon_base": ("all words in the lexicon", "%"),
    "lexicon_lift": ("lexicon lift", ".3g"),
    "elbo": ("ELBO (nats per document)", ".4g"),
    "expected_cost": ("expected cost of the paper", ".4g"),
    "kl": ("KL from the prior (nats)", ".4g"),
    "entropy": ("entropy of the guide (nats)", ".4g"),
    "elbo_given_target": ("ELBO of the guide that sees the target", ".4g"),
    "expected_cost_given_target": ("its expected cost of the paper", ".4g"),
    "kl_given_target": ("its KL from the prior (nats)", ".4g"),
    "entropy_given_target": ("its entropy (nats)", ".4g"),
}


def format_value(name: str, value: Any) -> str:
    """A metric as people read it: shares as percentages, other numbers to a few digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    style = LABELS.get(name, ("", ".4g"))[1]
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if style == "%":
        return f"{100 * value:.1f} %"
    if isinstance(value, int):
        return f"{value:,}"
    return format(value, style)


def format_interval(name: str, ends: tuple[float, float]) -> str:
    """`59.4 to 62.2 %`: both ends as the metric itself, the unit once."""
    low, high = (format_value(name, end) for end in ends)
    return "" if "-" in (low, high) else f"{low.removesuffix(' %')} to {high}"


def metrics_table(
    metrics: Mapping[str, Any], title: str | None = None, intervals: Mapping[str, tuple[float, float]] | None = None
) -> Group:
    """One row per metric; with several aspects, one more column each. The title stands above, at full width.

    Intervals stand in a column next to the figures that they are of.
    """
    aspects: Mapping[str, Mapping[str, Any]] = metrics.get("aspects", {})
    table = Table(box=None, pad_edge=False, show_header=bool(aspects))
    table.add_column()
    table.add_column("all", justify="right")
    if intervals is not None:
        table.add_column()
    for aspect in aspects:
        table.add_column(aspect, justify="right")
    known = [name for name in LABELS if name in metrics]
    others = [name for name in metrics if name not in LABELS and name != "aspects"]
    for name in known + others:
        cells = [format_value(name, values.get(name)) if name in values else "" for values in aspects.values()]
        if intervals is not None:
            cells.insert(0, format_interval(name, intervals[name]) if name in intervals else "")
        table.add_row(LABELS.get(name, (name, ""))[0], format_value(name, metrics[name]), *cells)
    heading = [] if title is None else [Text(title, style="bold")]
    return Group(*heading, table)


def epochs_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> Table:
    """One line per epoch.

    Args:
        rows: what was written down after each epoch.
        columns: keys to show; default: those of the first row that hold numbers.
    """
    if columns is None:
        first = rows[0] if rows else {}
        columns = [name for name, value in first.items() if isinstance(value, int | float)]
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(format_value(name, row.get(name)) for name in columns))
    return table


@contextmanager
def corpus_progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """A progress bar on the terminal while a corpus is cut into words; yields the function that moves it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def move(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(f"cutting {name} into words", total=total)
            bar.update(tasks[name], completed=done)

        yield move
