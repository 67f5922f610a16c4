"""Base of all tasks: everything that depends on the kind of a target."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.errors import ConfigError
from pyro_rationale.tasks._cells import Cell
from pyro_rationale.tasks._decision import Decision
from pyro_rationale.tasks._likelihood import Likelihood
from pyro_rationale.tasks._mixture import Mixture
from pyro_rationale.tasks._numerals import rating_text
from pyro_rationale.tasks._spec import TargetSpec

Numbers = NDArray[np.float64]
Labels = NDArray[np.int64]


class Task(ABC):
    """One kind of target: how it is read, modelled, measured and shown.

    Targets come as `(N, D)` numbers in the user's units: ratings, or indices of classes; NaN where there is none. A
    batch holds them scaled, as :meth:`encode` and :meth:`batch` make them. Predictions are `(N, W)` numbers, as
    :meth:`values` makes them.

    Args:
        spec: the target.
    """

    family: ClassVar[str] = ""  # task of the ready-made corpora that this one can be fitted to by --task
    cost_name: ClassVar[str]  # of the entry of `errors` that stands for all of them in tables
    loss_unit: ClassVar[str]  # of the likelihood's loss
    error_name: ClassVar[str] = "error"  # what the likelihood's reported loss is, in the lines of a fit
    constant_name: ClassVar[str] = "always guessing the average"  # the best constant, in these lines
    value_name: ClassVar[str]  # of predictions, for data files
    target_dtype: ClassVar[type[np.generic]]  # of targets, for data files
    per_class: ClassVar[bool] = False  # predictions have a column per class instead of one per target
    reads_labels: ClassVar[bool] = False  # cells are names of classes, taken as they are written
    of_pairs: ClassVar[bool] = False  # what is predicted is of pairs of documents, which carry no targets

    decision: Decision | None = None  # the rule that names classes; `None`: the most probable one is named

    def __init__(self, spec: TargetSpec) -> None:
        self.spec = spec

    @property
    def alone(self) -> Task:
        """This task for predictions from a single mask, which have a rule of their own."""
        from pyro_rationale.tasks import task_of

        rule = self.decision
        return self if rule is None or rule.alone is None else task_of(self.spec, rule.alone)

    @property
    def width(self) -> int:
        """Number of the encoder's outputs and of columns of a prediction, `W`."""
        return len(self.spec.classes) if self.per_class else len(self.spec.names)

    # Reading.

    @classmethod
    def suits(cls, columns: Sequence[Sequence[Cell]], scale: tuple[float, float] | None) -> bool:
        """Whether `--task auto` should take this task for target columns without empty cells.

        Args:
            columns: the cells of each target.
            scale: lowest and highest rating, where they were given.
        """
        return False

    @classmethod
    @abstractmethod
    def make_spec(
        cls,
        kind: str,
        where: str,
        names: Sequence[str],
        columns: Sequence[Sequence[Cell]],
        scale: tuple[float, float] | None,
    ) -> TargetSpec:
        """Description of the targets that stand in some columns.

        Args:
            kind: name of the task.
            where: the file, for messages.
            names: the targets.
            columns: the cells of each, without empty ones.
            scale: lowest and highest rating, where they were given.

        Raises:
            DataError: there is nothing to predict in a column.
            ConfigError: the options do not go together.
        """

    @classmethod
    def of_family(cls, spec: TargetSpec, kind: str, where: str, targets: Numbers) -> TargetSpec:
        """Description of the targets of a ready-made corpus, for this task of another name and the same family.

        Args:
            spec: the corpus's own.
            kind: name of this task.
            where: the corpus, for messages.
            targets: of all its documents, `(N, D)`.

        Raises:
            DataError: they do not suit the task.
        """
        return replace(spec, kind=kind)

    @classmethod  # noqa: B027  most tasks need nothing more
    def check_spec(cls, spec: TargetSpec) -> None:
        """Refuse a description, read from a file, that this task cannot use.

        Raises:
            ConfigError: something is missing.
        """

    @abstractmethod
    def parse(self, cell: Cell, i: int) -> float:
        """A cell of the `i`-th target, not empty, as a number in the user's units.

        Raises:
            ValueError: it does not fit; the message says how.
        """

    def answer(self, cell: Cell, i: int) -> float:
        """A cell as :meth:`parse` reads it, where it is asked about as an answer that could be given.

        Raises:
            ValueError: it does not fit; the message says how.
        """
        return self.parse(cell, i)

    def aliases(self, cells: Collection[str]) -> dict[str, str]:
        """Cells of a target column that is written otherwise than the one fitted on, and what they stand for.

        Args:
            cells: all different ones of the column.

        Raises:
            ValueError: it cannot be told what they stand for; the message says why.
        """
        return {}

    @abstractmethod
    def describe(self) -> str:
        """The target in a few words, for messages."""

    @abstractmethod
    def encode(self, targets: Numbers, name: Callable[[int], str]) -> NDArray[np.float32]:
        """Targets `(N, D)` scaled for the model.

        Args:
            targets: in the user's units.
            name: of a document, for messages.

        Raises:
            DataError: a target does not fit.
        """

    def batch(self, rows: Tensor) -> Tensor:
        """Encoded targets `(B, D)` in the shape that the likelihood reads.

        Raises:
            DataError: some are missing, and must not.
        """
        return rows

    # Modelling.

    @abstractmethod
    def baseline_loss(self, targets: Tensor) -> Tensor:
        """Mean loss of the best constant prediction of each target where it is known, float64 `(D,)`.

        Args:
            targets: in the user's units, float64 `(N, D)`.
        """

    @abstractmethod
    def make_likelihood(self, baseline_loss: float = 1.0) -> Likelihood:
        """The likelihood, untrained.

        Args:
            baseline_loss: :meth:`baseline_loss` of the training targets, summed over them.
        """

    def initial_outputs(self, targets: Tensor) -> list[float] | None:
        """Numbers from which training starts; `None` for those of random weights.

        They are the `W` outputs, unless the likelihood has a state of its own (:meth:`Likelihood.start_from`).
        """
        return None

    def constant(self, targets: Numbers) -> Numbers:
        """The constant prediction `(W,)` that suits the targets `(N, D)` best: means, or the classes' shares."""
        if self.per_class:
            counts = np.bincount(targets[:, 0].astype(np.int64), minlength=self.width)
            return counts / counts.sum()
        means: Numbers = np.nanmean(targets, axis=0)
        return means

    def class_weights(self, wanted: str, targets: Numbers, weights: Numbers) -> Numbers:
        """Weight of each class in a fit, `(C,)`.

        Args:
            wanted: `balanced`, or `LABEL=W,...`.
            targets: of the training texts, `(N, D)`.
            weights: of the training texts, `(N,)`.

        Raises:
            ConfigError: there are no such classes.
        """
        raise ConfigError(
            f"--class-weight {wanted}: {', '.join(self.spec.names)} has no classes; leave it out, or give "
            "rows weights of their own (--weight-column)"
        )

    def check_decide(self, wanted: str) -> None:
        """Refuse `--decide` where nothing is decided.

        Raises:
            ConfigError: there are no classes.
        """
        if wanted != "auto":
            names = ", ".join(self.spec.names)
            raise ConfigError(f"--decide {wanted}: {names} has no classes to decide between; leave it out")

    def fit_decision(self, values: Numbers, targets: Numbers) -> Decision | None:
        """The rule of greatest macro-F1 on development texts; `None` where there are no classes.

        Args:
            values: predictions `(N, W)` as they are shown.
            targets: of the texts, `(N, D)`, NaN where unknown.
        """
        return None

    @property
    def context_width(self) -> int:
        """Number of columns of :meth:`context`."""
        return 2 * self.width

    def context(self, targets: Tensor) -> Tensor:
        """A batch's targets as inputs of a guide, `(B, C)`; zeros where they are unknown.

        By default the scaled value of each target and a flag that it is known.
        """
        known = ~targets.isnan()
        return torch.cat([targets.nan_to_num(0.0), known.to(targets.dtype)], dim=-1)

    # Predictions.

    def values(self, distribution: dist.TorchDistribution) -> Numbers:
        """Predictions `(*s, B, W)` in the user's units, from p(y | x, z) of batch shape `(*s, B)`.

        Ratings are expected values. They may lie beyond the ends of the scale: errors and draws are made of them as
        they are, people see them clipped (:meth:`clip`). Labels are probabilities of the second class, or of all.
        """
        return to_numbers(distribution.mean)

    def sample(self, distribution: dist.TorchDistribution) -> Numbers:
        """One draw of each target, `(*s, B, D)` in the user's units, not clipped."""
        return to_numbers(distribution.sample())

    def clip(self, values: Numbers) -> Numbers:
        """Predictions `(*s, W)` as people see them, within the scale."""
        return values

    def noise(self, distribution: dist.TorchDistribution) -> Numbers | None:
        """Standard deviation of each target around :meth:`values`, `(*s, B, D)`; `None` for classes.

        A task whose likelihood has no `noise` may give whatever its :meth:`mixture` needs of each mask.
        """
        return None

    def mixture(self, values: Numbers, noise: Numbers, weights: Numbers) -> Mixture:
        """Predictive distribution of ratings over several masks, as :class:`Mixture` takes them."""
        return Mixture(values, noise, weights)

    def temper(self, values: Numbers, temperature: float) -> Numbers:
        """Probabilities of classes `(N, W)` with their logits divided by a temperature; ratings as they are."""
        return values

    def from_linear(self, outputs: Numbers) -> Numbers:
        """Predictions `(N, W)` from the outputs of a linear model: ratings in the user's units, or logits."""
        return outputs

    def probabilities(self, values: Numbers) -> Numbers | None:
        """Probabilities of the classes of each target, `(N, D, C)`; `None` for ratings."""
        return None

    def effects(self, values: Numbers, predicted: Numbers) -> Numbers:
        """Predictions `(N, W)` as numbers `(N, D)` whose differences say what some words do.

        Ratings are as they are, also beyond the ends of the scale; labels are the log odds of the predicted one.

        Args:
            values: from some words.
            predicted: the predictions `(N, W)` that are explained.
        """
        return values

    def effect_tensor(self, distribution: dist.TorchDistribution, predicted: Numbers) -> Tensor:
        """Numbers `(N, D)` of p(y | x, z) that change as :meth:`effects` does, as a tensor with gradients.

        Args:
            distribution: from some words.
            predicted: the prediction `(1, W)` that is explained.
        """
        mean: Tensor = distribution.mean
        return mean

    def effect_units(self, predicted: Sequence[float]) -> list[str]:
        """Units of :meth:`effects` of each target, in words: its name, or the class whose log odds they are."""
        return list(self.spec.names)

    # Measuring.

    @abstractmethod
    def errors(self, values: Numbers, targets: Numbers) -> dict[str, NDArray[Any]]:
        """Figures of each predicted target by name, `(N, D)` each; arbitrary where the target is NaN."""

    @abstractmethod
    def drop(self, full: Numbers, other: Numbers) -> Numbers:
        """Loss of a prediction `other` from some of the words against `full` from all of them, `(N,)`."""

    @abstractmethod
    def decisions(self, values: Numbers, reference: Numbers | None = None) -> Labels:
        """Predictions as classes, `(N, D)`.

        Args:
            values: predictions.
            reference: predictions whose median divides ratings in two; default: `values`.
        """

    @abstractmethod
    def true_decisions(self, targets: Numbers) -> Numbers:
        """True targets as classes, `(N, D)`, as :meth:`decisions`; arbitrary where the target is NaN."""

    @abstractmethod
    def threshold(self, targets: Numbers) -> float:
        """Where the first scaled target divides documents in two, from the training targets `(N, D)`."""

    def support(self, values: Numbers) -> Numbers:
        """How much predictions speak for each decision on the first target, `(N, C)`."""
        return np.stack([-values[:, 0], values[:, 0]], axis=1)

    @abstractmethod
    def skill(self, values: Numbers, targets: Numbers) -> float:
        """How much better predictions are than the best constant: 0 no better, 1 perfect, below 0 worse.

        Targets that nobody knows of any document are left out.
        """

    # Showing.

    def point(self, values: Sequence[float]) -> dict[str, dict[str, Any]]:
        """One prediction by target, as plain values: `value`, or `label` and `probabilities`."""
        probabilities = self.probabilities(np.array([values], dtype=float))
        if probabilities is None:
            return {name: {"value": value} for name, value in zip(self.spec.names, values, strict=True)}
        rows = [dict(zip(self.spec.classes, row, strict=True)) for row in probabilities[0].tolist()]
        labels = [self.spec.classes[number] for number in self.decisions(np.array([values], dtype=float))[0].tolist()]
        entries = ({"label": label, "probabilities": row} for label, row in zip(labels, rows, strict=True))
        return dict(zip(self.spec.names, entries, strict=True))

    def record(
        self,
        predicted: Sequence[float],
        values: Sequence[float],
        averaged: Sequence[float],
        sd: Sequence[float] | None,
        interval: Sequence[tuple[float, float]] | None,
        classes: Sequence[Sequence[int]] | None = None,
    ) -> dict[str, dict[str, Any]]:
        """:meth:`point` with more: `rationale`, the point from the kept words alone, and how sure the prediction is.

        That is `mean`, `sd`, `low` and `high` of ratings, and for classes `averaged` probabilities and the `set`.

        Args:
            predicted: the prediction.
            values: from the kept words alone.
            averaged: the mean over masks.
            sd: standard deviation of each rating.
            interval: of each rating.
            classes: the set of each target, as numbers of classes.
        """
        record, others, alone = self.point(predicted), self.point(averaged), self.alone.point(values)
        for i, (name, entry) in enumerate(record.items()):
            entry["rationale"] = alone[name]
            if "label" in entry:
                entry["averaged"] = others[name]["probabilities"]
            else:
                entry["mean"] = others[name]["value"]
            if sd is not None and interval is not None:
                entry |= {"sd": sd[i], "low": interval[i][0], "high": interval[i][1]}
            if classes is not None:
                entry["set"] = [self.spec.classes[number] for number in classes[i]]
        return record

    def lines(
        self,
        predicted: Sequence[float],
        values: Sequence[float],
        interval: Sequence[tuple[float, float]] | None,
        level: float,
        classes: Sequence[Sequence[int]] | None = None,
    ) -> list[str]:
        """A line per target: the prediction, how sure it is, and the one from the shown words alone.

        Arguments are those of :meth:`record`. A set of the predicted class alone says no more, and is left out.
        """
        sure = [""] * len(self.spec.names)
        if interval is not None:
            sure = [f"{100 * level:g} % interval {rating_text(low)} to {rating_text(high)}; " for low, high in interval]
        elif classes is not None:
            sets = [", ".join(self.spec.classes[number] for number in numbers) for numbers in classes]
            labels = [entry["label"] for entry in self.point(predicted).values()]
            sure = [
                f"{100 * level:g} % set {names}; " * (names != label)
                for names, label in zip(sets, labels, strict=True)
            ]
        lines = zip(self.short(predicted), sure, self.alone._said(values), strict=True)
        return [f"{line}  ({more}from these words alone {alone})" for line, more, alone in lines]

    def level_shares(self, predictive: Mixture | None) -> dict[str, dict[str, float]]:
        """Probability of each rating by target, from one document's distribution; empty unless ratings are levels."""
        return {}

    def level_lines(self, predictive: Mixture | None) -> list[str]:
        """`food: 1 4 %, 2 10 %, 3 86 %`, a string per target; none unless ratings are levels."""
        return [
            f"{name}: {', '.join(f'{level} {100 * share:.0f} %' for level, share in shares.items())}"
            for name, shares in self.level_shares(predictive).items()
        ]

    def short(self, values: Sequence[float]) -> list[str]:
        """`food 3.9` or `sentiment: positive 97 %`, a string per target."""
        colon = ":" if self.spec.classes else ""
        return [f"{name}{colon} {said}" for name, said in zip(self.spec.names, self._said(values), strict=True)]

    def _said(self, values: Sequence[float]) -> list[str]:
        """`3.9` or `positive 97 %`, a string per target."""
        return [
            f"{entry['label']} {100 * entry['probabilities'][entry['label']]:.1f} %"
            if "label" in entry
            else rating_text(entry["value"])
            for entry in self.point(values).values()
        ]

    def remark(self, targets: Numbers) -> str:
        """A few words for users about the training targets `(N, D)`; empty for nothing remarkable."""
        return ""

    def true_lines(self, targets: Sequence[float]) -> list[str]:
        """True targets of a document, a string each."""
        classes, unknown = self.spec.classes, "unknown" if self.spec.classes else "not rated"
        return [unknown if math.isnan(t) else classes[int(t)] if classes else rating_text(t) for t in targets]


def to_numbers(values: Tensor) -> Numbers:
    """A tensor as float64 numbers of the same shape, on the CPU and without a gradient."""
    return values.detach().to("cpu", torch.float64).numpy()
