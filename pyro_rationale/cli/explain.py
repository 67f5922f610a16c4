"""Explain texts with a fitted run: `python -m pyro_rationale.explain --run RUN "A text" ...`.

Prints for each text what is predicted, how sure that is, and the text with the words that the prediction rests on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.console import Group
from rich.rule import Rule
from rich.text import Text

from pyro_rationale.cli.common import Command
from pyro_rationale.cli.explain_attributions import check_flags, print_attributions
from pyro_rationale.cli.explain_pairs import print_pairs
from pyro_rationale.cli.explain_tables import Hanging, answer_lines, effect_table
from pyro_rationale.cli.input_texts import count_lines, gather
from pyro_rationale.cli.left_out import telling_left_out
from pyro_rationale.data.document import Document, words_beyond
from pyro_rationale.data.files.text import log
from pyro_rationale.errors import ConfigError
from pyro_rationale.options import device_option, options_from, rare_option, run_option
from pyro_rationale.prediction.attribution import ATTRIBUTIONS
from pyro_rationale.prediction.information import by_target, little_line, little_said
from pyro_rationale.prediction.labels import doubt_of_words, in_percent, inclusion_label
from pyro_rationale.prediction.options import ExplainOptions
from pyro_rationale.prediction.text_spans import letter_of, snippets, visible
from pyro_rationale.reporting.aspects import aspect_key, aspect_text
from pyro_rationale.reporting.console import counting, is_plain, legend, rationale
from pyro_rationale.reporting.effects import least_effects, signs
from pyro_rationale.reporting.terminal import Terminal, waiting
from pyro_rationale.storage import to_json

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.answers import Answer
    from pyro_rationale.prediction.predictor import Alternative, Prediction
    from pyro_rationale.tasks import Task

SHOWN = 300  # characters of an alternative rationale on the terminal
BATCH = 64
MOST_THREADS = 4  # more would wait for each other: half of the work is Python's


@click.command(cls=Command, prints_only=True)
@click.argument("texts", nargs=-1)
@run_option
@click.option("--file", help="one text per line; - for standard input")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object per text (JSON lines)")
@options_from(ExplainOptions, rare=("predict", "interval"))
@click.option("--for", "answers", multiple=True, metavar="ANSWER", help="which words would speak for this rating, "
              "or label, if it were the right one? Give --for 1 --for 5 to see which of them suits the text best; "
              "where a run predicts several things, name one: --for food=1")
@click.option("--method", type=click.Choice(list(ATTRIBUTIONS)), help="mark words by a method of another library "
              "instead, which explains the full-text reader of the run; as many as the run's own rationale keeps")
@rare_option("--evaluations", type=int, help="--method: predictions that it makes of a text; default: the "
             "method's own number")
@rare_option("--max-words", type=int, help="read so many words of each text; default: as in the run")
@device_option
@rare_option("--batch-size", default=BATCH, show_default=True, help="texts of like lengths to read at once; 1: each "
              "gets the numbers that it gets alone, to the last bit")
@rare_option("--threads", type=int, help=f"threads that read texts; default: one per core, at most {MOST_THREADS}")
def explain(
    options: ExplainOptions,
    texts: tuple[str, ...],
    folder: Path,
    file: str | None,
    as_json: bool,
    answers: tuple[str, ...],
    method: str | None,
    evaluations: int | None,
    max_words: int | None,
    device: str,
    batch_size: int,
    threads: int | None,
) -> None:
    """Predict TEXTS (or the lines of --file, or of standard input) and show the words kept.

    A run that ranks texts compares the first one, a query, with all others.
    """
    if max_words is not None and max_words < 1:
        raise ConfigError(f"--max-words: expected at least 1, got {max_words}")
    if method is not None:
        check_flags(click.get_current_context())
    if evaluations is not None and (method is None or evaluations < 2):
        raise ConfigError(f"--evaluations: expected at least 2, beside --method, got {evaluations}")
    if batch_size < 1:
        raise ConfigError(f"--batch-size: expected at least 1, got {batch_size}")
    if threads is not None and not 1 <= threads <= 1024:
        raise ConfigError(f"--threads: expected 1 to 1024, got {threads}")
    with waiting("loading the model", quiet=as_json):
        import torch

        from pyro_rationale.fitted import FittedModel
        from pyro_rationale.prediction.predictor import predict
        from pyro_rationale.training.threads import cores

        options = replace(options, answers=answers)
        torch.set_num_threads(1 if threads else max(1, cores() // MOST_THREADS))
        threads = threads or min(cores(), MOST_THREADS)
        fitted = FittedModel.load(folder, device)
    ranks = {"reader": "search --file searches for each row of a table"} if fitted.task.of_pairs else {}
    documents = gather(texts, file, max_words or fitted.config.data.max_words, fitted.tokenizer, **ranks)
    if method is not None:
        print_attributions(fitted, folder, documents, method, evaluations, options.seed, as_json)
        return
    if fitted.task.of_pairs:
        if answers:
            raise ConfigError("--for: asks about a value or class, and the run ranks texts; leave it out")
        print_pairs(fitted, list(documents), options, as_json)
        return

    def read(some: Iterable[Document]) -> Iterator[Prediction]:
        return _counted(fitted, predict(fitted, some, options, batch_size, threads), as_json)

    predictions = beside_empty(documents, read)
    task = fitted.task_for(options.predict)
    console = Terminal()
    if console.is_terminal and not as_json:
        for prediction in predictions:
            if len(texts) != 1:  # one text needs no name; of a file, it is its line
                console.print(Rule(Text(_id(prediction)), style="dim", align="left", characters="-"))
            console.print(Group(*described(prediction, task, options.level, is_plain(console))))
        if not is_plain(console):
            inclusion, signed = inclusion_label(float(fitted.config.tau)), options.contributions != "none"
            console.print(legend(gold=False, inclusion=inclusion, signed=signed), style="dim")
        tell_doubt(fitted, folder)
        return
    if as_json:
        lines = (to_json(as_dict(prediction, task, options)) for prediction in predictions)
    else:
        lines = (as_text(prediction, task, options.level) for prediction in predictions)
    with counting("explaining", len(texts) or count_lines(file), quiet=console.is_terminal) as advance:
        while some := list(islice(lines, batch_size)):
            print("\n".join(some), flush=True)
            advance(len(some))
    tell_doubt(fitted, folder)


def tell_doubt(fitted: FittedModel, folder: Path) -> None:
    """Warn where the masks of a run's targets hardly differ on its test texts."""
    from pyro_rationale.evaluation.verdict import stored_doubt

    if fitted.aspects > 1 and (doubt := stored_doubt(folder)):
        log.warning("on test texts, %s", doubt)


