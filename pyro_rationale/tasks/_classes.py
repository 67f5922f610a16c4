"""Labels and classes: what yes/no labels and one of several classes have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.errors import ConfigError, DataError, listed, shown
from pyro_rationale.tasks._base import Numbers, Task
from pyro_rationale.tasks._cells import Cell, label_of, labels_of, number_of
from pyro_rationale.tasks._spec import TargetSpec

MOST_CLASSES = 50
SMALLEST_PROBABILITY = 1e-7


class ClassTask(Task):
    """Targets that are indices of classes; the loss is the cross entropy in nats."""

    cost_name = "accuracy"
    loss_unit = "nats of cross entropy"
    target_dtype = np.int32
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
        cells = [cell for cells in columns for cell in cells]
        usual = [cell for cell in cells if (n := number_of(cell)) is None or math.isfinite(n)]
        labels = sorted(labels_of([usual]), key=_label_order)
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

    def describe(self) -> str:
        """The classes."""
        return f"{self.spec.kind} classes ({listed(self.spec.classes)})"

    def encode(self, targets: Numbers, name: Callable[[int], str]) -> NDArray[np.float32]:
        """Indices as they are."""
        count = len(self.spec.classes)
        known = (targets == np.floor(targets)) & (targets >= 0) & (targets < count)
        if self.may_be_missing:
            known |= np.isnan(targets)
        if not known.all():
            i = int(np.flatnonzero(~known.all(axis=1))[0])
            raise DataError(f"{name(i)}: expected a class below {count}, got {tuple(targets[i].tolist())}")
        return targets.astype(np.float32)

    def skill(self, values: Numbers, targets: Numbers) -> float:
        """(accuracy - a) / (1 - a) with `a` the share of the commonest class, averaged over the targets."""
        skills = []
        for guess, truth in zip(self.decisions(values).T, targets.T, strict=True):
            known = ~np.isnan(truth)
            guess, truth = guess[known], truth[known].astype(np.int64)
            constant = float(np.bincount(truth).max() / len(truth))
            skills.append((float((guess == truth).mean()) - constant) / max(1e-12, 1.0 - constant))
        return float(np.mean(skills))

    def point(self, values: Sequence[float]) -> dict[str, dict[str, Any]]:
        """Most probable `label` and `probabilities` of each target."""
        named = self._named(values)
        return {name: {"label": max(p, key=lambda c: p[c]), "probabilities": p} for name, p in named.items()}

    def record(
        self,
        values: Sequence[float],
        averaged: Sequence[float],
        sd: Sequence[float] | None,
        interval: Sequence[tuple[float, float]] | None,
    ) -> dict[str, dict[str, Any]]:
        """:meth:`point`, and probabilities `averaged` over masks."""
        others = self._named(averaged)
        return {name: {**point, "averaged": others[name]} for name, point in self.point(values).items()}

    def lines(
        self,
        values: Sequence[float],
        averaged: Sequence[float],
        interval: Sequence[tuple[float, float]] | None,
        level: float,
    ) -> list[str]:
        """Each target's most probable label, from one mask and from all."""
        pairs = zip(self.short(values), self.short(averaged), strict=True)
        return [f"{line}  (averaged over rationales: {other})" for line, other in pairs]

    def short(self, values: Sequence[float]) -> list[str]:
        """Each target's most probable label."""
        return [
            f"{name}: {found['label']} {found['probabilities'][found['label']]:.1%}"
            for name, found in self.point(values).items()
        ]

    def true_lines(self, targets: Sequence[float]) -> list[str]:
        """Labels, or `unknown`."""
        return ["unknown" if math.isnan(target) else self.spec.classes[int(target)] for target in targets]

    def _named(self, values: Sequence[float]) -> dict[str, dict[str, float]]:
        """Probability of every class, by target."""
        probabilities = self.probabilities(np.array([values], dtype=float))
        assert probabilities is not None
        rows = zip(self.spec.names, probabilities[0].tolist(), strict=True)
        return {name: dict(zip(self.spec.classes, row, strict=True)) for name, row in rows}


def log_loss(right: Numbers) -> Numbers:
    """-log of the probabilities given to what was true, bounded away from infinity."""
    return -np.log(np.maximum(right, SMALLEST_PROBABILITY))


def _label_order(label: str) -> tuple[float, str]:
    number = number_of(label)
    return (math.inf if number is None else number, label)
