"""Which class a text is called: the most probable one, or the one of a rule that development texts ask for.

Where one class is rare, the most probable class is seldom what macro-F1 asks for: a fit in which classes count alike
calls too many texts by the name of the rare one, a fit without weights none. A rule adds a number to the log
probability of each class before the greatest is taken. Of two classes that is a threshold, whose best place depends on
the classifier and lies seldom at 1/2 (Lipton, Elkan and Naryanaswamy 2014, "Optimal Thresholding of Classifiers to
Maximize F1 Measure"). Probabilities stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.errors import listed

Numbers = NDArray[np.float64]
Labels = NDArray[np.int64]

OFFSETS = np.linspace(-8.0, 8.0, 65)  # candidates of what is added to a log probability, in nats
NEIGHBOURS = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9.0  # a single lucky candidate is worth nothing
FEWEST = 10  # development texts of a class, below which nothing is chosen by it
FOLDS = 5
SWEEPS = 5  # over all classes
DRAWS = 500  # of the bootstrap
SMALLEST = 1e-12  # probability whose logarithm is taken
NAMED = 5  # classes that a line names


@dataclass(frozen=True)
class Decision:
    """A rule that names a class of each target, with what development texts say about it.

    Attributes:
        offsets: added to the log probabilities of the classes of each target, in nats; all 0: the most probable class.
        texts: development texts whose class is known, of each target.
        macro_f1: of these texts, each named by a rule that was chosen without its fifth of them.
        probable_f1: the same figure, with the most probable class.
        alone: the rule for predictions from a single mask, whose probabilities are neither averaged nor tempered;
            `None`: the same one, as older runs have it.
    """

    offsets: tuple[tuple[float, ...], ...]
    texts: tuple[int, ...]
    macro_f1: tuple[float, ...]
    probable_f1: tuple[float, ...]
    alone: Decision | None = None

    @property
    def of_one_mask(self) -> Decision:
        """The rule for predictions from a single mask."""
        return self.alone or self

    @property
    def thresholds(self) -> Numbers:
        """Probability from which on each target is called by the second of two classes, `(D,)`."""
        first, second = np.array(self.offsets, dtype=float).T
        found: Numbers = 1.0 / (1.0 + np.exp(second - first))
        return found

    @property
    def factors(self) -> Numbers:
        """Numbers that the probabilities of each target are multiplied by before the greatest is taken, `(D, C)`."""
        return np.exp(np.array(self.offsets, dtype=float))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "offsets": [list(row) for row in self.offsets],
            "texts": list(self.texts),
            "macro_f1": list(self.macro_f1),
            "probable_f1": list(self.probable_f1),
            **({} if self.alone is None else {"alone": self.alone.to_dict()}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], targets: int) -> Decision:
        """The rule of such values.

        Raises:
            ValueError: they are no rule of so many targets.
            KeyError: something is missing.
            TypeError: something is no number.
        """
        offsets = tuple(tuple(map(float, row)) for row in values["offsets"])
        if len(offsets) != targets or len({len(row) for row in offsets}) != 1 or len(offsets[0]) < 2:
            raise ValueError(f"expected offsets of the classes of {targets} targets")
        if not np.isfinite(offsets).all():
            raise ValueError("expected finite offsets")
        own, probable = (tuple(map(float, values[name])) for name in ("macro_f1", "probable_f1"))
        alone = None if values.get("alone") is None else cls.from_dict(values["alone"], targets)
        return cls(offsets, tuple(map(int, values["texts"])), own, probable, alone)

    def record(self, names: Sequence[str], classes: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The rule of each target by its name, as `metrics.json` has it."""
        return {
            name: {
                "rule": "macro-f1" if any(offsets) else "probable",
                "offsets": dict(zip(classes, offsets, strict=True)),
                "texts": texts,
                "macro_f1": own,
                "probable_f1": probable,
            }
            for name, offsets, texts, own, probable in zip(
                names, self.offsets, self.texts, self.macro_f1, self.probable_f1, strict=True
            )
        }


