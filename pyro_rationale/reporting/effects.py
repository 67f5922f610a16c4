"""For and against: a table of what each kept span does to the prediction, for the terminal and for text files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from pyro_rationale.data.document import Document
from pyro_rationale.errors import harmless
from pyro_rationale.inference.limits import TRUSTED
from pyro_rationale.prediction.text_spans import snippets
from pyro_rationale.reporting.advice import nearer_posterior

if TYPE_CHECKING:
    from pyro_rationale.data.corpus import TargetSpec
    from pyro_rationale.prediction.contributions import Contribution, Contributions
    from pyro_rationale.prediction.predictor import Prediction
    from pyro_rationale.tasks import Task

FOR = "bold underline #000000 on #9ad4ff"  # by value, as the colours of pyro_rationale.reporting.console
AGAINST = "bold underline #000000 on #ffb98a"
# Below these, a span has no sign worth a colour: its Shapley value is a difference of predictions that are nearly
# alike, and another fit may turn it round. Of ratings that is a share of the scale, well below the usual error of a
# prediction. Of classes effects are log odds: by 0.04 nats no probability moves by more than one point, since
# dp = p (1 - p) d(log odds), and p (1 - p) is at most 1/4.
LEAST_SHARE, LEAST_LOG_ODDS = 0.02, 0.04
SHOWN = 12  # spans in a table
LONGEST, BECAUSE = 80, 300  # letters of a span, and of the words that speak for an answer
SIDE = len("against")
UNTRUSTED = "do not trust"
MEANING = "effect: its part in the whole; removed: without it; alone: with nothing else"
ONLY = "one span: effect and alone are one thing; removed is over all draws that hold it"


def least_effects(spec: TargetSpec, aspect: int | None = None) -> tuple[float, ...]:
    """The effect on each target below which a span speaks neither for nor against; in the units of contributions.

    Args:
        spec: what is predicted.
        aspect: number of the one target that the spans are about, where each target has its own; `None`: all.
    """
    if spec.ranges:
        least = tuple(LEAST_SHARE * (high - low) for low, high in spec.ranges)
    else:
        least = (LEAST_LOG_ODDS,) * len(spec.names)
    return least if aspect is None else least[aspect : aspect + 1]


def signs(found: Contributions | None, words: int, least: Sequence[float] = ()) -> list[int]:
    """Sign of what each word's span does, 0 outside of spans, where it does little, and where targets differ.

    Args:
        found: the contributions of a text, if they are known.
        words: number of its words.
        least: from :func:`least_effects`; empty counts every effect.
    """
    flags = [0] * words
    for part in found.spans if found else ():
        flags[part.start : part.end] = [sign_of(part, least)] * (part.end - part.start)
    return flags


def sign_of(part: Contribution, least: Sequence[float] = ()) -> int:
    """1 for a span that raises the ratings it moves, or speaks for the predicted labels; -1 against; else 0.

    Args:
        part: what the span does to each target.
        least: from :func:`least_effects`: what a target must be moved by to count; empty counts every effect.
    """
    limits = least or (0.0,) * len(part.effects)
    moved = (effect for effect, limit in zip(part.effects, limits, strict=True) if abs(effect) >= limit)
    found = {(effect > 0) - (effect < 0) for effect in moved}
    return found.pop() if len(found) == 1 else 0


def effect_table(
    document: Document, found: Contributions, units: Sequence[str], plain: bool, letter: str = "",
    least: Sequence[float] = (),
) -> Iterator[Text]:  # fmt: skip
    """Lines of the table: a row per span, those that matter most if there are many, in the order of the text.

    Args:
        document: the text.
        found: its contributions.
        units: what these are of each target, in words.
        plain: without colours.
        letter: of the target that the spans are about, if each has its own.
        least: from :func:`least_effects`: what a span must do to be for or against; empty counts every effect.
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
        ends = f"{found.nothing[0]:.4g} with nothing kept, {found.whole[0]:.4g} with all spans"
        yield Text(f"{letter and f'{letter} '}for and against, by span: {units[0]} {ends}", style="dim")
        heads = ["effect", "removed", "alone"]
        yield Text(MEANING if len(found.spans) > 1 else ONLY, style="dim")
    cells = [part.effects if several else (part.effects[0], part.removed[0], part.alone[0]) for part in rows]
    width = [max(9, len(harmless(head)) + 2) for head in heads]
    yield Text(" " * SIDE + "".join(map(_right, map(harmless, heads), width)), style="dim")
    for part, numbers in zip(rows, cells, strict=True):
        sign = sign_of(part, least)
        line = Text(overflow="fold")
        line.append(("", "for", "against")[sign], style="" if plain else ("", FOR, AGAINST)[sign])
        line.append(" " * (SIDE - len(line)) + "".join(map(_right, (f"{number:+.3g}" for number in numbers), width)))
        line.append(f"  {_words(document, part)}")
        yield line
    if len(rows) < len(found.spans):
        yield Text(f"{len(found.spans) - len(rows)} more spans do less", style="dim")


def answer_lines(reading: Prediction, task: Task, plain: bool, done: Collection[str] = ()) -> Iterator[Text]:
    """A line per answer: evidence in nats below the best one's, and the words that would speak for it.

    Beside both stands k-hat, and a warning where it is too large for them to be trusted.

    Args:
        reading: with answers, or without.
        task: the target.
        plain: without colours.
        done: advice that the run follows already, from :func:`pyro_rationale.reporting.advice.followed`.
    """
    if not reading.answers:
        return
    yield Text("")
    counts = Counter(answer.target for answer in reading.answers)
    scale = "in nats below the best" if max(counts.values()) > 1 else "in nats; give another --for to compare with"
    yield Text(f"how well the text fits each answer (log evidence, {scale}), and what would speak for it", style="dim")
    if any(khat > TRUSTED for answer in reading.answers for khat in (answer.evidence_khat, answer.khat)):
        yield Text(f"k-hat above {TRUSTED} ({UNTRUSTED}): a few of the masks drawn decide it, and others might say "
                   "something else. For a guide nearer to the posterior, fit with "
                   f"{nearer_posterior(done)}", style="dim")
    for target in dict.fromkeys(answer.target for answer in reading.answers):
        own = [answer for answer in reading.answers if answer.target == target]
        best = max(answer.log_evidence for answer in own)
        for answer in own:
            name = f"{target} {answer.label}" if len(task.spec.names) > 1 else f"{answer.label}"
            line = Text(f"{name}:", style="bold" if answer.log_evidence == best else "", overflow="fold")
            below = "most" if answer.log_evidence == best else f"{answer.log_evidence - best:+.1f} nats"
            if len(own) == 1:
                below = f"{answer.log_evidence:.1f} nats"
            line.append(f" {below} ").append_text(_khat(answer.evidence_khat, plain))
            line.append(", because of ", style="not bold").append_text(_khat(answer.khat, plain))
            line.append(f"  {snippets(reading.document, answer.mask, BECAUSE)}", style="not bold")
            yield line


def _khat(value: float, plain: bool) -> Text:
    if value <= TRUSTED:
        return Text(f"(k-hat {value:.2f})", style="not bold")
    return Text(f"(k-hat {value:.2f}, {UNTRUSTED})", style="not bold" if plain else "not bold yellow")


def _right(cell: str, width: int) -> str:
    return cell.rjust(width)


def _words(document: Document, part: Contribution) -> str:
    start, end = document.offsets[part.start][0], document.offsets[part.end - 1][1]
    words = " ".join(harmless(document.text[start:end]).split())
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
