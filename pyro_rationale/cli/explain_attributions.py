"""`explain --method`: words marked by a method of another library, on the full-text reader of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.text import Text

from pyro_rationale.data.document import Document
from pyro_rationale.errors import ConfigError, harmless
from pyro_rationale.prediction.attribution import ATTRIBUTIONS
from pyro_rationale.prediction.text_spans import letter_of, snippets
from pyro_rationale.reporting.aspects import aspect_key, aspect_text
from pyro_rationale.reporting.console import is_plain, rationale
from pyro_rationale.reporting.effects import AGAINST, FOR
from pyro_rationale.reporting.terminal import Terminal
from pyro_rationale.storage import to_json
from pyro_rationale.tasks._numerals import number_text

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.attribution import Attribution
    from pyro_rationale.tasks import Task

READ = frozenset({"texts", "folder", "file", "as_json", "method", "evaluations", "max_words", "device", "threads",
                  "seed"})
SHOWN = 12  # words in a table


def check_flags(context: click.Context) -> None:
    """Refuse flags that mean nothing beside `--method`.

    Raises:
        ConfigError: one was given.
    """
    for param in context.command.params:
        given = context.get_parameter_source(param.name or "") is click.core.ParameterSource.COMMANDLINE
        if given and param.name not in READ:
            raise ConfigError(f"{param.opts[-1]}: says nothing about --method; leave one of them out")


def print_attributions(
    fitted: FittedModel,
    folder: Path,
    documents: Iterable[Document],
    method: str,
    evaluations: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Print what a method of another library says about texts.

    Raises:
        ConfigError: its library is not installed, or there are flags that it does not read.
        RunError: the run has no full-text reader.
    """
    from pyro_rationale.prediction.attribution import attributions
    from pyro_rationale.training.reader import stored_reader

    console = Terminal()
    plain = is_plain(console)
    reader = stored_reader(fitted, folder)
    for found in attributions(fitted, reader, documents, ATTRIBUTIONS[method], evaluations, seed):
        if as_json:
            print(to_json(record(found, fitted.task, method)), flush=True)
            continue
        for line in lines(found, fitted.task, method, plain):
            if console.is_terminal:
                console.print(line)
            else:
                print(line, flush=True)


def record(found: Attribution | Document, task: Task, method: str) -> dict[str, Any]:
    """An attribution as plain values, for JSON."""
    document = found if isinstance(found, Document) else found.document
    told: dict[str, Any] = {
        "id": document.id, "text": document.text, "tokens": document.tokens, "offsets": document.offsets,
        "method": method, "explains": "full-text reader",
    }  # fmt: skip
    if isinstance(found, Document):
        return told | {"prediction": None, "attributions": {}, "kept": [], "rationale": "", "aspects": {}}
    names, units = task.spec.names, task.effect_units(found.values)
    each = found.masks if len(found.masks) > 1 else ()
    return told | {
        "prediction": task.point(found.values),
        "attributions": {
            name: {"of": unit, "words": np.round(column, 6).tolist()}
            for name, unit, column in zip(names, units, found.numbers.T, strict=True)
        },
        "kept": list(map(int, found.kept)),
        "rationale": snippets(document, found.kept),
        "aspects": {
            name: {"letter": letter_of(i), "kept": list(map(int, mask)), "rationale": snippets(document, mask)}
            for i, (name, mask) in enumerate(zip(names, each, strict=False))
        },
    }


def lines(found: Attribution | Document, task: Task, method: str, plain: bool) -> Iterator[Text]:
    """The reader's prediction, the marked text, and the marked words with what each does."""
    document = found if isinstance(found, Document) else found.document
    yield Text(f"{document.id} ".ljust(79, "-"), style="" if plain else "dim")
    if isinstance(found, Document):
        yield from (Text("no word, so no prediction"), Text(""))
        return
    title, units = ATTRIBUTIONS[method].title, task.effect_units(found.values)
    said = ", ".join(task.short(found.values))
    yield Text(f"{said}: predicted by the run's full-text reader, from all words", style="bold")
    words, count = len(found.kept), sum(found.kept)
    yield Text(f"{count} of {words} words marked by {title}, as many as the run keeps")
    yield Text("")
    if len(found.masks) > 1:
        yield aspect_text(document, list(found.masks), plain)
        yield aspect_key(task.spec.names, plain)
    else:
        one = np.sign(found.numbers[:, 0]) if found.numbers.shape[1] == 1 else np.zeros(words)
        signs = (one * found.kept).astype(int).tolist()
        yield rationale(document, found.kept, plain=plain, signs=signs)
    yield Text("")
    yield from _table(found, units, plain)
    yield Text("")


def _table(found: Attribution, units: Sequence[str], plain: bool) -> Iterator[Text]:
    """A row per marked word, those that matter most if there are many, in the order of the text."""
    marked = np.flatnonzero(found.kept)
    some = np.sort(marked[np.argsort(-np.abs(found.numbers[marked]).max(1), kind="stable")[:SHOWN]])
    width = [max(9, len(harmless(unit)) + 2) for unit in units]
    yield Text("".join(harmless(unit).rjust(size) for unit, size in zip(units, width, strict=True)), style="dim")
    for word in some.tolist():
        line = Text(overflow="fold")
        for number, size in zip(found.numbers[word].tolist(), width, strict=True):
            cell = number_text(number, "+.3g")
            line.append(" " * (size - len(cell)))
            line.append(cell, style="" if plain or not number else FOR if number > 0 else AGAINST)
        start, end = found.document.offsets[word]
        yield line.append(f"  {harmless(found.document.text[start:end])}")
    if len(some) < len(marked):
        yield Text(f"{len(marked) - len(some)} more words do less", style="dim")
