"""Whole texts as a pretrained encoder reads them before it is trained: what their kept words are to say again."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.word_classes import BARRIER, NEVER_FIRST, NEVER_LAST
from pyro_rationale.nn.encoders.transformer import TransformerEncoder
from pyro_rationale.nn.features import text_keys

READ = 512  # runs read at once
Run = tuple[int, int]  # first unit, and the one after the last


class WholeTexts:
    """Pooled states of whole texts, each read once, by a copy of an encoder that is not trained.

    It is no part of a network's state: the copy is what the pretrained encoder is before the first step, and so is
    equal in a fit that is resumed. What is frozen anyway is not copied.

    Args:
        encoder: an untrained one.
    """

    def __init__(self, encoder: TransformerEncoder) -> None:
        transformer = encoder.transformer
        shared = {} if transformer.is_tuned else {id(transformer): transformer}
        self._encoder = deepcopy(encoder, {**shared, id(encoder.pieces): encoder.pieces}).requires_grad_(False).eval()
        self._states: dict[bytes, Tensor] = {}
        self._extracts: dict[tuple[bytes, float, float], list[Run]] = {}  # by text, share and span

    @torch.no_grad()
    def __call__(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """States of texts `(B, T)` of these lengths, `(B, P)`, in full precision."""
        keys = text_keys(tokens)
        missing = [i for i, key in enumerate(keys) if key not in self._states]
        if missing:
            here, long = tokens[missing], lengths[missing]
            whole = torch.arange(tokens.shape[1], device=tokens.device) < long[:, None]
            read = self._read(here, whole, long)
            self._states |= {keys[i]: row.cpu() for i, row in zip(missing, read, strict=True)}
        return torch.stack([self._states[key] for key in keys]).to(tokens.device)

    def _read(self, tokens: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
        encoder = self._encoder.to(tokens.device)
        states: Tensor = encoder(tokens, mask.to(encoder.dtype), lengths, head=lambda states: states)
        return states

    @torch.no_grad()
    def extracts(self, batch: Batch, share: float, span: float) -> Tensor:
        """The runs of words that together say most of what each text says: a first guess at a mask, bool `(B, T)`.

        Of all runs of about `span` words, that one is added by which the sum of the runs' states, each read alone,
        comes nearest to the direction of the state of the whole text, until the share is reached. Where masks are over
        sentences, the runs are sentences, and the result is `(B, U)`.

        Args:
            batch: the texts.
            share: of the words, or sentences, that are kept at most; one run is always kept.
            span: words of a run; those at its ends that no run may begin or end with are left out.
        """
        keys = [(key, share, span) for key in text_keys(batch.tokens)]
        missing = [i for i, key in enumerate(keys) if key not in self._extracts]
        if missing:
            chosen = self._chosen(batch, missing, share, span)
            self._extracts |= dict(zip([keys[i] for i in missing], chosen, strict=True))
        result = torch.zeros_like(batch.unit_mask)
        for row, key in zip(result, keys, strict=True):
            for begin, end in self._extracts[key]:
                row[begin:end] = True
        return result

    def _chosen(self, batch: Batch, rows: Sequence[int], share: float, span: float) -> list[list[Run]]:
        """Runs of units of some texts of a batch."""
        runs = [_runs(batch, i, 1 if batch.units is not None else round(span)) for i in rows]
        texts = torch.tensor([i for i, own in zip(rows, runs, strict=True) for _ in own])
        units = torch.arange(batch.unit_mask.shape[1])
        flat = torch.tensor([run for own in runs for run in own])
        masks = (units >= flat[:, :1]) & (units < flat[:, 1:])
        if batch.units is not None:
            masks = masks.gather(1, batch.units.cpu()[texts]) & batch.mask.cpu()[texts]
        states = torch.cat([
            self._read(batch.tokens[part], masks[at].to(batch.tokens.device), batch.lengths[part])
            for part, at in zip(texts.split(READ), torch.arange(len(texts)).split(READ), strict=True)
        ])  # fmt: skip
        whole = self(batch.tokens, batch.lengths)[rows].cpu().numpy()
        most = [max(1.0, share * int(batch.unit_lengths[i])) for i in rows]
        parts = states.cpu().split([len(own) for own in runs])
        return [_greedy(*each) for each in zip(runs, (part.numpy() for part in parts), whole, most, strict=True)]


def _runs(batch: Batch, row: int, size: int) -> list[Run]:
    """Runs of `size` units of a text, every half of it, as the prior's excluded words allow them."""
    length = int(batch.unit_lengths[row])
    kinds = np.zeros(length, np.uint8)
    if batch.excluded is not None and batch.units is None:
        kinds = batch.excluded[row, :length].cpu().numpy()
    found: dict[Run, None] = {}
    edges = [-1, *np.flatnonzero(kinds == BARRIER).tolist(), length]
    for before, after in pairwise(edges):
        for begin in range(before + 1, max(before + 2, after - size + 1), max(1, size // 2)):
            inside = kinds[begin : min(begin + size, after)]
            firsts, lasts = (np.flatnonzero((inside == 0) | (inside == kind)) for kind in (NEVER_LAST, NEVER_FIRST))
            if len(firsts) and len(lasts) and firsts[0] <= lasts[-1]:
                found[begin + int(firsts[0]), begin + int(lasts[-1]) + 1] = None
    return list(found) or [(0, min(size, length))]


def _greedy(runs: Sequence[Run], states: NDArray[Any], whole: NDArray[Any], most: float) -> list[Run]:
    """Runs whose states add up to the direction of `whole`, of `most` units together, or the first one of more."""
    begins, ends = np.array(runs).T
    states = states / np.linalg.norm(states, axis=1, keepdims=True).clip(1e-9)
    kept, total = np.zeros(int(ends.max()), bool), np.zeros_like(whole)
    chosen: list[Run] = []
    while True:
        new = ends - begins - np.array([kept[begin:end].sum() for begin, end in runs])
        fits = (new > 0) & (kept.sum() + new <= most) if chosen else new > 0
        if not fits.any():
            return chosen
        sums = total + states
        scores = np.where(fits, sums @ whole / np.linalg.norm(sums, axis=1).clip(1e-9), -np.inf)
        best = int(scores.argmax())
        kept[begins[best] : ends[best]] = True
        total = sums[best]
        chosen.append(runs[best])