def beside_empty(
    documents: Iterable[Document], read: Callable[[Iterable[Document]], Iterable[Prediction]]
) -> Iterator[Prediction | Document]:
    """Readings in the order of the documents, with those that have no word as they are.

    Args:
        documents: texts, some of them without a word.
        read: predicts documents with words, in their order.
    """
    empty: dict[int, Document] = {}

    def with_words() -> Iterator[Document]:
        for number, document in enumerate(documents):
            if document.tokens:
                yield document
            else:
                empty[number] = document

    number = 0
    for prediction in read(with_words()):
        while number in empty:
            yield empty.pop(number)
            number += 1
        yield prediction
        number += 1
    yield from empty.values()


def _counted(fitted: FittedModel, predictions: Iterable[Prediction], as_json: bool) -> Iterator[Prediction]:
    """The predictions, and at their end a warning where the model knows few words of some, or read some in part.

    The prediction of a single text has the first of these above it already, save in JSON.
    """
    texts = foreign = 0
    with telling_left_out(fitted):
        for prediction in predictions:
            texts, foreign = texts + 1, foreign + prediction.is_foreign
            yield prediction
    if foreign and (as_json or texts > 1):
        log.warning("the model knows too few words of %d of %d texts to predict much from them", foreign, texts)


def as_dict(prediction: Prediction | Document, task: Task, options: ExplainOptions) -> dict[str, Any]:
    """A prediction as plain values, for JSON; masks are lists of 0 and 1. Without a word, the prediction is `None`."""
    if isinstance(prediction, Document):
        nothing: dict[str, Any] = dict.fromkeys(("known", "unknown", "unread"), 0)
        nothing |= {name: [] for name in ("tokens", "offsets", "inclusion", "mode", "kept", "answers", "alternatives")}
        told: dict[str, Any] = {"decode": options.decode, "rationale": "", "prediction": None, "contributions": None}
        told |= {"aspects": {}, "information": {}}
        told |= {"predict": options.predict, "interval": options.interval, "level": options.level}
        return {"id": prediction.id, "text": prediction.text} | nothing | told
    document = prediction.document
    return {
        "id": document.id,
        "text": document.text,
        "tokens": document.tokens,
        "offsets": document.offsets,
        "known": prediction.known,
        "unknown": len(document.tokens) - prediction.known,
        "unread": len(document.text) - document.offsets[-1][1] if document.offsets else 0,
        "inclusion": np.array(prediction.inclusion).round(6).tolist(),
        "mode": _bits(prediction.mode),
        "decode": options.decode,
        "kept": _bits(prediction.kept),
        "rationale": snippets(document, prediction.kept),
        "predict": options.predict,
        "interval": options.interval,
        "level": options.level,
        "prediction": _prediction(prediction, task),
        "information": {name: round(nats, 6) for name, nats in by_target(task, prediction.information).items()},
        "contributions": _all_contributions(prediction, task),
        "answers": [_answer(answer, prediction, task) for answer in prediction.answers],
        "alternatives": [_alternative(a, prediction, task) for a in prediction.alternatives],
        "aspects": _aspects(prediction, task),
    }


