"""Doubts about target columns, which are read all the same: each is one line in the log, with its remedy."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.data.cache.dataset import target_rows
from pyro_rationale.data.document import Document
from pyro_rationale.data.files.text import log
from pyro_rationale.errors import DataError, listed
from pyro_rationale.tasks import TargetSpec
from pyro_rationale.tasks._levels import TOLERANCE, few_levels

Part = tuple[str, Sequence[Document]]  # a file by its name, and its documents

_FAR = 0.9  # a value that alone makes more than this share of the range of all ratings is far from the others,
_FEW = 0.1  # and may be a slip if a smaller share of the ratings than this has it,
_MOST = 0.5  # or than this where it is a number that forms have for no answer
_CODE = re.compile(r"-1|-?9+")
_WIDE = 100  # times the span of all ratings: a scale that is likely of something else
_OUTSIDE, _NARROW = 0.1, 0.2  # share of a file's ratings that are outside the others' range; share of that range
_USUAL = 10  # times that other labels occur, beside which one that occurs once may be a slip
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_YES, _NO = frozenset(["1", "true", "t", "yes", "y"]), frozenset(["0", "false", "f", "no", "n"])


def similar_labels(labels: Collection[str]) -> str:
    """A line on labels that are hardly to be told apart, or of which several say yes, or no; empty if there are none.

    They differ in nothing but capitals, spaces, what cannot be seen, quotation marks, a mark at the end, or how a
    character is encoded.
    """
    spellings: dict[str, list[str]] = {}
    for label in sorted(labels):
        spellings.setdefault(_bare(label), []).append(label)
    similar = [alike for alike in spellings.values() if len(alike) > 1]
    if similar:
        return f"{'; '.join(map(listed, similar[:3]))} look alike, and are classes of their own"
    if len(spellings) > 2 and spellings.keys() <= _YES | _NO:
        return f"{listed(sorted(labels))} are classes of their own; write yes in one way, and no"
    return ""


def _bare(label: str) -> str:
    plain = unicodedata.normalize("NFKC", label).casefold()
    seen = [c for c in plain if unicodedata.category(c) != "Cf" and not c.isspace() and c not in _QUOTES + "\ufe0f"]
    return "".join(seen).rstrip(".,;:!") or label


def warn_of_far_values(spec: TargetSpec, parts: Sequence[Part], given: bool = False) -> None:
    """Log a rating that is often a slip, or a code for no answer: far from all others, and given by few.

    Far is what alone makes nine tenths of the scale; beside a few evenly spaced levels it is what leaves out two of
    them, or is below 0 where they are not: 9, or -1, beside 1 to 5. These two, 99 and so on may be given by more.

    Args:
        spec: the targets.
        parts: files by name, and their documents.
        given: the user named the scale; then it is logged if it is far wider than the ratings.
    """
    rows = [target_rows(documents, len(spec.names)) for _, documents in parts]
    for i, name in enumerate(spec.names if spec.ranges else ()):
        values = np.concatenate([targets[:, i] for targets in rows])
        different, counts = np.unique(values[~np.isnan(values)], return_counts=True)
        (low, high), size = spec.ranges[i], np.ptp(different) if len(different) else 0.0
        if given and 0 < size < (high - low) / _WIDE:
            log.warning("%s: %r lies between %g and %g, and the scale goes from %g to %g; is it the right "
                        "--target-range?", parts[0][0], name, different[0], different[-1], low, high)  # fmt: skip
        if given or len(different) < 3:
            continue
        for end, rest in ((-1, different[:-1]), (0, different[1:])):
            far = different[end]
            share, most = counts[end] / counts.sum(), _MOST if _CODE.fullmatch(f"{far:g}") else _FEW
            alone = rest[-1] - rest[0] < (1 - _FAR) * size or _beside_levels(far, rest, bool(share < _FEW))
            if alone and share < most:
                file, documents, targets = next(
                    (*part, targets) for part, targets in zip(parts, rows, strict=True) if (targets[:, i] == far).any()
                )
                row = documents[int(np.flatnonzero(targets[:, i] == far)[0])].id
                log.warning(
                    "%s, %s: %r is %g%s, all other values lie between %g and %g; if it is a slip, mend it, if it "
                    "stands for no answer, leave the cell empty, or give the scale with --target-range",
                    file, row, name, far, f" (as in {counts[end]} rows)" if counts[end] > 1 else "", rest[0], rest[-1],
                )  # fmt: skip


def _beside_levels(value: float, others: NDArray[np.float64], few: bool) -> bool:
    """Whether a rating is beyond a few evenly spaced ones by more than two steps.

    Below 0, where they are not, it may be nearer: by two steps, or by any if it is given by `few`.
    """
    count = few_levels(others, others[0], others[-1])
    if count is None:
        return False
    gap, step = max(others[0] - value, value - others[-1]), (others[-1] - others[0]) / (count - 1)
    steps = 2 + TOLERANCE if value >= 0 or others[0] < 0 else 0.0 if few else 2 - TOLERANCE
    return bool(gap > steps * step)


def warn_of_odd_labels(spec: TargetSpec, parts: Sequence[Part]) -> None:
    """Log a label that occurs once beside two or more that are frequent: a cell of another column, say."""
    if len(spec.classes) < 3:
        return
    for i, name in enumerate(spec.names):
        counts: Counter[float] = Counter()
        for _, documents in parts:
            counts.update(_known(spec, documents, i).tolist())
        once = [value for value, count in counts.items() if count == 1]
        others = [count for count in counts.values() if count > 1]
        if not once or len(others) < 2 or len(once) > len(others) or np.median(others) < _USUAL:
            continue
        file, documents, column = next(
            (file, documents, column) for file, documents in parts
            if np.isin(column := target_rows(documents, len(spec.names))[:, i], once).any()
        )  # fmt: skip
        index = int(np.flatnonzero(np.isin(column, once))[0])
        label = listed([spec.classes[int(column[index])]])
        log.warning("%s, %s: %r is %s, as in no other row%s; if it is a slip, mend it", file, documents[index].id, name,
                    label, f" (like {len(once) - 1} more labels)" if len(once) > 1 else "")  # fmt: skip


def check_files_alike(spec: TargetSpec, parts: Sequence[Part], given: bool = False) -> None:
    """Look whether the development and test files hold what the training file holds, and log where they differ.

    Args:
        spec: the targets.
        parts: training file first, by name, with their documents.
        given: the user named the scale.

    Raises:
        DataError: a file has no label in common with the training file.
    """
    for i, name in enumerate(spec.names):
        (first, trained), *others = [(file, _known(spec, documents, i)) for file, documents in parts]
        for file, values in others if len(trained) else ():
            if not len(values):
                continue
            if spec.classes:
                new = ~np.isin(values, trained)
                labels = listed([spec.classes[int(value)] for value in np.unique(values[new])])
                if new.all():
                    known = listed([spec.classes[int(value)] for value in np.unique(trained)])
                    raise DataError(f"{file}: {name!r} is {labels}, and in {first} it is {known}; write all labels in "
                                    "one way")
                if new.any():
                    log.warning("%s: %d of %d labels of %r (%s) stand nowhere in %s, so no fit can predict them",
                                file, new.sum(), len(values), name, labels, first)  # fmt: skip
            elif not given and spec.ranges:
                low, high = trained.min(), trained.max()
                outside = (values < low) | (values > high)
                several = len(np.unique(values)) > 2 and len(values) >= _USUAL
                if outside.mean() > _OUTSIDE or (several and np.ptp(values) < _NARROW * (high - low)):
                    log.warning("%s: %r lies between %g and %g, and in %s between %g and %g; if these are two scales, "
                                "rate on one", file, name, values.min(), values.max(), first, low, high)  # fmt: skip


def _known(spec: TargetSpec, documents: Sequence[Document], i: int) -> NDArray[np.float64]:
    values = target_rows(documents, len(spec.names))[:, i]
    return values[~np.isnan(values)]
