"""How much the kept words of a text say about each target: its prediction beside the one for a text not read.

Of a text that was not read, all there is to say is how the targets of other texts are distributed. What reading adds
is the Kullback-Leibler divergence from there to the prediction, in nats: if predictions are calibrated, its mean over
texts is the information that the kept words hold about the target, and by so much the log score improves.

A review that never mentions the staff still gets a rating of the staff, which says little more than that most ratings
are good. Readers should be told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # `explain --help` comes without torch
    from pyro_rationale.tasks import Numbers, Task

# Below, predictions of real texts save -2 to 17 % of a constant's squared error, above 30 to 65 %
# (docs/research/calibration.md). A reading that explains 18 % of a Normal rating's variance is worth so much.
LITTLE = 0.1
HALF = 0.5  # of a text, that is added to the count of each class: none is impossible

Unread = tuple[tuple[float, ...], ...]


def unread_of(task: Task, targets: Numbers, weights: Numbers | None = None) -> Unread | None:
    """Figures to say of a text that was not read: mean and standard deviation of each rating, or the shares of classes.

    Args:
        task: what is predicted.
        targets: of held-out texts, `(N, D)`, NaN where unknown.
        weights: of the texts in the fit, `(N,)`, 1 on average: what a fit that weighs classes says where it knows
            nothing follows them. `None`: all count alike.

    Returns:
        `None` where some target has less than two known values, or is a rating that never varies.
    """
    own = np.ones(len(targets)) if weights is None else weights
    columns = [(column[known], own[known]) for column in targets.T if (known := ~np.isnan(column)).sum() > 1]
    if len(columns) < targets.shape[1]:
        return None
    if count := len(task.spec.classes):
        shares = [np.bincount(column.astype(int), mass, count) + HALF for column, mass in columns]
        return tuple(tuple((share / share.sum()).tolist()) for share in shares)
    made = []
    for column, mass in columns:
        mean = float(np.average(column, weights=mass))
        made.append((mean, math.sqrt(np.average((column - mean) ** 2, weights=mass))))
    return tuple(made) if all(sd > 0.0 for _, sd in made) else None


def information(task: Task, unread: Unread, averaged: Numbers, sd: Numbers | None) -> Numbers | None:
    """Nats that reading adds, `(N, D)`, 0 or more.

    Ratings are compared as Normal distributions, of few levels too; one that is less sure than an unread text counts as
    equally unsure.

    Args:
        task: what is predicted.
        unread: from :func:`unread_of`.
        averaged: predictions averaged over masks, `(N, W)`.
        sd: standard deviations of ratings, `(N, D)`; `None` for classes.

    Returns:
        `None` of a task that says nothing about its uncertainty.
    """
    base = np.array(unread)
    if sd is not None:
        mean, most = base.T
        spread = np.minimum(sd / most, 1.0)
        nats: Numbers = 0.5 * (spread**2 + ((averaged - mean) / most) ** 2 - 1.0) - np.log(spread)
        return nats
    probabilities = task.probabilities(averaged)
    if probabilities is None:
        return None
    shares = probabilities / probabilities.sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        gained: Numbers = np.where(shares > 0.0, shares * np.log(shares / base), 0.0).sum(-1)
    return gained.clip(0.0)


def by_target(task: Task, nats: Sequence[float] | None) -> dict[str, float]:
    """Nats by the name of the target; empty where they are not known, in runs of older versions."""
    return {} if nats is None else dict(zip(task.spec.names, nats, strict=True))


def little_at(nats: Iterable[float]) -> list[int]:
    """Numbers of the targets that the kept words say little about.

    Args:
        nats: of each target, from :func:`information`.
    """
    return [number for number, gained in enumerate(nats) if gained < LITTLE]


def little_said(nats: Mapping[str, float]) -> list[str]:
    """Names of the targets that the kept words say little about, from :func:`by_target`."""
    names = list(nats)
    return [names[number] for number in little_at(nats.values())]


def say_little(names: Sequence[str]) -> str:
    """The clause about targets that the kept words say little about; empty where there is none.

    Args:
        names: from :func:`little_said`.
    """
    return f"taken together, these words say little about {', '.join(names)}" if names else ""


def little_line(names: Sequence[str]) -> str:
    """The line that readers get about such targets, in a terminal and on pages; empty where there is none.

    Args:
        names: from :func:`little_said`; of pages, whose scripts fill in the names, a placeholder.
    """
    return f"{say_little(names)}: predicted nearly as for a text not read" if names else ""