def _aspects(prediction: Prediction, task: Task) -> dict[str, Any]:
    """Rationale of each target; nothing where they share one."""
    names = task.spec.names if prediction.aspects else ()
    return {
        name: {
            "letter": letter_of(number),
            "inclusion": np.array(part.inclusion).round(6).tolist(),
            "mode": _bits(part.mode),
            "kept": _bits(part.kept),
            "rationale": snippets(prediction.document, part.kept),
            "contributions": _contributions(part, task),
            "alternatives": [
                _alternative(other, prediction, task) | {"prediction": {name: task.alone.point(other.values)[name]}}
                for other in part.alternatives
            ],
        }
        for number, (name, part) in enumerate(zip(names, prediction.aspects, strict=True))
    }


def as_text(prediction: Prediction | Document, task: Task, level: float) -> str:
    """A prediction for files and pipes: what the terminal shows, without colours, on lines as long as they are."""
    return "\n".join([f"{_id(prediction)} ".ljust(80, "-"), *map(str, described(prediction, task, level))])


def _id(prediction: Prediction | Document) -> str:
    return prediction.id if isinstance(prediction, Document) else prediction.document.id


def described(prediction: Prediction | Document, task: Task, level: float, plain: bool = True) -> Iterator[Text]:
    """The prediction, the marked text, and other rationales with what they would have predicted."""
    if isinstance(prediction, Document):
        yield from (Text("no word, so no prediction"), Text(""))
        return
    words = len(prediction.kept)
    if doubt := doubt_of_words(prediction.known, prediction.document.tokens):
        yield Hanging("", doubt, style="bold")
    for line in task.lines(prediction.predicted, prediction.values, prediction.interval, level, prediction.classes):
        figure, gap, more = line.partition("  (")
        yield Hanging(figure + gap[:-1], gap[-1:] + more, style="bold")
    yield from map(Text, task.level_lines(prediction.predictive))
    if little := little_line(little_said(by_target(task, prediction.information))):
        yield Hanging("", little)
    kept = sum(prediction.kept)
    percent = 100 * kept / max(words, 1)
    digits = 0 if percent >= 1 or not kept else 1
    beyond = _beyond(prediction.document)
    unread = f"; about {beyond:,} more words not read (--max-words)" if beyond else ""
    yield Text(f"{kept} of {words} words kept ({percent:.{digits}f} %){_standing(prediction)}{unread}")
    yield Text("")
    units = task.effect_units(prediction.predicted)
    if prediction.aspects:
        yield aspect_text(prediction.document, [part.kept for part in prediction.aspects], plain)
        yield aspect_key(task.spec.names, plain)
    else:
        least = least_effects(task.spec, prediction.document.aspect)
        flags = signs(prediction.contributions, len(prediction.kept), least)
        yield rationale(prediction.document, prediction.kept, prediction.inclusion, plain=plain, signs=flags)
    told: set[str] = set()
    for number, part in enumerate(prediction.aspects or (prediction,)):
        if part.contributions is not None:
            own, letter = ([units[number]], letter_of(number)) if prediction.aspects else (units, "")
            least = least_effects(task.spec, number if prediction.aspects else prediction.document.aspect)
            lines = list(effect_table(prediction.document, part.contributions, own, plain, letter, told, least))
            told |= set(map(str, lines))
            yield from lines
    yield from answer_lines(prediction, task, plain)
    parts = [part for part in prediction.aspects or (prediction,) if len(part.alternatives) > 1]
    if parts:
        averaged = "; the prediction above is the mean over all" if prediction.predicted != prediction.values else ""
        yield Text(f"\nother rationales, how probable they are, and what each predicts{averaged}", style="dim")
    for part in parts:
        yield from _others(part, task)
    yield Text("")


def _beyond(document: Document) -> int:
    """About how many words of a text were not read; 0 where that is no more than a few."""
    hidden = visible(document.text, document.offsets)[1]
    return words_beyond(document, len(document.tokens)) if hidden else 0


