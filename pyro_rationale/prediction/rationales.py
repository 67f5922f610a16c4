"""Rationales of a text as records: kept spans with their effects, alternatives, those of one answer or one target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from pyro_rationale.data.document import Document
from pyro_rationale.prediction.answers import Answer
from pyro_rationale.prediction.contributions import Contributions
from pyro_rationale.prediction.decoding import Mask
from pyro_rationale.prediction.text_spans import Span, spans

NEARLY = 0.05  # nats that round to none


class KeptSpan(tuple[int, int]):
    """A kept span as the pair `(start, end)` of characters of the text, and what it does to the prediction.

    The changes are numbers, or tuples with one for each of several targets: of a rating in the user's units, of a
    label in nats of its log odds. All are `None` with `contributions="none"`.

    Attributes:
        removed: change when the span is removed, averaged over drawn rationales that keep all its words.
        removed_here: change when the span is removed from the shown rationale.
        alone: change when the span is added to nothing: the encoder reads it alone.
        shapley: its share of what all spans do together; `None` beyond ten spans, or with `contributions="removal"`.
        share: of the drawn rationales that keep all its words.
    """

    removed: Any
    removed_here: Any
    alone: Any
    shapley: Any
    share: float | None

    def __new__(
        cls,
        start: int,
        end: int,
        removed: Any = None,
        removed_here: Any = None,
        alone: Any = None,
        shapley: Any = None,
        share: float | None = None,
    ) -> Self:
        """The pair with its attributes."""
        pair = super().__new__(cls, (start, end))
        pair.removed, pair.removed_here, pair.alone, pair.shapley = removed, removed_here, alone, shapley
        pair.share = share
        return pair

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self, self.removed, self.removed_here, self.alone, self.shapley, self.share)

    @property
    def effect(self) -> Any:
        """Number that the span adds to the prediction: its Shapley value, or else the reverse of its removal."""
        if self.shapley is not None or self.removed is None:
            return self.shapley
        several = isinstance(self.removed, tuple)
        return tuple(-change for change in self.removed) if several else -self.removed


@dataclass(frozen=True)
class OtherRationale:
    """One of several rationales of a text.

    Attributes:
        mask: True on kept words.
        spans: the kept runs as `(start, end)` characters of the text.
        words: the kept runs as one line.
        frequency: its share of the guide's draws, about its probability.
        log_probability: log q(mask | text), exact.
        prediction: from these words, as a number, a tuple of numbers (several targets), or a label.
    """

    mask: Mask
    spans: tuple[Span, ...]
    words: str
    frequency: float
    log_probability: float
    prediction: Any

    @property
    def probability(self) -> float:
        """q(mask | text)."""
        return math.exp(self.log_probability)


@dataclass(frozen=True)
class AnswerRationale:
    """Rationale for one answer, as if it were the true one.

    Attributes:
        target: name of the target.
        answer: label or rating.
        log_evidence: log p(y = answer | text) over the prior's rationales, in nats; differences between answers count.
        evidence_khat: Pareto shape of the importance weights of `log_evidence`; above 0.7 it cannot be trusted.
        log_predictive: log p(answer | text) over the guide's rationales, in nats, as predictions are made.
        khat: Pareto shape of the importance weights of what follows; above 0.7 that cannot be trusted.
        mask: the most probable rationale given the answer, True on its words.
        spans: its runs as `(start, end)` characters of the text.
        words: its runs as one line.
        inclusion: probability that each word is kept, given the answer.
        prediction: from these words, as a number, a tuple of numbers (several targets), or a label.
    """

    target: str
    answer: Any
    log_evidence: float
    evidence_khat: float
    log_predictive: float
    khat: float
    mask: Mask
    spans: tuple[Span, ...]
    words: str
    inclusion: tuple[float, ...]
    prediction: Any


def fits(answers: Sequence[AnswerRationale | Answer]) -> list[str]:
    """How well the text fits each answer beside the others to its target, in words; nothing of one without others.

    Fits are log predictive densities: `fits best`, `0.4 nats less` than that, or `fits as well` where it rounds to 0.
    """
    said = []
    for answer in answers:
        rivals = [other.log_predictive for other in answers if other.target == answer.target]
        less = max(rivals) - answer.log_predictive
        fit = "fits best" if not less else "fits as well" if less < NEARLY else f"{less:.1f} nats less"
        said.append(fit if len(rivals) > 1 else "")
    return said


@dataclass(frozen=True)
class TargetRationale:
    """The rationale of one target; where all targets share one, the same for each but for what spans do to it.

    Attributes:
        mask: the shown rationale, True on its words.
        spans: its runs as `(start, end)` characters of the text, with what each does to this target's prediction.
        inclusion: probability under the guide that each word is kept.
        prediction: of this target.
        from_rationale: the prediction from the words of the rationale alone.
        alternatives: distinct rationales, in the order of :attr:`Explanation.alternatives
            <pyro_rationale.prediction.explanation.Explanation.alternatives>`.
        probability: that the guide gives to the rationale, q(mask | text), exact; `None` of a text without words.
    """

    mask: Mask
    spans: tuple[KeptSpan, ...]
    inclusion: tuple[float, ...]
    prediction: Any
    from_rationale: Any
    alternatives: tuple[OtherRationale, ...]
    probability: float | None = None


def kept_spans(
    document: Document, mask: Mask, found: Contributions | None, single: bool, target: int = 0
) -> tuple[KeptSpan, ...]:
    """The runs of a mask with their contributions, if these are known.

    Args:
        document: the text.
        mask: its rationale.
        found: contributions of the runs.
        single: whether the changes of one target stand alone, and not those of all in a tuple.
        target: that one's number.
    """
    pairs = list(spans(document, mask))
    if found is None:
        return tuple(KeptSpan(*pair) for pair in pairs)

    def change(values: tuple[float, ...] | None) -> Any:
        return values[target] if values and single else values

    return tuple(
        KeptSpan(
            start,
            end,
            removed=change(part.removed),
            removed_here=change(part.removed_here),
            alone=change(part.alone),
            shapley=change(part.shapley),
            share=part.share,
        )
        for (start, end), part in zip(pairs, found.spans, strict=True)
    )
