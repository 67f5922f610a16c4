"""Words as the pieces that a pretrained transformer reads.

Selection is over words; a transformer reads pieces. :class:`Pieces` is a table from the numbers of words to the numbers
of their pieces. What a transformer sees of a masked text is CLS, the pieces of the kept words without gaps, and SEP:
nothing tells it where a word was dropped, or how many were.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.optional import optional

MOST_PIECES = 8  # of a word; the rest is cut off
BATCH_PIECES = 8192  # read at once on a CPU, padding included
WINDOW, OVERLAP = 384, 64  # pieces, in texts longer than the transformer's positions


class Pieces:
    """Pieces of words by the numbers of the words; it grows as an open vocabulary does.

    Args:
        folder: of the transformer; its `tokenizer.json` cuts the words.
        vocabulary: the words and their numbers.

    Attributes:
        start: numbers of what stands before every text (CLS).
        end: numbers of what stands behind it (SEP).
        unknown: number of the piece for what the tokenizer has no other for; `None`: it can spell everything.
        cut: words so far of which only the first `MOST_PIECES` pieces are read.
    """

    def __init__(self, folder: Path, vocabulary: OpenVocabulary) -> None:
        tokenizers = optional("tokenizers", "pretrained transformers need", "transformers")
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        around = self.tokenizer.encode("", add_special_tokens=True).ids
        self.start, self.end = around[: (len(around) + 1) // 2], around[(len(around) + 1) // 2 :]
        model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        number = self.tokenizer.token_to_id(model["unk_token"]) if model.get("unk_token") else model.get("unk_id")
        self.unknown: int | None = number
        self.vocabulary, self.cut = vocabulary, 0
        self._lock = threading.Lock()
        self._table = torch.zeros(0, MOST_PIECES, dtype=torch.long)
        self._counts = torch.zeros(0, dtype=torch.long)
        self._forgotten = vocabulary.forgotten
        self._grow()

    def __deepcopy__(self, memo: dict[int, Any]) -> Pieces:
        """Itself: copies of a network read the same pieces."""
        return self

    def _grow(self) -> None:
        """Add rows for the words that the vocabulary has and the table has not."""
        with self._lock:
            words = self.vocabulary.spellings(len(self._table))
            if not words:
                return
            encoded = self.tokenizer.encode_batch([[word] for word in words], is_pretokenized=True,
                                                  add_special_tokens=False)
            rows = torch.zeros(len(words), MOST_PIECES, dtype=torch.long)
            counts = torch.zeros(len(words), dtype=torch.long)
            for i, pieces in enumerate(encoded):
                ids = pieces.ids or [self.unknown or 0]
                self.cut += len(ids) > MOST_PIECES
                counts[i] = min(len(ids), MOST_PIECES)
                rows[i, : counts[i]] = torch.tensor(ids[:MOST_PIECES])
            device = self._table.device
            self._counts = torch.cat([self._counts, counts.to(device)])  # first: who reads now goes by the table
            self._table = torch.cat([self._table, rows.to(device)])

    def of(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Pieces `(*, MOST_PIECES)` and their numbers `(*)` of words `(*)`; padding (word 0) has none."""
        if self._table.device != tokens.device:
            self._counts = self._counts.to(tokens.device)
            self._table = self._table.to(tokens.device)
        if self._forgotten != self.vocabulary.forgotten:
            with self._lock:
                self._forgotten, known = self.vocabulary.forgotten, len(self.vocabulary)
                self._table, self._counts = self._table[:known], self._counts[:known]
        if tokens.numel() and int(tokens.max()) >= len(self._table):
            self._grow()
        return self._table[tokens], torch.where(tokens > 0, self._counts[tokens], 0)


