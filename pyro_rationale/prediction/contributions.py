"""Contributions of the spans of a rationale to the prediction, in the prediction's own units.

The encoder reads the kept words and nothing else, so that leaving words out is exact: no word has to be replaced by
anything. Of each span there is the change of the prediction when it is removed, and when it is added to nothing;
Shapley values share out what all spans do together, over every order in which they could be added.

Ratings change in the user's units, before they are clipped to the scale; of classes the log odds of the predicted one
change, in nats, before any temperature.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.data.document import Document, highest, spans_of
from pyro_rationale.tasks import Numbers, Task

MOST_SPANS = 10  # whose subsets are all read
MASKS_DRAWN = 20  # of each document, that the removal of a span is averaged over
_ROWS = 4096  # masks of which words are held as floats at once
Bits = NDArray[np.bool_]
Run = tuple[int, int]
Read = Callable[[Tensor, NDArray[np.int64]], Numbers]


@dataclass(frozen=True)
class Contribution:
    """Changes that one span makes to the prediction of each target.

    Attributes:
        start: number of its first word.
        end: number of the word behind its last.
        removed: change of the prediction when the span is removed, averaged over drawn masks that keep all its words;
            from the shown mask alone where no draw does.
        removed_here: the same change from the shown mask alone.
        alone: change when the span is added to nothing.
        shapley: its Shapley value; `None` where there are too many spans, or none were asked for.
        share: of the draws that keep all its words.
    """

    start: int
    end: int
    removed: tuple[float, ...]
    removed_here: tuple[float, ...]
    alone: tuple[float, ...]
    shapley: tuple[float, ...] | None
    share: float

    @property
    def effects(self) -> tuple[float, ...]:
        """Number that the span adds to each target: its Shapley value, or else the reverse of its removal."""
        return tuple(-change for change in self.removed) if self.shapley is None else self.shapley


@dataclass(frozen=True)
class Contributions:
    """Contributions of the spans of one document's shown mask.

    Attributes:
        spans: in the order of the text.
        nothing: the prediction of each target with no word kept.
        whole: the prediction of each target from all spans.
    """

    spans: tuple[Contribution, ...]
    nothing: tuple[float, ...]
    whole: tuple[float, ...]


def contributions_of(
    task: Task,
    read: Read,
    documents: Sequence[Document],
    kept: Tensor,
    drawn: Tensor,
    predicted: Numbers,
    most: int = MOST_SPANS,
) -> list[Contributions]:
    """Contributions of the spans of each document; to the one target that a document is asked about, or to each.

    Args:
        task: the target.
        read: predictions `(N, W)` from masks `(N, T)` of documents by their numbers `(N,)`.
        documents: `B` of them.
        kept: the masks that are shown, `(B, T)`.
        drawn: independent draws of masks, `(S, B, T)`.
        predicted: the predictions `(B, W)`, for the class whose log odds are meant.
        most: spans that get Shapley values. Of more, those whose removal from the shown mask matters most do; the
            others stay kept all the while.
    """
    shown, draws = (masks.to("cpu").numpy() > 0.5 for masks in (kept, drawn[:MASKS_DRAWN]))
    runs = [spans_of(row[: len(document.tokens)]) for row, document in zip(shown, documents, strict=True)]
    spans = [_flags(own, shown.shape[-1]) for own in runs]
    columns: list[slice | list[int]] = [slice(None) if one.aspect is None else [one.aspect] for one in documents]
    effects = _Effects(task, read, kept, predicted, columns)
    effects.ask([_wanted(mask, own, draws[:, b]) for b, (mask, own) in enumerate(zip(shown, spans, strict=True))])
    chosen = [_chosen(effects, b, mask, own, most) for b, (mask, own) in enumerate(zip(shown, spans, strict=True))]
    effects.ask([_subsets(mask, own[some]) for mask, own, some in zip(shown, spans, chosen, strict=True)])
    return [_contributions(effects, b, mask, draws[:, b], runs[b], spans[b], chosen[b]) for b, mask in enumerate(shown)]


class _Effects:
    """Predictions from masks on the scale of contributions, `(D,)` each; a mask of a document is read once."""

    def __init__(
        self, task: Task, read: Read, like: Tensor, predicted: Numbers, columns: Sequence[slice | list[int]]
    ) -> None:
        self.task, self.read, self.like, self.predicted, self.columns = task, read, like, predicted, columns
        self.known: dict[tuple[int, bytes], Numbers] = {}

    def ask(self, masks: Sequence[Bits]) -> None:
        """Read the masks `(n, T)` of each document that are not known yet."""
        keys = dict.fromkeys((b, row.tobytes()) for b, own in enumerate(masks) for row in np.packbits(own, axis=-1))
        missing = [key for key in keys if key not in self.known]
        for start in range(0, len(missing), _ROWS):
            some = missing[start : start + _ROWS]
            packed = np.stack([np.frombuffer(row, dtype=np.uint8) for _, row in some])
            rows = torch.from_numpy(np.unpackbits(packed, axis=-1, count=self.like.shape[-1])).to(self.like)
            owners = np.array([b for b, _ in some])
            values = self.task.effects(self.read(rows, owners), self.predicted[owners])
            for key, row in zip(some, values, strict=True):
                self.known[key] = row[self.columns[key[0]]]

    def of(self, b: int, masks: Bits) -> Numbers:
        """Predictions `(n, D)` from masks `(n, T)` of a document that were asked for."""
        return np.stack([self.known[b, row.tobytes()] for row in np.packbits(masks, axis=-1)])


def _flags(runs: Sequence[Run], size: int) -> Bits:
    """A row `(size,)` for each run, True on its words."""
    rows = np.zeros((len(runs), size), dtype=bool)
    for row, (start, end) in zip(rows, runs, strict=True):
        row[start:end] = True
    return rows


def _holding(draws: Bits, span: Bits) -> Bits:
    """The draws that keep all words of a span."""
    return draws[(draws | ~span).all(-1)]


def _subsets(mask: Bits, spans: Bits) -> Bits:
    """The mask with each subset of some of its spans `(k, T)`: `(2^k, T)`; bit `i` of a row's number is of span `i`."""
    bits = (np.arange(2 ** len(spans))[:, None] >> np.arange(len(spans))) & 1
    subsets: Bits = (mask & ~spans.any(0)) | (bits @ spans.astype(np.int64) > 0)
    return subsets


