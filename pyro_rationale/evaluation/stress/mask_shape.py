"""Mask-shape probe: do positions, counts and gaps of the kept words tell the decision, without a single word?

Two looks at a mask: as it lies in the text, and as the encoder gets it, the gaps closed
(:mod:`pyro_rationale.nn.packing`): then nothing but the number of kept words is left of its shape.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.evaluation.metrics import count_runs
from pyro_rationale.evaluation.stress._base import Row, StressTest, Verdict, judged, unfit
from pyro_rationale.evaluation.stress._measures import truths
from pyro_rationale.evaluation.stress._probe import probe
from pyro_rationale.evaluation.stress._subject import Subject

LARGEST_GAP = 5.0  # points above the shuffled control
BAR = f"at most {LARGEST_GAP:g} points above the shuffled control"
# Documents: an accuracy near one half then has a standard error of 1.6 points, and the largest of four still stays
# below 5 by chance. With 400 a rationalizer without any fault failed.
FEWEST = 1000
MOST_COUNTED = 12  # numbers of kept words that have a feature of their own
EDGE = 5  # first and last words that have one each
Features = NDArray[np.float64]


def check(subject: Subject) -> Verdict:
    """Accuracy of a probe for the decision and for the true label, from the mask alone, against shuffled labels."""
    looks = {
        "as it lies in the text": np.stack([lying(mask) for mask in subject.masks]),
        "gaps closed": np.stack([compacted(mask) for mask in subject.masks]),
        "length of the text": np.array([[len(mask)] for mask in subject.masks], dtype=float),
    }
    answers = {
        "decision": subject.decisions,
        "true label": truths(subject.documents, subject.rationalizer.spec),
    }
    return against_control(subject, looks, answers, judged_looks=("as it lies in the text", "gaps closed"))


def against_control(
    subject: Subject, looks: dict[str, Features], answers: dict[str, NDArray[np.int64]], judged_looks: Sequence[str]
) -> Verdict:
    """Probe every answer (its worst aspect) from every look; the largest gap to the control among the judged decides.

    Args:
        subject: gives names and seed.
        looks: features `(N, F)` by name.
        answers: classes `(N, D)` by name.
        judged_looks: looks that the verdict is about; the others are there to compare with.
    """
    rows: list[Row] = []
    if (documents := len(subject.documents)) < FEWEST:
        return unfit(f"{documents} test documents are too few to tell 5 points from chance", BAR)
    for what, classes in answers.items():
        for look, features in looks.items():
            probes = [probe(features, column, subject.settings.seed) for column in classes.T]
            gaps = [p for p in probes if p is not None]
            if gaps:
                worst = max(gaps, key=lambda p: p.gap)
                rows.append({"of": what, "from": look, "accuracy": worst.accuracy, "control": worst.control,
                             "points above": worst.gap})  # fmt: skip
    counted = [row for row in rows if row["from"] in judged_looks]
    if not counted:
        return unfit("all decisions are the same, or there are too few documents", BAR)
    worst_row = max(counted, key=lambda row: float(row["points above"]))
    figure = f"{worst_row['points above']:+.1f} points ({worst_row['of']}, {worst_row['from']})"
    reason = "the answer can be told without reading a word of the rationale's content"
    return judged(worst_row["points above"] <= LARGEST_GAP, figure, BAR, reason, rows)


def lying(mask: Sequence[bool]) -> Features:
    """How kept words lie in their text: count, runs, gaps, positions, deciles, first and last words."""
    flags = np.asarray(mask, dtype=bool)
    places = np.flatnonzero(flags)
    n, runs = max(1, len(flags)), count_runs(mask)
    relative = (places + 0.5) / n
    gaps = np.diff(places) - 1.0
    numbers = [len(places), len(places) / n, runs, len(places) / max(1, runs)]
    numbers += [relative.mean(), relative.std(), relative[0], relative[-1]] if len(places) else [0.5, 0.0, 0.5, 0.5]
    numbers += [gaps.mean(), gaps.max(), gaps.min()] if len(gaps) else [0.0, 0.0, 0.0]
    deciles = np.histogram(relative, bins=10, range=(0.0, 1.0))[0]
    first, last = np.zeros(EDGE), np.zeros(EDGE)
    first[: len(flags[:EDGE])] = flags[:EDGE]
    last[: len(flags[-EDGE:])] = flags[::-1][:EDGE]
    return np.concatenate([np.array(numbers, dtype=float), deciles, first, last])


def compacted(mask: Sequence[bool]) -> Features:
    """Shape of a mask once its gaps are closed: the number of kept words."""
    kept = sum(map(bool, mask))
    each = np.zeros(MOST_COUNTED + 1)
    each[min(kept, MOST_COUNTED)] = 1.0
    return np.concatenate([[float(kept)], each])


REGISTERED = StressTest(
    check,
    "Mask-shape probe",
    "Jacovi and Goldberg 2021 (TACL), Trojan explanations; "
    "Jethani et al. 2021 (AISTATS), encoding the prediction in the mask",
)