class Rows(NamedTuple):
    """Pieces of texts, left-aligned.

    Attributes:
        ids: `(N, S)`, with CLS and SEP; 0 on padding.
        weights: `(N, S)`, of each piece's word; 1 of CLS and SEP, 0 on padding.
        word: `(N, S)`, column of each piece's word; T of CLS, SEP and padding.
        lengths: `(N,)`, pieces with CLS and SEP.
        dropped: pieces that did not fit into the transformer's positions.
    """

    ids: Tensor
    weights: Tensor
    word: Tensor
    lengths: Tensor
    dropped: int


def rows_of(pieces: Pieces, tokens: Tensor, weights: Tensor, present: Tensor, longest: int | None) -> Rows:
    """Texts as a transformer reads them.

    Args:
        pieces: of the words.
        tokens: words `(N, T)`.
        weights: of the words, `(N, T)`.
        present: bool, `(N, T)`; words that are read.
        longest: pieces with CLS and SEP at most; more are left out, from the end.
    """
    ids, counts = pieces.of(tokens)
    counts = torch.where(present, counts, 0)
    number, size = tokens.shape
    there = torch.arange(MOST_PIECES, device=tokens.device) < counts[..., None]
    flat = there.flatten(1)
    around = len(pieces.start) + len(pieces.end)
    total = counts.sum(-1)
    room = total if longest is None else total.clamp(max=longest - around)
    dropped = int((total - room).sum())
    width = int(room.max()) if number else 0
    order = (~flat).to(torch.uint8).sort(dim=-1, stable=True).indices[:, :width]
    inside = torch.arange(width, device=tokens.device) < room[:, None]
    word = order // MOST_PIECES
    body = torch.where(inside, ids.flatten(1).gather(-1, order), 0)
    shares = weights.gather(-1, word) * inside.to(weights.dtype)
    word = torch.where(inside, word, size)
    start, end = (body.new_tensor(ends).expand(number, -1) for ends in (pieces.start, pieces.end))
    after = torch.full((number, len(pieces.end)), size, device=tokens.device)
    before = torch.full((number, len(pieces.start)), size, device=tokens.device)
    one = weights.new_ones(number, 1)
    # SEP follows the last piece, wherever a row ends: place it, and let what was there move behind.
    ids_ = torch.cat([start, body, end * 0], 1)
    weights_ = torch.cat([one.expand(-1, len(pieces.start)), shares, 0 * one.expand(-1, len(pieces.end))], 1)
    word_ = torch.cat([before, word, after], 1)
    lengths = room + around
    if pieces.end:
        places = (room + len(pieces.start))[:, None] + torch.arange(len(pieces.end), device=tokens.device)
        ids_ = ids_.scatter(1, places, end)
        weights_ = weights_.scatter(1, places, one.expand(-1, len(pieces.end)))
    return Rows(ids_, weights_, word_, lengths, dropped)


def batches_by_pieces(lengths: Tensor, most: int = BATCH_PIECES) -> Iterator[Tensor]:
    """Indices of rows of these lengths `(N,)`, sorted by length, in groups of at most `most` pieces with padding."""
    order = lengths.argsort()
    sizes = lengths[order].tolist()
    start = 0
    for end in range(1, len(sizes) + 1):
        if end == len(sizes) or sizes[end] * (end + 1 - start) > most:
            yield order[start:end]
            start = end


def windows(length: int, room: int) -> Sequence[tuple[int, int, int, int]]:
    """How a text of `length` pieces is read in windows: `(start, end, first owned, end of owned)` of each.

    Args:
        length: pieces, without CLS and SEP.
        room: pieces that fit at once.
    """
    if length <= room:
        return [(0, length, 0, length)]
    size = min(WINDOW, room)
    stride = max(1, size - min(OVERLAP, size // 2))
    starts = [*range(0, length - size, stride), length - size]
    result = []
    for i, start in enumerate(starts):
        # In an overlap, each half is owned by the window in which it stands further from the edge.
        first = 0 if i == 0 else (start + starts[i - 1] + size) // 2
        last = length if i == len(starts) - 1 else (starts[i + 1] + start + size) // 2
        result.append((start, start + size, first, last))
    return result
