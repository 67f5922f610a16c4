"""Metrics as the registry knows them, and the inputs that they are computed from."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol

from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.data.cache.dataset import target_rows
from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.evaluation.statistic import Masks, Metrics, Numbers, Statistics, values_of
from pyro_rationale.tasks import task_of

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.tasks import Decision, Mixture, Task

P = ParamSpec("P")


class Judge(Protocol):
    """The part of a :class:`~pyro_rationale.prediction.rationalizer.Rationalizer` that faithfulness needs."""

    spec: TargetSpec

    def predict(self, documents: Sequence[Document], masks: Masks) -> Numbers:
        """`(N, W)` in the units of `Predictions.values`, from the kept words alone."""


@dataclass(frozen=True)
class Metric:
    """One number of an evaluation, as tables and tests present it.

    Attributes:
        name: key in JSON files.
        label: text in tables; empty for a metric that only JSON files hold.
        format: `%` for shares, else a format specification.
        better: which direction is better; empty if neither is.
        tested: whether the significance test of two runs includes it. Metrics that ask the same question in other
            words are left out: each one more costs the others some power.
        main: whether a table shows it that does not show every figure.
    """

    name: str
    label: str = ""
    format: str = ".4g"
    better: Literal["higher", "lower", ""] = ""
    tested: bool = False
    main: bool = False


@dataclass(frozen=True)
class MetricInputs:
    """Rationales and predictions of `N` documents, in their order; a family whose needs are `None` is left out.

    Attributes:
        documents: with targets (NaN where unknown), gold rationales and annotators' maps where there are any.
        spec: what is predicted.
        masks: the rationales, one flag per word.
        values: predictions `(N, W)` in the units of :attr:`Predictions.values`.
        scores: by which words are ranked, a number per word.
        intervals: `(N, D, 2)` around each rating, as they are shown.
        averaged: predictions averaged over masks, `(N, W)` in the units of `values`, not cut at the ends of a scale.
        predictive: predictive distributions of ratings over masks and noise, of batch shape `(N,)`.
        conformal: conformal quantile of each target at 90 %, `(D,)`, all finite.
        judge: predicts from parts of the texts.
        lexicon: words whose share among the kept ones is counted.
        decision: the rule that names classes; `None`: the most probable one is named.
        fitted: the model whose objective is evaluated.
        batch_size: documents at once.
        seed: of random words for comparison, and of draws.
    """

    documents: Sequence[Document]
    spec: TargetSpec
    masks: Masks | None = None
    values: Numbers | None = None
    scores: Sequence[Numbers] | None = None
    intervals: Numbers | None = None
    averaged: Numbers | None = None
    predictive: Mixture | None = None
    conformal: Numbers | None = None
    judge: Judge | None = None
    lexicon: Container[str] | None = None
    decision: Decision | None = None
    fitted: FittedModel | None = None
    batch_size: int = 64
    seed: int = 0

    @property
    def task(self) -> Task:
        """Task of the predictions, with the rule that names classes."""
        return task_of(self.spec, self.decision)

    @cached_property
    def targets(self) -> Numbers:
        """True targets `(N, D)` in the user's units (class indices for classes); NaN where a document has none."""
        return targets_of(self.documents, self.spec)


@dataclass(frozen=True)
class MetricFamily:
    """Metrics that are computed together: what a module of this folder, or an entry point, registers.

    Attributes:
        metrics: in the order of tables.
        compute: from the inputs to values by name: a :class:`~pyro_rationale.evaluation.statistic.Statistic` where the
            metric is a function of sums over documents, which intervals and tests need; else anything that JSON holds.
        needs: fields of :class:`MetricInputs` that must not be `None`.
        curves: from the inputs to what figures are drawn of, by name: anything that JSON holds.
    """

    metrics: tuple[Metric, ...]
    compute: Callable[[MetricInputs], Mapping[str, Any]]
    needs: tuple[str, ...] = ("masks",)
    curves: Callable[[MetricInputs], Mapping[str, Any]] | None = None


def rows_by_target(inputs: MetricInputs) -> dict[str, tuple[list[Document], Masks]]:
    """Documents and masks of each target by its name: rows about one target, or documents with rationales of each.

    Returns:
        Empty where targets have neither masks nor rationales of their own.
    """
    pairs = list(zip(inputs.documents, inputs.masks or (), strict=False))
    if pairs and pairs[0][0].aspect is None:
        if len(inputs.spec.names) == 1 or all(document.rationales is None for document, _ in pairs):
            return {}
        pairs = [(row, mask) for document, mask in pairs for row in by_aspect([document], len(inputs.spec.names))]
    named = {name: [pair for pair in pairs if pair[0].aspect == i] for i, name in enumerate(inputs.spec.names)}
    return {name: ([row for row, _ in own], [mask for _, mask in own]) for name, own in named.items() if own}


def targets_of(documents: Sequence[Document], spec: TargetSpec) -> Numbers:
    """True targets `(N, D)` in the user's units (class indices for classes); NaN where a document has none."""
    return target_rows(documents, len(spec.names))


def numbers(statistics: Callable[P, Statistics]) -> Callable[P, Metrics]:
    """A function of the same arguments that returns numbers instead of statistics."""

    @wraps(statistics)
    def metrics(*args: P.args, **kwargs: P.kwargs) -> Metrics:
        return values_of(statistics(*args, **kwargs))

    return metrics