def _standing(prediction: Prediction) -> str:
    """How probable the rationale is that is shown, or that of each target: the prediction is the mean over all."""
    found = [part.probability for part in prediction.aspects or (prediction,)]
    if None in found:
        return ""
    each = [in_percent(probability) for probability in found if probability is not None]
    parts = prediction.aspects or (prediction,)
    # What is shown need not be the mode, and the mode of an ensemble, that of a member, need not be the most probable.
    what = "the most probable" if all(map(_most_probable, parts)) else "a probable"
    if not prediction.aspects:
        return f", {what} rationale ({each[0]})"
    lettered = ", ".join(f"{letter_of(number)} {percent}" for number, percent in enumerate(each))
    return f", {what.removeprefix('a ')} rationales ({lettered})"


def _most_probable(part: Prediction) -> bool:
    """Whether no alternative to the rationale that is shown is more probable, by more than rounding.

    Without a list of alternatives, that is known of the mode alone.
    """
    others = [other.log_probability for other in part.alternatives if other.mask != part.kept]
    if not others:
        return part.kept == part.mode
    return part.probability is None or math.exp(max(others)) <= part.probability * (1 + 1e-6)


def _others(prediction: Prediction, task: Task) -> Iterator[Text]:
    """The alternatives to a rationale, a line each, with what they would have predicted."""
    about = prediction.document.aspect
    for alternative in prediction.alternatives:
        if alternative.mask == prediction.kept:
            continue
        values = task.alone.short(alternative.values)
        value = ", ".join(values) if about is None else values[about]
        head = f"{in_percent(alternative.probability):>7}  {value}:  "
        yield Hanging(head, snippets(prediction.document, alternative.mask, SHOWN))


def _prediction(prediction: Prediction, task: Task) -> dict[str, dict[str, Any]]:
    record = task.record(
        prediction.predicted, prediction.values, prediction.averaged, prediction.sd, prediction.interval,
        prediction.classes,
    )
    for name, shares in task.level_shares(prediction.predictive).items():
        record[name]["levels"] = shares
    return record


def _all_contributions(prediction: Prediction, task: Task) -> dict[str, Any] | None:
    """Contributions to all targets; of targets with rationales of their own, one list of the spans of all."""
    each = [found for part in prediction.aspects or (prediction,) if (found := _contributions(part, task)) is not None]
    if not each:
        return None
    targets = {name: figures for found in each for name, figures in found["targets"].items()}
    return {"targets": targets, "spans": [span for found in each for span in found["spans"]]}


def _contributions(prediction: Prediction, task: Task) -> dict[str, Any] | None:
    """Contributions of each kept span, by target; `None` where they were not asked for."""
    found = prediction.contributions
    if found is None:
        return None
    offsets, text = prediction.document.offsets, prediction.document.text
    names, units, about = task.spec.names, task.effect_units(prediction.predicted), prediction.document.aspect
    if about is not None:
        names, units = names[about : about + 1], units[about : about + 1]
    spans = []
    for part in found.spans:
        start, end = offsets[part.start][0], offsets[part.end - 1][1]
        changes = {
            name: {
                "removed": round(part.removed[i], 6),
                "removed_here": round(part.removed_here[i], 6),
                "alone": round(part.alone[i], 6),
                "shapley": None if part.shapley is None else round(part.shapley[i], 6),
            }
            for i, name in enumerate(names)
        }
        spans.append({"words": [part.start, part.end], "span": [start, end], "text": text[start:end],
                      "share": part.share, "changes": changes})  # fmt: skip
    targets = {
        name: {"of": unit, "nothing": round(nothing, 6), "whole": round(whole, 6)}
        for name, unit, nothing, whole in zip(names, units, found.nothing, found.whole, strict=True)
    }
    return {"targets": targets, "spans": spans}


def _answer(answer: Answer, prediction: Prediction, task: Task) -> dict[str, Any]:
    return {
        "target": answer.target,
        "answer": answer.label,
        "log_evidence": answer.log_evidence,
        "evidence_khat": answer.evidence_khat,
        "log_predictive": answer.log_predictive,
        "khat": answer.khat,
        "ess": answer.ess,
        "mask": _bits(answer.mask),
        "rationale": snippets(prediction.document, answer.mask),
        "inclusion": np.array(answer.inclusion).round(6).tolist(),
        "prediction": task.alone.point(answer.values)[answer.target],
    }


def _alternative(alternative: Alternative, prediction: Prediction, task: Task) -> dict[str, Any]:
    return {
        "mask": _bits(alternative.mask),
        "rationale": snippets(prediction.document, alternative.mask),
        "probability": alternative.probability,
        "log_probability": alternative.log_probability,
        "frequency": alternative.frequency,
        "prediction": task.alone.point(alternative.values),
    }


def _bits(mask: tuple[bool, ...]) -> list[int]:
    return list(map(int, mask))