def shapley(values: Numbers) -> Numbers:
    """Shapley values `(k, D)` of `k` players, from what each subset of them is worth.

    Args:
        values: `(2^k, D)`; bit `i` of a row's number says that player `i` belongs to the subset.
    """
    players = len(values).bit_length() - 1
    numbers = np.arange(len(values))
    sizes = np.array([bin(number).count("1") for number in numbers.tolist()])
    weights = np.array([1.0 / (players * math.comb(players - 1, size)) for size in range(players)])
    shares = np.zeros((players, values.shape[1]))
    for i in range(players):
        without = numbers[(numbers >> i) & 1 == 0]
        shares[i] = weights[sizes[without]] @ (values[without | 1 << i] - values[without])
    return shares


def _wanted(mask: Bits, spans: Bits, draws: Bits) -> Bits:
    """Masks for everything but Shapley values."""
    wanted = [mask[None], np.zeros_like(mask)[None], spans, mask & ~spans]
    for span in spans:
        holding = _holding(draws, span)
        wanted += [holding, holding & ~span]
    return np.concatenate(wanted)


def _chosen(effects: _Effects, b: int, mask: Bits, spans: Bits, most: int) -> list[int]:
    """Numbers of the spans that get Shapley values, in order."""
    if len(spans) <= most:
        return list(range(len(spans)))
    changes = np.abs(effects.of(b, mask & ~spans) - effects.of(b, mask[None])).max(-1)
    return np.flatnonzero(highest(changes, most)).tolist()


def _contributions(
    effects: _Effects, b: int, mask: Bits, draws: Bits, runs: Sequence[Run], spans: Bits, chosen: Sequence[int]
) -> Contributions:
    whole, nothing = effects.of(b, np.stack([mask, np.zeros_like(mask)]))
    shares = dict(zip(chosen, shapley(effects.of(b, _subsets(mask, spans[chosen]))), strict=True))
    made = []
    for i, (run, span) in enumerate(zip(runs, spans, strict=True)):
        here = effects.of(b, (mask & ~span)[None])[0] - whole
        holding = _holding(draws, span)
        removed = (effects.of(b, holding & ~span) - effects.of(b, holding)).mean(0) if len(holding) else here
        made.append(
            Contribution(
                start=run[0],
                end=run[1],
                removed=_plain(removed),
                removed_here=_plain(here),
                alone=_plain(effects.of(b, span[None])[0] - nothing),
                shapley=_plain(shares[i]) if i in shares else None,
                share=len(holding) / max(len(draws), 1),
            )
        )
    return Contributions(tuple(made), _plain(nothing), _plain(whole))


def _plain(values: Numbers) -> tuple[float, ...]:
    return tuple(values.tolist())