def rule_words(record: Mapping[str, Any]) -> str:
    """Which class a text is called, in words, from the entry of a target in :meth:`Decision.record`."""
    offsets: Mapping[str, float] = record["offsets"]
    if not any(offsets.values()):
        return "the most probable class"
    if len(offsets) == 2:
        (first, low), (second, high) = offsets.items()
        least = 1.0 / (1.0 + np.exp(high - low))  # probability of the second class
        named, other, needed = (second, first, least) if least >= 0.5 else (first, second, 1.0 - least)
        return f"{named} from a probability of {needed:.3g} on, else {other}"
    moved = [f"{np.exp(offset):.3g} for {label}" for label, offset in offsets.items() if offset]
    return f"the greatest probability, times {listed(moved, NAMED)}"


def rule_lines(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line per target that says how its class is chosen, and what that is worth."""
    lines = []
    for name, record in records.items():
        front = f"{name} is called" if len(records) > 1 else "a text is called"
        texts, own, probable = (record[key] for key in ("texts", "macro_f1", "probable_f1"))
        if record["rule"] == "probable":
            why = f"on {texts:,} development texts no rule is better by its standard error, or a class is too rare"
            lines.append(f"{front} by {rule_words(record)}: {why}")
        else:
            worth = f"macro F1 {own:.3f} on {texts:,} development texts, against {probable:.3f} of the most probable"
            lines.append(f"{front} {rule_words(record)} ({worth})")
    return lines


def named_classes(probabilities: Numbers, decision: Decision | None) -> Labels:
    """Numbers of the classes that texts are called, `(N, D)`.

    Args:
        probabilities: of the classes, `(N, D, C)`; of equal ones the second of two counts, else the first.
        decision: the rule; `None`: the most probable class.
    """
    if probabilities.shape[-1] == 2:
        least = 0.5 if decision is None else decision.thresholds
        return (probabilities[..., 1] >= least).astype(np.int64)
    weighed = probabilities if decision is None else probabilities * decision.factors
    return weighed.argmax(-1).astype(np.int64)


def fit_decision(probabilities: Numbers, targets: Numbers) -> Decision:
    """The rule of greatest macro-F1 on development texts, each of which counts once.

    A target keeps the most probable class where another rule, chosen without the texts that it is tried on, is not
    better by more than the standard error, and where fewer than two classes have `FEWEST` texts.

    Args:
        probabilities: as they are shown, `(N, D, C)`.
        targets: numbers of the true classes `(N, D)`, NaN where unknown.
    """
    rows = []
    for d, column in enumerate(targets.T):
        known = ~np.isnan(column)
        rows.append((*_fit_target(probabilities[known, d], column[known].astype(np.int64)), int(known.sum())))
    return Decision(
        offsets=tuple(offsets for offsets, *_ in rows),
        texts=tuple(texts for *_, texts in rows),
        macro_f1=tuple(own for _, own, _, _ in rows),
        probable_f1=tuple(probable for _, _, probable, _ in rows),
    )


def _fit_target(chances: Numbers, truth: Labels) -> tuple[tuple[float, ...], float, float]:
    """Offsets of one target's classes, macro-F1 with them and without, from probabilities `(N, C)`."""
    classes = chances.shape[1]
    none = (0.0,) * classes
    probable = named_classes(chances[:, None], None)[:, 0]
    before = float(macro_f1(*_table(truth, probable, classes).sum(1)))
    frequent = np.flatnonzero(np.bincount(truth, minlength=classes) >= FEWEST)
    if len(frequent) < 2:
        return none, before, before
    moved = frequent if classes > 2 else np.array([1])
    logs, fold, unseen = np.log(np.maximum(chances, SMALLEST)), _folds(truth), probable.copy()
    for k in range(FOLDS):
        own = fold == k
        offsets = _ascended(logs[~own], truth[~own], moved)
        unseen[own] = _named(chances[own], offsets)
    after = float(macro_f1(*_table(truth, unseen, classes).sum(1)))
    if after - before <= _standard_error(truth, probable, unseen, classes):
        return none, before, before
    offsets = _ascended(logs, truth, moved)
    return tuple(offsets.tolist()), after, before


def _named(chances: Numbers, offsets: Numbers) -> Labels:
    rule = Decision((tuple(offsets.tolist()),), (0,), (0.0,), (0.0,))
    return named_classes(chances[:, None], rule)[:, 0]


def _folds(truth: Labels) -> Labels:
    """A number below `FOLDS` for each text, in turn among those of a class."""
    fold = np.zeros_like(truth)
    for label in np.unique(truth):
        own = np.flatnonzero(truth == label)
        fold[own] = np.arange(len(own)) % FOLDS
    return fold


def _ascended(logs: Numbers, truth: Labels, moved: Labels) -> Numbers:
    """Offsets of greatest macro-F1, found one class after the other until none moves, `(C,)`.

    Of two classes the first has 0, of more the middle one: a number added to all changes nothing.
    """
    offsets = np.zeros(logs.shape[1])
    for _ in range(SWEEPS):
        before = offsets.copy()
        for label in moved.tolist():
            offsets[label] = _best_offset(logs, offsets, truth, label)
        if (offsets == before).all():
            break
    middle: Numbers = np.sort(offsets)[len(offsets) // 2]
    return offsets - middle if len(offsets) > 2 else offsets


def _best_offset(logs: Numbers, offsets: Numbers, truth: Labels, label: int) -> float:
    """The candidate for one class, the others as they are, whose neighbourhood has the greatest macro-F1.

    Of equally good ones it is the least change.
    """
    classes = logs.shape[1]
    others = logs + offsets
    others[:, label] = -np.inf
    rival = others.argmax(1)
    lead = logs[:, label] - others.max(1)
    named = (lead + OFFSETS[:, None] >= 0.0).astype(float)  # (candidates, N)
    hits, predicted, true = _table(truth, rival, classes)
    own = (truth == label).astype(float)
    hits, predicted = (1.0 - named) @ hits, (1.0 - named) @ predicted
    hits[:, label], predicted[:, label] = named @ own, named.sum(1)
    figures = np.pad(macro_f1(hits, predicted, true.sum(0)), len(NEIGHBOURS) // 2, "edge")
    smooth = np.convolve(figures, NEIGHBOURS, "valid")
    best = OFFSETS[smooth >= smooth.max() - 1e-9]
    return float(best[np.abs(best).argmin()])


def _table(truth: Labels, predicted: Labels, classes: int) -> Numbers:
    """Parts of each text in the hits, the predictions and the truths of each class, `(3, N, C)`."""
    marks = [labels[:, None] == np.arange(classes) for labels in (predicted, truth)]
    return np.stack([marks[0] & marks[1], *marks]).astype(float)


def macro_f1(hits: Numbers, predicted: Numbers, true: Numbers) -> Numbers:
    """Mean F1 of the classes that are predicted or true of some text, from numbers of texts `(*, C)`; 0 without any."""
    whole = predicted + true
    known = whole > 0
    f1 = np.divide(2.0 * hits, whole, out=np.zeros(np.broadcast(hits, whole).shape), where=known)
    mean: Numbers = f1.sum(-1) / np.maximum(known.sum(-1), 1)
    return mean


def _standard_error(truth: Labels, one: Labels, other: Labels, classes: int) -> float:
    """Bootstrap standard error, over texts, of the difference of two macro-F1."""
    kinds, counts = np.unique(np.stack([truth, one, other]), axis=1, return_counts=True)
    draws = np.random.default_rng(0).multinomial(len(truth), counts / len(truth), DRAWS).astype(float)
    figures = [macro_f1(*(draws @ _table(kinds[0], labels, classes))) for labels in kinds[1:]]
    return float(np.std(figures[1] - figures[0]))
