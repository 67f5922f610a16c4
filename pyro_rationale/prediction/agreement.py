"""Which mask is shown of a text: the most probable one whose words alone predict what all masks do on average.

A prediction is an average over masks, and the mode is one of them, whose words may say something else. Readers lay the
shown words beside the prediction, so they should be words that it can be made from. In most texts they are the mode's;
in others a mask that was drawn, and is nearly as probable, agrees better.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.tasks import Numbers, Task

CANDIDATES = 10  # masks that are drawn for it, beside the mode
NEARLY = 3.0  # nats of log q by which a mask may be less probable than the mode
TOLERANCE = 0.03  # of the scale of a rating, or of the probability of classes: what two predictions may differ by
ROUNDING = 1e-6  # so much less is no less: of several commands, which read texts in other batches, all choose alike


def agreeing(
    task: Task,
    values: Numbers,
    log_q: Numbers,
    kept: Numbers,
    owners: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """The number of the mask that is shown of each document; 0, the mode, where no other agrees better.

    It is the mode if its prediction differs from the average by no more than `TOLERANCE`, else the most probable of the
    draws of which this is true; where there is none, the one that differs least. Predictions count as people see them,
    within the scale.

    Args:
        task: what is predicted.
        values: predictions from each mask `(1 + S, B, W)`: the mode first, then the draws that are averaged.
        log_q: log q(mask | text), `(1 + S, B)`.
        kept: words of each mask, `(1 + S, B)`. One without a word is shown if it is the mode, or not at all.
        owners: the target of each document that asks about one alone; `None`: all targets count alike.
    """
    distance = differences(task, task.clip(values), task.clip(values[1:].mean(0, keepdims=True)))
    distance = distance.mean(-1) if owners is None else distance[:, np.arange(distance.shape[1]), owners]
    candidate = (log_q >= log_q[0] - NEARLY) & (kept > 0)
    candidate[0] = True
    distance = np.where(candidate, distance, np.inf)
    near = distance <= np.maximum(distance.min(0), TOLERANCE) + ROUNDING
    likely = log_q.copy()
    likely[0] = np.inf  # an ensemble's mode is that of a member, than which a draw may be more probable
    best: NDArray[np.int64] = np.where(near, likely, -np.inf).argmax(0)
    return best


def differences(task: Task, one: Numbers, other: Numbers) -> Numbers:
    """How far predictions `(*shape, W)` of each target are apart, `(*shape, D)`.

    In shares of the scale of a rating, or as the total variation of the probabilities of classes. Predictions of a task
    of another package that has neither scales nor probabilities are compared as they are.
    """
    one, other = np.broadcast_arrays(one, other)
    flat = [values.reshape(-1, values.shape[-1]) for values in (one, other)]
    classes = [task.probabilities(values) for values in flat]
    if classes[0] is None or classes[1] is None:
        sizes = np.array([high - low for low, high in task.spec.ranges] or 1.0)
        apart = np.abs(flat[0] - flat[1]) / sizes
    else:
        apart = np.abs(classes[0] - classes[1]).sum(-1) / 2
    shaped: Numbers = apart.reshape(*one.shape[:-1], -1)
    return shaped
