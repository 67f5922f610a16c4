"""Lines that `explain` prints below a marked text: spans for and against, and what would speak for other answers.

Lines for a terminal and for files alike. A file gets each as long as it is; where a terminal breaks one, it goes on
below the column that it is about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.text import Text

from pyro_rationale.data.document import Document
from pyro_rationale.errors import harmless
from pyro_rationale.inference.limits import TRUSTED
from pyro_rationale.prediction.labels import ROUGH
from pyro_rationale.prediction.text_spans import snippets
from pyro_rationale.reporting.advice import nearer_posterior
from pyro_rationale.reporting.effects import AGAINST, FOR, sign_of
from pyro_rationale.tasks._numerals import number_text, rating_text

if TYPE_CHECKING:
    from pyro_rationale.prediction.answers import Answer
    from pyro_rationale.prediction.contributions import Contribution, Contributions
    from pyro_rationale.prediction.predictor import Prediction
    from pyro_rationale.tasks import Task

SHOWN = 12  # spans in a table
SIDE = len("against")
MEANING = "effect: its part in the whole; removed: without it; alone: with nothing else"
ONLY = "one span: effect and alone are one thing; removed is over all draws that hold it"
LONGEST = 300  # letters of a span, and of the words that speak for an answer
PROSE = 2  # columns by which a sentence that goes on is moved in


class Hanging(Text):
    """A line that a terminal breaks below the end of its head, and not at the left edge.

    Print it within a `Group`: alone, rich makes one text of all that it prints.

    Args:
        head: what stands alone to the left; empty for a sentence, which goes on two columns further in.
        rest: what is broken.
        style: of all of it.
    """

    def __init__(self, head: str | Text, rest: str | Text, style: str = "") -> None:
        super().__init__(style=style, overflow="fold")
        self.append(head)
        self.head = len(self)
        self.append(rest)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Its lines, as wide as there is room."""
        if self.cell_len <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        # Where the head takes more than half of the width, it is broken with the rest.
        behind = self.head if self.head <= options.max_width // 2 else 0
        indent = behind or min(PROSE, options.max_width // 2)
        first, rest = self.divide([behind]) if behind else (Text(style=self.style), self)
        for number, line in enumerate(rest.wrap(console, options.max_width - indent, overflow="fold")):
            before = first if number == 0 else Text(" " * indent)
            line.rstrip()
            yield from console.render(Text.assemble(before, line), options)


def effect_table(
    document: Document,
    found: Contributions,
    units: Sequence[str],
    plain: bool,
    letter: str = "",
    told: Collection[str] = (),
    least: Sequence[float] = (),
) -> Iterator[Text]:
    """Lines of the table: a row per span, those that matter most if there are many, in the order of the text.

    Args:
        document: the text.
        found: its contributions.
        units: what these are of each target, in words.
        plain: without colours.
        letter: of the target that the spans are about, if each has its own.
        told: lines that need no second time, as they stand above.
        least: from :func:`~pyro_rationale.reporting.effects.least_effects`; empty counts every effect.
    """
    if not found.spans:
        return
    several = len(found.whole) > 1
    by_size = sorted(found.spans, key=lambda part: -max(map(abs, part.effects)))[:SHOWN]
    rows = [part for part in found.spans if part in by_size]
    yield Text("")
    if several:
        yield Text("for and against, by span", style="dim")
        heads = list(units)
    else:
        ends = f"{rating_text(found.nothing[0])} with nothing kept, {rating_text(found.whole[0])} with all spans"
        yield Hanging("", f"{letter and f'{letter} '}for and against, by span: {units[0]} {ends}", style="dim")
        heads = ["effect", "removed", "alone"]
        if (meaning := MEANING if len(found.spans) > 1 else ONLY) not in told:
            yield Hanging("", meaning, style="dim")
    cells = [part.effects if several else (part.effects[0], part.removed[0], part.alone[0]) for part in rows]
    width = [max(9, len(harmless(head)) + 2) for head in heads]
    yield Text(" " * SIDE + "".join(map(_right, map(harmless, heads), width)), style="dim")
    for part, numbers in zip(rows, cells, strict=True):
        sign = sign_of(part, least)
        head = Text(("", "for", "against")[sign], style="" if plain else ("", FOR, AGAINST)[sign])
        figures = "".join(map(_right, (number_text(number, "+.3g") for number in numbers), width))
        yield Hanging(Text.assemble(head, " " * (SIDE - len(head)) + figures + "  "), _words(document, part))
    if len(rows) < len(found.spans):
        yield Text(f"{len(found.spans) - len(rows)} more spans do less", style="dim")


def answer_lines(reading: Prediction, task: Task, plain: bool) -> Iterator[Text]:
    """A line per answer: the words that would speak for it, and how well the text fits it beside the others.

    Words that importance weights of heavy tails have decided are called rough; the figures behind that are in the JSON.

    Args:
        reading: with answers, or without.
        task: the target.
        plain: without colours.
    """
    if not reading.answers:
        return
    from pyro_rationale.prediction.rationales import fits  # which needs torch

    counts = Counter(answer.target for answer in reading.answers)
    yield Text("")
    if max(counts.values()) > 1:
        yield Hanging("", "what would speak for each answer, and how well the text fits it", style="dim")
    else:
        yield Hanging("", "what would speak for this answer; give another --for to compare how well the text fits each",
                      style="dim")  # fmt: skip
    names = [f"{answer.target} {answer.label}" if len(task.spec.names) > 1 else answer.label
             for answer in reading.answers]  # fmt: skip
    column = max(map(len, names)) + 2
    rows = list(zip(names, reading.answers, fits(reading.answers), strict=True))
    for target in counts:
        for name, answer, fit in rows:
            if answer.target == target:
                head = Text(f"{name}: ".ljust(column), style="bold" if fit == "fits best" else "")
                yield Hanging(head, _said(reading.document, answer, fit, plain))
    if any(answer.khat > TRUSTED for answer in reading.answers):
        yield Hanging("", f"{ROUGH}: a few of the masks drawn decide it, and others might say something else; for a "
                      f"guide nearer to the posterior, fit with {nearer_posterior()}", style="dim")


def _said(document: Document, answer: Answer, fit: str, plain: bool) -> Text:
    """The words of an answer and its fit, with one warning behind what is rough."""
    said = Text(snippets(document, answer.mask, LONGEST))
    if answer.khat > TRUSTED:
        said.append_text(Text(f" ({ROUGH})", style="" if plain else "yellow"))
    return said.append(f"; {fit}") if fit else said


def _right(cell: str, width: int) -> str:
    return cell.rjust(width)


def _words(document: Document, part: Contribution) -> str:
    start, end = document.offsets[part.start][0], document.offsets[part.end - 1][1]
    words = " ".join(harmless(document.text[start:end]).split())
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
