"""States of all words of a text, from a pretrained transformer: what generators decide from."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn

from pyro_rationale.nn.pieces import Pieces, batches_by_pieces, rows_of, windows
from pyro_rationale.nn.pretrained import Transformer, make_transformer
from pyro_rationale.storage import remove_leftovers, replacing

log = logging.getLogger("pyro_rationale")

BOUND = 1 << 29  # bytes of states that are kept of texts without end
READING = 1  # raised when texts are read in another way; files of states made before are then not found


class FeatureStore:
    """States of texts that a frozen transformer has read, in float16, in a file that is mapped into memory.

    The file has no name, so it goes with the process that made it, whatever happens; unless another is taken over.

    Args:
        width: numbers per word.
        most: words to store; further texts are read anew each time.

    Attributes:
        rolling: whether all states are forgotten when there is no room for more, rather than none added.
        lock: held while places are looked up and states are taken or added: texts may be read by several threads.
    """

    rolling: bool = False

    def __init__(self, width: int, most: int = 4_000_000) -> None:
        self.width, self.most = width, most
        self.file: Any = tempfile.TemporaryFile(prefix=".features-", buffering=0)  # noqa: SIM115
        weakref.finalize(self, self.file.close)
        self._places: dict[bytes, int] = {}
        self._words = 0
        self._map: np.ndarray[Any, Any] = np.empty((0, width), np.float16)
        self.lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> FeatureStore:
        """Itself: copies of a network, of whatever precision, read the same states."""
        return self

    def find(self, key: bytes) -> int | None:
        """Where the states of a text begin, `None` if they are not stored."""
        return self._places.get(key)

    def put(self, key: bytes, states: np.ndarray[Any, Any]) -> int | None:
        """Store the states of a text `(n, width)`, if there is room; where they begin.

        A disk that takes no more of them is full from then on: other states are read anew each time.
        """
        if key in self._places or self._words + len(states) > self.most:
            return self._places.get(key)
        start, left = self._words, memoryview(states.astype(np.float16, copy=False).tobytes())
        try:
            while left:  # a file without a buffer may take a part
                left = left[self.file.write(left) :]
        except OSError as error:
            self.file.seek(self.file.truncate(2 * self.width * start))
            self.most = start
            log.warning("features of texts: %s; those of further texts are read anew each time", error.strerror)
            return None
        self._places[key] = start
        self._words += len(states)
        return start

    def bound(self) -> None:
        """Keep half a gigabyte of states at most, and forget them when these are full: for texts without end."""
        self.most, self.rolling = min(self.most, BOUND // (2 * self.width)), True

    def make_room(self, words: int) -> None:
        """Forget all states if so many more words do not fit, a store without end is wanted, and that makes room."""
        if self.rolling and self.file.writable() and self._words + words > self.most:
            self.clear()

    def take(self, index: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """States of words by their places, `(N,)` -> float16 `(N, width)`."""
        if len(self._map) < self._words:
            self._map = np.memmap(self.file, np.float16, "r", shape=(self._words, self.width))
        return self._map[index]

    def clear(self) -> None:
        """Forget all states; a file that was taken over is left as it is, and takes no others."""
        self._places = {}
        if self.file.writable():
            self.file.seek(0)
            self.file.truncate()
            self._words, self._map = 0, self._map[:0]

    def save(self, path: Path) -> None:
        """Copy the file to a path, where it appears when it is whole."""
        remove_leftovers(path)
        with replacing(path) as partial, partial.open("wb") as copy:
            self.file.seek(0)
            shutil.copyfileobj(self.file, copy)

    def take_over(self, path: Path, keys: Sequence[bytes], lengths: Sequence[int]) -> bool:
        """Use a file that `save` made, of texts in this order, in place of the own; `False` if it does not fit."""
        words = sum(lengths)
        if not path.is_file() or path.stat().st_size != words * self.width * 2 or not words:
            return False
        self.file.close()
        self.file = path.open("rb")
        weakref.finalize(self, self.file.close)
        self._map = np.memmap(self.file, np.float16, "r", shape=(words, self.width))
        self._words, self.most = words, words  # nothing can be added
        self._places = dict(zip(keys, np.cumsum([0, *lengths[:-1]]).tolist(), strict=True))
        return True


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
        places = (tokens > 0).flatten().nonzero().squeeze(-1)
        states = self.words(tokens, places)
        grid = states.new_zeros(tokens.numel(), self.embedding_dim)
        return grid.index_copy(0, places, states).view(*tokens.shape, -1)

    def words(self, tokens: Tensor, places: Tensor) -> Tensor:
        """States `(W, width)` of the words of texts `(B, T)` at these places of their grid, `(W,)`."""
        if self.transformer.is_tuned:
            return self._read(tokens).flatten(0, 1)[places]
        with torch.no_grad():
            if self.store is None:
                return self._read(tokens).half().flatten(0, 1)[places].to(self.dtype)
            return self._stored(self.store, tokens, places)

    def _stored(self, store: FeatureStore, tokens: Tensor, places: Tensor) -> Tensor:
        keys, size, where = text_keys(tokens), tokens.shape[1], places.cpu()
        with store.lock:
            starts = [store.find(key) for key in keys]
            known = torch.tensor([start is not None for start in starts])
            begin = torch.tensor([start or 0 for start in starts])
            stored = known[where // size]
            here = where[stored]
            found = store.take((begin[here // size] + here % size).numpy()) if len(here) else None
        if found is not None and bool(known.all()):
            return torch.from_numpy(found).to(tokens.device).to(self.dtype)
        result = tokens.new_empty(len(places), self.embedding_dim, dtype=self.dtype)
        if found is not None:
            result[stored.to(tokens.device)] = torch.from_numpy(found).to(tokens.device).to(self.dtype)
        missing = (~known).nonzero().squeeze(-1)
        states = self._read(tokens[missing]).half()  # without the lock: it takes long
        self._put(store, tokens[missing], states)
        row = torch.zeros(len(tokens), dtype=torch.long)
        row[missing] = torch.arange(len(missing))
        there = where[~stored]
        at = (row[there // size] * size + there % size).to(tokens.device)
        result[(~stored).to(tokens.device)] = states.flatten(0, 1)[at].to(self.dtype)
        return result

    def _put(self, store: FeatureStore, tokens: Tensor, states: Tensor) -> None:
        lengths = (tokens > 0).sum(-1).tolist()
        rows = zip(text_keys(tokens), states.cpu().numpy(), lengths, strict=True)
        with store.lock:
            store.make_room(sum(lengths))
            for key, row, length in rows:
                store.put(key, row[:length])

    def read_ahead(
        self,
        texts: Sequence[Tensor],
        folder: Path | None = None,
        identity: str = "",
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Store the states of texts, or find them in a file that another process has made of the same texts.

        Args:
            texts: batches `(B, T)`, each of texts of like length.
            folder: where such files are; `None`: none are read or left.
            identity: of the transformer, for the name of the file.
            progress: called with the words read so far, and all.
        """
        store = self.store
        if store is None or not texts:
            return
        sizes = [(tokens > 0).sum(-1) for tokens in texts]
        total = int(sum(size.sum() for size in sizes))
        if folder is None or total > store.most:
            self._read_all(store, texts, total, progress)
            return
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"features-{identity}-{self._digest(texts)}.f16"
        unique = {key: size for tokens, own in zip(texts, sizes, strict=True)
                  for key, size in zip(text_keys(tokens), own.tolist(), strict=True)}
        with FileLock(path.with_name(f".{path.stem}.lock")):
            if store.take_over(path, list(unique), list(unique.values())):
                return
            store.clear()  # the file is to have the order of these texts
            self._read_all(store, texts, total, progress)
            if all(store.find(key) is not None for key in unique):
                store.save(path)

    def _read_all(
        self, store: FeatureStore, texts: Sequence[Tensor], total: int, progress: Callable[[int, int], None] | None
    ) -> None:
        device, done = next(self.transformer.base.parameters()).device, 0
        for tokens in texts:
            here = tokens.to(device)
            missing = [i for i, key in enumerate(text_keys(tokens)) if store.find(key) is None]
            if missing:
                with torch.inference_mode():
                    self._put(store, tokens[missing], self._read(here[missing]).half())
            done += int((tokens > 0).sum())
            if progress is not None:
                progress(done, total)

    def _digest(self, texts: Sequence[Tensor]) -> str:
        """Digest of the pieces of all texts in their order; the numbers of words differ between processes."""
        digest = hashlib.blake2b(f"{READING} {self.dtype}".encode(), digest_size=8)
        for tokens in texts:
            ids, counts = self.pieces.of(tokens)
            for row, count in zip(ids.cpu(), counts.cpu(), strict=True):
                words = int((count > 0).sum())
                digest.update(words.to_bytes(4, "little") + row[:words].to(torch.int32).numpy().tobytes())
        return digest.hexdigest()

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
    tuned, checkpointing = options.tune_generator, options.checkpointing
    transformer, pieces = make_transformer(options.pretrained, tuned, vocabulary, checkpointing)
    store = FeatureStore(transformer.width) if options.cache_features else None
    return TransformerFeatures(transformer, pieces, store)


def text_keys(tokens: Tensor) -> list[bytes]:
    """The words of each text `(B, T)`, which this process has numbered."""
    rows, lengths = tokens.cpu().numpy(), (tokens > 0).sum(-1).tolist()
    return [row[:length].tobytes() for row, length in zip(rows, lengths, strict=True)]
