"""States of all words of a text, from a pretrained transformer: what generators decide from."""

from __future__ import annotations

import hashlib
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyro_rationale.nn.pretrained import Pieces, Transformer, batches_by_pieces, make_transformer, rows_of, windows


class FeatureStore:
    """States of texts that a frozen transformer has read, in float16, in a file that stays on disk.

    The file has no name, so it goes with the process that made it, whatever happens.

    Args:
        width: numbers per word.
        folder: where the file is made; default: the system's.
        most: words to store; further texts are read anew each time.
    """

    def __init__(self, width: int, folder: Path | None = None, most: int = 4_000_000) -> None:
        self.width, self.most = width, most
        self.file = tempfile.TemporaryFile(dir=folder, prefix=".features-")  # noqa: SIM115
        weakref.finalize(self, self.file.close)
        self._places: dict[bytes, tuple[int, int]] = {}
        self._words = 0

    def get(self, key: bytes) -> np.ndarray[Any, Any] | None:
        """States `(n, width)` of a text, `None` if it is not stored."""
        place = self._places.get(key)
        if place is None:
            return None
        start, words = place
        self.file.seek(start * self.width * 2)
        return np.frombuffer(self.file.read(words * self.width * 2), dtype=np.float16).reshape(words, self.width)

    def put(self, key: bytes, states: np.ndarray[Any, Any]) -> None:
        """Store the states of a text, if there is room."""
        if key in self._places or self._words + len(states) > self.most:
            return
        self.file.seek(self._words * self.width * 2)
        self.file.write(states.astype(np.float16).tobytes())
        self._places[key] = (self._words, len(states))
        self._words += len(states)


class TransformerFeatures(nn.Module):
    """States of the words of texts `(B, T)`, `(B, T, width)`: the mean over the pieces of each word.

    It stands where a network has its word vectors. Texts longer than the transformer reads at once are read in
    windows that overlap. States of a frozen transformer go through float16, stored or not, so that a text has the same
    states whenever it is read.

    Args:
        transformer: frozen, or tuned.
        pieces: of the words.
        store: keeps the states of a frozen transformer.
    """

    def __init__(self, transformer: Transformer, pieces: Pieces, store: FeatureStore | None = None) -> None:
        super().__init__()
        self.transformer, self.pieces = transformer, pieces
        self.embedding_dim = transformer.width
        self.store = None if transformer.is_tuned else store

    @property
    def dtype(self) -> torch.dtype:
        """Type of the states."""
        return self.transformer.dtype

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens `(B, T)`, 0 on padding -> `(B, T, width)`, 0 on padding."""
        if self.transformer.is_tuned:
            return self._read(tokens)
        with torch.no_grad():
            return self._stored(tokens)

    def _stored(self, tokens: Tensor) -> Tensor:
        result = torch.zeros(*tokens.shape, self.embedding_dim, dtype=self.dtype, device=tokens.device)
        lengths = (tokens > 0).sum(-1).tolist()
        keys = self._keys(tokens) if self.store is not None else [b""] * len(tokens)
        missing = []
        for i, key in enumerate(keys):
            stored = None if self.store is None else self.store.get(key)
            if stored is None:
                missing.append(i)
            else:
                result[i, : len(stored)] = torch.from_numpy(stored.copy()).to(result)
        if missing:
            states = self._read(tokens[missing]).half()
            result[missing] = states.to(result.dtype)
            if self.store is not None:
                for i, row in zip(missing, states.cpu().numpy(), strict=True):
                    self.store.put(keys[i], row[: lengths[i]])
        return result

    def _keys(self, tokens: Tensor) -> Sequence[bytes]:
        """Digest of the pieces of each text; numbers of words differ between processes."""
        ids, counts = self.pieces.of(tokens)
        return [
            hashlib.blake2b(row[: int((count > 0).sum())].numpy().tobytes(), digest_size=16).digest()
            for row, count in zip(ids.cpu(), counts.cpu(), strict=True)
        ]

    def _read(self, tokens: Tensor) -> Tensor:
        present = tokens > 0
        ones = torch.ones(tokens.shape, dtype=self.dtype, device=tokens.device)
        rows = rows_of(self.pieces, tokens, ones, present, None)
        around = len(self.pieces.start) + len(self.pieces.end)
        room = self.transformer.positions - around
        first = len(self.pieces.start)
        lengths = (rows.lengths - around).tolist()
        parts = [(i, *window) for i, length in enumerate(lengths) for window in windows(length, room)]
        sizes = torch.tensor([end - start + around for _, start, end, _, _ in parts])
        batch, width = tokens.shape
        summed = torch.zeros(batch * (width + 1), self.embedding_dim, dtype=self.dtype, device=tokens.device)
        counts = torch.zeros(batch * (width + 1), 1, dtype=self.dtype, device=tokens.device)
        for chosen in batches_by_pieces(sizes):
            longest = int(sizes[chosen].max())
            ids = torch.zeros(len(chosen), longest, dtype=torch.long, device=tokens.device)
            index, kept = [], torch.zeros(len(chosen), longest, dtype=torch.bool, device=tokens.device)
            for n, part in enumerate(chosen.tolist()):
                i, start, end, own, last = parts[part]
                length = end - start
                ids[n, :first] = ids.new_tensor(self.pieces.start)
                ids[n, first : first + length] = rows.ids[i, first + start : first + end]
                ids[n, first + length : length + around] = ids.new_tensor(self.pieces.end)
                kept[n, first + own - start : first + last - start] = True
                index.append(i * (width + 1) + rows.word[i, first + own : first + last])
            states = self.transformer.hard(ids, sizes[chosen].to(tokens.device))[kept]
            words = torch.cat(index)
            summed = summed.index_add(0, words, states)
            counts = counts.index_add(0, words, torch.ones_like(states[:, :1]))
        means = (summed / counts.clamp(min=1)).reshape(batch, width + 1, -1)[:, :width]
        return means * present[..., None]


def make_features(options: Any, vocabulary: Any) -> TransformerFeatures:
    """States of the transformer that `options.pretrained` names.

    Raises:
        ConfigError: it names none, or one that is not there.
    """
    transformer, pieces = make_transformer(options.pretrained, options.tune_generator, vocabulary)
    store = FeatureStore(transformer.width) if options.cache_features else None
    return TransformerFeatures(transformer, pieces, store)
