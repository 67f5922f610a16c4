"""A prediction with its rationale, as an object to compute with, to print, or to look at in a notebook."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_rationale.data.document import Document
from pyro_rationale.errors import harmless
from pyro_rationale.inference.limits import TRUSTED
from pyro_rationale.prediction.answers import Answer
from pyro_rationale.prediction.decoding import Mask
from pyro_rationale.prediction.information import by_target, little_said, say_little
from pyro_rationale.prediction.labels import ROUGH, doubt_of_words, in_percent, inclusion_label
from pyro_rationale.prediction.options import ExplainOptions, PredictOptions
from pyro_rationale.prediction.predictor import Prediction, predict
from pyro_rationale.prediction.rationales import (
    AnswerRationale,
    KeptSpan,
    OtherRationale,
    TargetRationale,
    fits,
    kept_spans,
)
from pyro_rationale.prediction.text_spans import (
    Span,
    bracketed,
    letter_of,
    lettered,
    marked_runs,
    snippets,
    spans,
    visible,
)
from pyro_rationale.tasks import Numbers, Task
from pyro_rationale.tasks._numerals import number_text, rating_text

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel

SHADE = "255,160,0"  # amber: with the page's own black or white letters on it, readable up to STRONGEST
STRONGEST = 0.45  # opacity of the shade of a word that is surely kept
FAINTEST = 0.01  # inclusion probability below which a word is not shaded
COLOURS = ("rgb(0,125,200)", "rgb(214,94,0)", "rgb(0,145,105)", "rgb(175,85,160)", "rgb(150,120,0)", "rgb(200,50,60)")
_ANSWERS = "what would speak for each answer"
FOR, AGAINST = "rgb(0,125,200)", "rgb(214,94,0)"  # blue and vermilion: told apart by everybody, on white and on black


@dataclass(frozen=True, repr=False)
class Explanation:
    """A prediction of a text, and the words that it is made from.

    `str()` is the prediction, the text with the rationale in brackets, and the words for each answer that was asked
    for; notebooks show every word shaded by the probability that it is kept and the rationale underlined.

    Attributes:
        text: as given.
        tokens: the words that were read, lower-cased; `n` of them.
        offsets: `(start, end)` characters of each in `text`.
        inclusion: probability under the guide that each word is kept, `n` numbers; not calibrated, and sharpened where
            tau is below 1.
        mask: the shown rationale, True on its words: with the rule `agreeing` the most probable one from whose words
            alone the prediction follows.
        spans: its runs as `(start, end)` characters of `text`, with what each does to the prediction: `removed`,
            `alone` and `shapley` of :class:`KeptSpan`.
        prediction: averaged over rationales, or with `predict="mode"` from this one alone: a number, a tuple of numbers
            (several targets), or a label.
        from_rationale: the prediction from the words of the rationale alone.
        probabilities: of each label; `None` for numbers.
        interval: `(low, high)` around a number, or one per target; `None` for labels.
        labels: the set of labels that holds the true one with the probability of an interval, or one per target;
            `None` for numbers.
        level: probability of the interval, or of the set.
        alternatives: distinct rationales, the shown one first (with other rules than `agreeing` the most probable one),
            the others by falling probability; none of a text without words.
        names: names of the targets.
        known: number of the words that the model knows; it reads all others alike. A transformer encoder knows all.
        tau: weight of the entropy that the guide was fitted with.
        answers: what would speak for each answer that was asked for, with `answers=("positive", "negative")`.
        targets: the rationale of each target by its name. Where targets have rationales of their own, `mask` and
            `spans` are what any of them keeps, and what spans do is said here alone.
        own: whether targets have rationales of their own.
        effects_on: what the numbers of `spans` are changes of, in words, for each target.
        probability: that the guide gives to the rationale, q(mask | text), exact; `None` of a text without words, and
            where targets have rationales of their own, whose probabilities are said in `targets`.
        information: nats that the kept words add about each target, by its name, to what is said of a text that was
            not read; empty in runs of older versions.
    """

    text: str
    tokens: tuple[str, ...]
    offsets: tuple[Span, ...]
    inclusion: tuple[float, ...]
    mask: Mask
    spans: tuple[KeptSpan, ...]
    prediction: Any
    from_rationale: Any
    probabilities: dict[Any, float] | None
    interval: Any
    labels: Any
    level: float
    alternatives: tuple[OtherRationale, ...]
    names: tuple[str, ...]
    known: int
    _plain: str
    tau: float = 1.0
    answers: tuple[AnswerRationale, ...] = ()
    effects_on: tuple[str, ...] = ()
    targets: dict[str, TargetRationale] = field(default_factory=dict)
    own: bool = False
    probability: float | None = None
    information: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        answers = [f"{harmless(name)}: {harmless(words)}{fit}" for name, words, fit in self._answer_rows()]
        return "\n".join([self._verdict(), self._plain, *([_ANSWERS, *answers] if answers else [])])

    def __repr__(self) -> str:
        kept = " … ".join(harmless(self.text[start:end]) for start, end in self.spans)
        return f"<Explanation: {self._verdict()}; kept: {kept or '(nothing)'}>"

    def _repr_html_(self) -> str:
        """One block without scripts, style sheets or links; it takes letters and background from the page."""
        return self._block() + _legend(self.tau)

    def _block(self) -> str:
        return (
            '<div style="max-width:60em;margin:.6em 0;line-height:1.8">'
            f'<div style="font-weight:600">{html.escape(self._verdict())}</div>'
            '<div dir="auto" style="white-space:pre-wrap;overflow-wrap:anywhere">'
            f"{self._lettered() if self.own else self._marked()}</div>"
            f"{self._effects()}{self._answers()}{self._others()}</div>"
        )

    def _verdict(self) -> str:
        """The prediction in a line, what the words say little about, and how many are known where those are few."""
        doubts = say_little(little_said(self.information)), doubt_of_words(self.known, self.tokens)
        return "; ".join(filter(None, [self._predicted(), *doubts]))

    def _predicted(self) -> str:
        if self.probabilities is not None:
            likely = sorted(self.probabilities.items(), key=lambda item: -item[1])[:5]
            alone = "" if self.from_rationale == self.prediction else f"; from these words alone {self.from_rationale}"
            shares = ", ".join(f"{label}: {100 * p:.1f} %" for label, p in likely)
            return f"predicted {self.prediction}  ({shares}{alone})"
        several = isinstance(self.prediction, tuple)
        parts = [_short(value) for value in (self.prediction if several else (self.prediction,))]
        if self.interval is not None:
            intervals = self.interval if several else (self.interval,)
            others = [_short(value) for value in (self.from_rationale if several else (self.from_rationale,))]
            parts = [
                f"{part} ({100 * self.level:g} % interval {rating_text(low)} to {rating_text(high)}; "
                f"from these words alone {other})"
                for part, (low, high), other in zip(parts, intervals, others, strict=True)
            ]
        if several:
            parts = [f"{name}: {part}" for name, part in zip(self.names, parts, strict=True)]
        return f"predicted {'; '.join(parts)}"

    def _marked(self) -> str:
        """The text, escaped, with shades and underlines."""
        text, hidden = visible(self.text, self.offsets)
        starts, ends = {span[0]: span for span in self.spans}, {end for _, end in self.spans}
        pieces, position = [], 0
        for (start, end), p in zip(self.offsets, self.inclusion, strict=True):
            pieces.append(html.escape(text[position:start]))
            if start in starts:
                colour = _colour(starts[start].effect)
                pieces.append(
                    '<u style="text-decoration-thickness:.15em;text-underline-offset:.2em;font-weight:600'
                    f'{colour and f";text-decoration-color:{colour}"}">'
                )
            word = html.escape(text[start:end])
            if p >= FAINTEST:
                style = f"background:rgba({SHADE},{STRONGEST * p:.3f});border-radius:.2em"
                word = f'<span style="{style}" title="inclusion probability {p:.2f}">{word}</span>'
            pieces.append(word)
            if end in ends:
                pieces.append("</u>")
            position = end
        unread = text[position:] + "…" * bool(hidden)
        return "".join(pieces) + (f'<span style="opacity:.6">{html.escape(unread)}</span>' if unread else "")

    def _lettered(self) -> str:
        """The text, escaped, with a letter and a colour for each target, and what the letters stand for."""
        text, hidden = visible(self.text, self.offsets)
        masks = [part.mask for part in self.targets.values()]
        pieces, position = [], 0
        for start, end, owners in marked_runs(self.offsets, masks):
            colour = COLOURS[owners[0] % len(COLOURS)] if len(owners) == 1 else "currentColor"
            letters = "".join(map(letter_of, owners))
            pieces.append(html.escape(text[position:start]))
            pieces.append(
                f'<u style="text-decoration-thickness:.15em;text-underline-offset:.2em;font-weight:600;'
                f'text-decoration-color:{colour}"><span style="font-size:.75em;color:{colour}">{letters}&nbsp;</span>'
                f"{html.escape(text[start:end])}</u>"
            )
            position = end
        key = "; ".join(
            f'<span style="font-weight:600;color:{COLOURS[i % len(COLOURS)]}">{letter_of(i)}</span> {html.escape(name)}'
            for i, name in enumerate(self.names)
        )
        rest = html.escape(text[position:] + "…" * bool(hidden))
        return f'{"".join(pieces)}{rest}<div style="font-size:.9em">{key}</div>'

    def _effects(self) -> str:
        """List of what each span does to the prediction, folded away."""
        if self.own:
            return "".join(self._effects_on_one(i) for i in range(len(self.names)))
        if not self.spans or self.spans[0].removed is None:
            return ""
        lines = "".join(
            f"<li>{self._effect(span)} {html.escape(' '.join(harmless(self.text[span[0] : span[1]]).split()))}</li>"
            for span in self.spans
        )
        spans = "1 span" if len(self.spans) == 1 else f"{len(self.spans)} spans"
        return f"<details><summary>for and against: {spans}</summary><ul>{lines}</ul></details>"

    def _effects_on_one(self, number: int) -> str:
        """List of what each span of one target does to it, folded away."""
        spans = self.targets[self.names[number]].spans
        if not spans or spans[0].removed is None:
            return ""
        lines = "".join(
            f'<li><span style="font-weight:600;color:{_colour(span.effect)}">{_signed(span.effect)}</span> '
            f"<span style='opacity:.75'>({_signed(span.removed)} if removed, {_signed(span.alone)} alone)</span> "
            f"{html.escape(' '.join(harmless(self.text[span[0] : span[1]]).split()))}</li>"
            for span in spans
        )
        heading = f"{letter_of(number)} {html.escape(self.effects_on[number])}: for and against"
        return f"<details><summary>{heading}</summary><ul>{lines}</ul></details>"

    def _effect(self, span: KeptSpan) -> str:
        """Effects on each target, with their removal and what the span says alone."""
        rows = zip(self.effects_on, *map(_each, (span.effect, span.removed, span.alone)), strict=True)
        return "; ".join(
            f'<span style="font-weight:600;color:{_colour(effect)}">{_signed(effect)}</span> '
            f"<span style='opacity:.75'>{html.escape(on)} "
            f"({_signed(removed)} if removed, {_signed(alone)} alone)</span>"
            for on, effect, removed, alone in rows
        )

    def _answers(self) -> str:
        """List of the rationales for each answer that was asked for."""
        lines = "".join(
            f"<li>{html.escape(name)}: {html.escape(words)}<span style='opacity:.75'>{fit}</span></li>"
            for name, words, fit in self._answer_rows()
        )
        return lines and f"<details open><summary>{_ANSWERS}</summary><ul>{lines}</ul></details>"

    def _answer_rows(self) -> list[tuple[str, str, str]]:
        """A row per answer: its name, the words that would speak for it, how rough they are, and how well it fits."""
        return [
            (f"{answer.target} " * (len(self.names) > 1) + _short(answer.answer), answer.words,
             f" ({ROUGH})" * (answer.khat > TRUSTED) + (fit and f"; {fit}"))
            for answer, fit in zip(self.answers, fits(self.answers), strict=True)
        ]  # fmt: skip

    def _others(self) -> str:
        """The alternatives, folded away."""
        others = [other for other in self.alternatives if other.mask != self.mask]
        if not others:
            return ""
        lines = "".join(
            f"<li>{html.escape(other.words)} <span style='opacity:.75'>&rarr; {html.escape(_short(other.prediction))}, "
            f"{in_percent(other.probability)} probable</span></li>"
            for other in others
        )
        return f"<details><summary>other rationales: {len(others)}</summary><ul>{lines}</ul></details>"


class Explanations(list[Explanation]):
    """A list that prints, and that notebooks show, one below the other."""

    def __init__(self, items: Iterable[Explanation] = ()) -> None:
        super().__init__(items)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self))

    def _repr_html_(self) -> str:
        return "".join(item._block() for item in self) + (_legend(self[0].tau) if self else "")


def explain(
    fitted: FittedModel,
    documents: Iterable[Document],
    options: PredictOptions | None = None,
    classes: Sequence[Any] | None = None,
    single: bool | None = None,
) -> Explanations:
    """Predictions of a fitted model with their rationales, one per document.

    Args:
        fitted: the model.
        documents: the texts.
        options: which rationale is shown, how much to draw and to list.
        classes: labels by the numbers of the classes; those of the model by default.
        single: whether prediction and interval stand alone and not in a tuple; by default those of one target do.
    """
    options = options or ExplainOptions()
    labels = fitted.spec.classes if classes is None else classes
    alone = len(fitted.spec.names) == 1 if single is None else single
    explainer = _Explainer(fitted, labels, alone, options.level, fitted.task_for(options.predict))
    return Explanations(map(explainer.explained, predict(fitted, documents, options)))


@dataclass(frozen=True)
class _Explainer:
    """Makes explanations of the predictions of a model.

    Attributes:
        fitted: the model.
        labels: of the classes, by their numbers; empty for ratings.
        alone: whether what is said of one target stands alone and not in a tuple.
        level: probability of the intervals.
        shown: the task by which predictions are read, which may average over masks.
    """

    fitted: FittedModel
    labels: Sequence[Any]
    alone: bool
    level: float
    shown: Task

    def explained(self, prediction: Prediction) -> Explanation:
        """The explanation of one text."""
        document, interval, names = prediction.document, prediction.interval, self.fitted.spec.names
        sets = None
        if prediction.classes is not None:
            sets = tuple(tuple(self.labels[number] for number in numbers) for numbers in prediction.classes)
        masks = [part.kept for part in prediction.aspects]
        return Explanation(
            text=document.text,
            tokens=document.tokens,
            offsets=document.offsets,
            inclusion=prediction.inclusion,
            mask=prediction.kept,
            spans=kept_spans(document, prediction.kept, prediction.contributions, self.alone),
            prediction=self._predicted(prediction.predicted, self.shown),
            from_rationale=self._from_mask(prediction.values),
            probabilities=self._probabilities(prediction.predicted) if self.labels and self.alone else None,
            interval=interval[0] if interval is not None and self.alone else interval,
            labels=None if sets is None else sets[0] if self.alone else sets,
            level=self.level,
            alternatives=_others(prediction, self._from_mask),
            names=names,
            known=prediction.known,
            _plain=lettered(document, masks, names) if masks else bracketed(document, prediction.kept),
            tau=float(self.fitted.config.tau),
            answers=tuple(self._answered(document, answer) for answer in prediction.answers),
            targets={name: self._target(prediction, i) for i, name in enumerate(names)},
            own=bool(prediction.aspects),
            effects_on=tuple(self.shown.effect_units(prediction.predicted)),
            probability=prediction.probability,
            information=by_target(self.fitted.task, prediction.information),
        )

    def _target(self, prediction: Prediction, i: int) -> TargetRationale:
        """The rationale of the target of this number."""
        part = prediction.aspects[i] if prediction.aspects else prediction

        def only(said: Any) -> Any:
            return said if self.alone else said[i]

        return TargetRationale(
            mask=part.kept,
            spans=kept_spans(part.document, part.kept, part.contributions, True, 0 if prediction.aspects else i),
            inclusion=part.inclusion,
            prediction=only(self._predicted(prediction.predicted, self.shown)),
            from_rationale=only(self._from_mask(prediction.values)),
            alternatives=_others(part, lambda values: only(self._from_mask(values))),
            probability=part.probability,
        )

    def _answered(self, document: Document, answer: Answer) -> AnswerRationale:
        """The rationale that would speak for an answer, and what is predicted from it."""
        return AnswerRationale(
            answer.target,
            self.labels[int(answer.value)] if self.labels else answer.value,
            answer.log_evidence,
            answer.evidence_khat,
            answer.log_predictive,
            answer.khat,
            answer.mask,
            tuple(spans(document, answer.mask)),
            snippets(document, answer.mask),
            answer.inclusion,
            self._from_mask(answer.values),
        )

    def _from_mask(self, values: Sequence[float]) -> Any:
        """The prediction from one mask: of alternatives, of answers, and what the rationale alone says."""
        return self._predicted(values, self.fitted.task.alone)

    def _predicted(self, values: Sequence[float], task: Task) -> Any:
        """Ratings, or the labels that a task decides on; in a tuple unless the one target stands alone."""
        each: list[Any] = list(values)
        if self.labels:
            each = [self.labels[number] for number in task.decisions(np.array([values]))[0].tolist()]
        return each[0] if self.alone else tuple(each)

    def _probabilities(self, values: Sequence[float]) -> dict[Any, float]:
        """Probabilities of the labels of the first target."""
        rows = class_probabilities(self.fitted, np.array([values]))
        assert rows is not None  # it has labels
        return dict(zip(self.labels, rows[0, 0].tolist(), strict=True))


def _others(prediction: Prediction, said: Callable[[Sequence[float]], Any]) -> tuple[OtherRationale, ...]:
    """The alternatives of a text, none of one without words; `said` reads the values predicted from each."""
    document = prediction.document
    return tuple(
        OtherRationale(
            other.mask,
            tuple(spans(document, other.mask)),
            snippets(document, other.mask),
            other.frequency,
            other.log_probability,
            said(other.values),
        )
        for other in (prediction.alternatives if document.tokens else ())
    )


def class_probabilities(fitted: FittedModel, values: Numbers) -> Numbers | None:
    """Probabilities `(N, D, C)` that add up to 1, from `Prediction.values` `(N, W)`; `None` for ratings."""
    probabilities = fitted.task.probabilities(values)
    if probabilities is not None and fitted.task.per_class:  # of float32, which do not quite add up to 1
        probabilities = probabilities / probabilities.sum(-1, keepdims=True)
    return probabilities


def _legend(tau: float) -> str:
    return (
        '<div style="font-size:.8em;opacity:.75">underlined: the rationale; shade: '
        f"{inclusion_label(tau)}</div>"
    )


def _each(values: Any) -> tuple[Any, ...]:
    return values if isinstance(values, tuple) else (values,)


def _signed(value: float) -> str:
    """A change of a prediction with its sign, in a few characters."""
    return number_text(value, "+.3g")


def _colour(effect: Any) -> str:
    """Colour of a span by the sign of its effects; none where they differ by the target, or are not known."""
    signs = {value > 0 for value in _each(effect) if value}
    return "" if len(signs) != 1 else FOR if signs == {True} else AGAINST


def _short(prediction: Any) -> str:
    """A prediction in a few characters."""
    values = prediction if isinstance(prediction, tuple) else (prediction,)
    return ", ".join(rating_text(value) if isinstance(value, float) else str(value) for value in values)
