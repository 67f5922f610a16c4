"""Labels and classes: what yes/no labels and one of several classes have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar

import numpy as np
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.errors import ConfigError, DataError, listed, shown
from pyro_rationale.tasks._base import Labels, Numbers, Task
from pyro_rationale.tasks._calibration import temper
from pyro_rationale.tasks._cells import Cell, class_of_number, label_of, labels_of, number_of
from pyro_rationale.tasks._class_weights import parse_class_weights
from pyro_rationale.tasks._decision import Decision, fit_decision, named_classes
from pyro_rationale.tasks._spec import TargetSpec

MOST_CLASSES = 50
SMALLEST_PROBABILITY = 1e-7  # bounds the log loss


class ClassTask(Task):
    """Targets that are indices of classes; the loss is the cross entropy in nats."""

    cost_name = "accuracy"
    loss_unit = "nats of cross entropy"
    error_name = "cross entropy in nats"
    constant_name = "always guessing the shares of the classes"
    target_dtype = np.int32
    reads_labels = True
    may_be_missing: ClassVar[bool] = False  # NaN stands for an unknown label

    @classmethod
    def make_spec(
        cls,
        kind: str,
        where: str,
        names: Sequence[str],
        columns: Sequence[Sequence[Cell]],
        scale: tuple[float, float] | None,
    ) -> TargetSpec:
        """Classes in the order of their numbers, or of the alphabet."""
        if scale is not None:
            raise ConfigError(f"--target-range is for ratings, and {names[0]!r} holds classes; leave it out")
        cls.check_names(names)
        column = ", ".join(map(repr, names))
        labels = sorted(labels_of(columns), key=_label_order)
        if len(labels) < 2:
            raise DataError(
                f"{where}: column {column} holds one class only ({listed(labels)}); there is nothing to predict"
            )
        cls.check_labels(f"{where}: column {column}", labels)
        return TargetSpec(kind, tuple(names), classes=tuple(labels))

    @classmethod
    def check_names(cls, names: Sequence[str]) -> None:
        """Raise ConfigError if so many targets cannot be predicted together."""

    @classmethod
    def check_labels(cls, where: str, labels: Sequence[str]) -> None:
        """Raise DataError if there are too many labels."""
        if len(labels) > MOST_CLASSES:
            raise DataError(
                f"{where} holds {len(labels)} labels ({shown(labels[0])}, {shown(labels[1])}...), "
                f"more than {MOST_CLASSES}; is it the right one for --target-column?"
            )

    def parse(self, cell: Cell, i: int) -> float:
        """Index of a label."""
        label = label_of(cell)
        if label not in self.spec.classes:
            raise ValueError(f"is {shown(label)}, which is none of the classes {listed(self.spec.classes)}")
        return float(self.spec.classes.index(label))

    def aliases(self, cells: Collection[str]) -> dict[str, str]:
        """Labels that are the same number as a class, such as 1.0 for 1.

        Raises:
            ValueError: the classes are numbers as well, but others, as if they were counted from another one.
        """
        classes = self.spec.classes
        other = [cell for cell in cells if cell not in classes]
        same = {cell: name for cell in other if (name := class_of_number(cell, classes)) is not None}
        numbers = all(number_of(name) is not None for name in (*cells, *classes))
        if len(same) < len(other) and numbers and len(cells) <= len(classes):
            held, known = listed(sorted(cells, key=_label_order)), listed(classes)
            raise ValueError(f"holds {held}, and the run's classes are {known}; write the labels as the run's classes")
        return same

    def describe(self) -> str:
        """Kind and classes."""
        return f"{self.spec.kind} classes ({listed(self.spec.classes)})"

    def encode(self, targets: Numbers, name: Callable[[int], str]) -> NDArray[np.float32]:
        """Class indices, unchanged."""
        count = len(self.spec.classes)
        known = (targets == np.floor(targets)) & (targets >= 0) & (targets < count)
        if self.may_be_missing:
            known |= np.isnan(targets)
        if not known.all():
            i = int(np.flatnonzero(~known.all(axis=1))[0])
            raise DataError(f"{name(i)}: expected a class below {count}, got {tuple(targets[i].tolist())}")
        return targets.astype(np.float32)

    def class_weights(self, wanted: str, targets: Numbers, weights: Numbers) -> Numbers:
        """Weights by which all classes count alike (`balanced`), or those of some labels, and 1 for the others."""
        if len(self.spec.names) > 1:
            raise ConfigError(
                f"--class-weight {wanted}: there are {len(self.spec.names)} targets ({listed(self.spec.names)}), and a "
                "text has one weight; name one --target-column, or give rows weights of their own (--weight-column)"
            )
        if wanted == "balanced":
            known = ~np.isnan(targets[:, 0])
            sums = np.bincount(targets[known, 0].astype(int), weights[known], minlength=len(self.spec.classes))
            return np.where(sums > 0, sums.sum() / (len(sums) * np.where(sums > 0, sums, 1.0)), 1.0)
        given = parse_class_weights(wanted)
        for label in given:
            if label not in self.spec.classes:
                raise ConfigError(f"--class-weight: {shown(label)} is none of the classes {listed(self.spec.classes)}")
        return np.array([given.get(label, 1.0) for label in self.spec.classes])

    def check_decide(self, wanted: str) -> None:
        """Classes can be named by any rule."""

    def fit_decision(self, values: Numbers, targets: Numbers) -> Decision | None:
        """A rule for each target."""
        probabilities = self.probabilities(values)
        assert probabilities is not None
        return fit_decision(probabilities, targets)

    def decisions(self, values: Numbers, reference: Numbers | None = None) -> Labels:
        """Numbers of the classes that the rule names, by default of the most probable ones."""
        probabilities = self.probabilities(values)
        assert probabilities is not None
        return named_classes(probabilities, self.decision)

    def skill(self, values: Numbers, targets: Numbers) -> float:
        """(accuracy - a) / (1 - a) with `a` the share of the commonest class, averaged over the targets with labels."""
        skills = []
        for guess, truth in zip(self.decisions(values).T, targets.T, strict=True):
            known = ~np.isnan(truth)
            if not known.any():
                continue
            guess, truth = guess[known], truth[known].astype(np.int64)
            constant = float(np.bincount(truth).max() / len(truth))
            if constant < 1.0:  # one class only is predicted by anybody
                skills.append((float((guess == truth).mean()) - constant) / (1.0 - constant))
        return float(np.mean(skills)) if skills else math.nan

    def errors(self, values: Numbers, targets: Numbers) -> dict[str, NDArray[Any]]:
        """`accuracy`, and `log_loss` in nats."""
        truth = np.where(np.isnan(targets), 0.0, targets).astype(int)
        probabilities = self.probabilities(values)
        assert probabilities is not None
        right = np.take_along_axis(probabilities, truth[..., None], axis=-1)[..., 0]
        losses = -np.log(np.maximum(right, SMALLEST_PROBABILITY))
        return {"accuracy": self.decisions(values) == truth, "log_loss": losses}

    def temper(self, values: Numbers, temperature: float) -> Numbers:
        """Probabilities to the power of 1 / temperature, adding up to 1 again."""
        if temperature == 1.0:
            return values
        probabilities = self.probabilities(values)
        assert probabilities is not None
        tempered = temper(probabilities, temperature)
        return tempered[:, 0] if self.per_class else tempered[..., 1]

    def effects(self, values: Numbers, predicted: Numbers) -> Numbers:
        """Log odds of the predicted class of each target, in nats; beyond 16 they are cut."""
        probabilities, likely = self.probabilities(values), self.decisions(predicted)
        assert probabilities is not None
        chances = np.take_along_axis(probabilities, likely[..., None], axis=-1)[..., 0]
        chances = chances.clip(SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)
        log_odds: Numbers = np.log(chances) - np.log1p(-chances)
        return log_odds

    def effect_tensor(self, distribution: dist.TorchDistribution, predicted: Numbers) -> Tensor:
        """Log odds of the predicted class of each target."""
        likely: list[int] = self.decisions(predicted)[0].tolist()
        if self.per_class:
            chances: Tensor = distribution.probs[..., likely]
        else:
            second: Tensor = distribution.mean
            chances = torch.where(second.new_tensor(likely) == 1, second, 1.0 - second)
        return torch.logit(chances, SMALLEST_PROBABILITY)

    def effect_units(self, predicted: Sequence[float]) -> list[str]:
        """Log odds of a label, of each target."""
        labels = [self.spec.classes[i] for i in self.decisions(np.array([predicted]))[0]]
        several = len(self.spec.names) > 1
        return [
            f"{name}, log odds of {label}" if several else f"log odds of {label}"
            for name, label in zip(self.spec.names, labels, strict=True)
        ]

    def true_decisions(self, targets: Numbers) -> Numbers:
        """Class indices, unchanged."""
        return targets

    def threshold(self, targets: Numbers) -> float:
        """Middle of the list of classes: of two the second is above, of three the last two."""
        return len(self.spec.classes) / 2 - 0.75


def _label_order(label: str) -> tuple[float, str]:
    number = number_of(label)
    return (math.inf if number is None else number, label)
