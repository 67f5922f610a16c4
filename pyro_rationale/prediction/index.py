"""An index of a corpus: a unit vector of every text, and the words that it is made of.

    index.json             format, version, digest of the model, number of texts
    vectors.safetensors    the vectors, `(N, E)`
    documents.safetensors  kept words packed to bits, numbers of words, places of the texts in the next file
    texts.jsonl            id, text and kept stretches, a line per text
    neighbours.faiss       inverted lists, for more than 100,000 texts where `faiss` is installed
    parts/                 finished parts of an index that is being made

A part is one file that is written in one step, and holds the digest of its texts: making an index again goes on after
the last finished part, and makes parts whose texts have changed anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_rationale import __version__
from pyro_rationale.data.document import Document
from pyro_rationale.errors import ConfigError, DataError, RunError, shown
from pyro_rationale.optional import install_command, optional
from pyro_rationale.prediction.embedding import Embedder, Flags, Floats
from pyro_rationale.prediction.marked_text import MarkedText
from pyro_rationale.storage import (
    MANIFEST,
    check_listed,
    read_json,
    read_manifest,
    read_tensors,
    replacing,
    write_bytes,
    write_json,
    write_tensors,
)

log = logging.getLogger("pyro_rationale")

FORMAT = "pyro_rationale index 1"
INDEX, VECTORS, DOCUMENTS, TEXTS = "index.json", "vectors.safetensors", "documents.safetensors", "texts.jsonl"
NEIGHBOURS, PARTS = "neighbours.faiss", "parts"
PART = 1024  # texts
APPROXIMATE_FROM = 100_000  # texts; with fewer, all are compared
POOL = 100  # best texts that probabilities are shares among
_OVERSAMPLED = 4  # times as many are taken from inverted lists, whose numbers are rounded, and compared exactly
_QUERIES = 256  # compared with all texts at once


@dataclass(frozen=True)
class Entry:
    """A text of an index."""

    id: str
    marked: MarkedText


class Index:
    """A searchable corpus.

    Args:
        vectors: unit vectors `(N, E)`.
        entries: the texts.
        facts: contents of `index.json`.
        neighbours: inverted lists as `faiss` writes them; `None`: all texts are compared.
    """

    def __init__(
        self,
        vectors: Floats,
        entries: Sequence[Entry],
        facts: dict[str, Any],
        neighbours: NDArray[np.uint8] | None = None,
    ) -> None:
        self.vectors, self.entries, self.facts, self._neighbours = vectors, entries, facts, neighbours
        self._lists: Any = None

    def __len__(self) -> int:
        return len(self.vectors)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_lists": None, "entries": list(self.entries)}

    @classmethod
    def load(cls, folder: Path | str) -> Index:
        """Read an index.

        Raises:
            RunError: it is missing, damaged, unfinished, or of another version.
        """
        folder = Path(folder)
        facts = read_facts(folder)
        if not facts["complete"]:
            raise RunError(f"{folder}: the index is not finished; go on with the command that began it")
        (vectors,) = _tensors(folder / VECTORS, "vectors")
        places, words, bits = _tensors(folder / DOCUMENTS, "places", "words", "bits")
        if len({len(vectors), len(words), len(places) - 1, facts.get("texts")}) > 1:
            raise RunError(f"{folder}: its files are of different indexes; make it again with --force")
        path = folder / NEIGHBOURS
        try:
            check_listed(path)
        except RunError:
            raise RunError(f"{path}: damaged; make the index again with --force") from None
        lists = np.fromfile(path, dtype=np.uint8) if path.exists() else None
        return cls(vectors, _Entries(folder / TEXTS, places, words, bits), facts, lists)

    def nearest(self, queries: Floats, top: int = POOL) -> tuple[NDArray[np.int64], Floats]:
        """Rows of the texts that are nearest to each query, nearest first, and their cosines: `(Q, K)` each.

        Texts that are as near stand in the order of the corpus. `K` is `top`, or the number of texts if that is less.
        """
        top = min(top, len(self))
        if self._neighbours is not None:
            return self._approximate(queries, top)
        rows, scores = [], []
        for start in range(0, len(queries), _QUERIES):
            block = queries[start : start + _QUERIES] @ self.vectors.T
            best = best_columns(block, top)
            rows.append(best)
            scores.append(np.take_along_axis(block, best, axis=1))
        if not rows:
            return np.zeros((0, top), dtype=np.int64), np.zeros((0, top), dtype=np.float32)
        return np.concatenate(rows), np.concatenate(scores)

    def _approximate(self, queries: Floats, top: int) -> tuple[NDArray[np.int64], Floats]:
        """The nearest that inverted lists find; their cosines are exact."""
        if self._lists is None:
            faiss = optional("faiss", f"an index of more than {APPROXIMATE_FROM:,} texts needs", "search")
            try:
                lists = faiss.deserialize_index(self._neighbours)
                if (lists.ntotal, lists.d) != self.vectors.shape:
                    raise ValueError("of other vectors")
                lists.nprobe = probes(lists.nlist)
            except (RuntimeError, ValueError, AttributeError, MemoryError):  # of an index of an older version, unlisted
                raise RunError(f"{NEIGHBOURS} of the index: damaged; make the index again with --force") from None
            self._lists = lists
        _, found = self._lists.search(np.ascontiguousarray(queries), min(_OVERSAMPLED * top, len(self)))
        rows = np.zeros((len(queries), top), dtype=np.int64)
        scores = np.full((len(queries), top), -np.inf, dtype=np.float32)
        for i, (query, candidates) in enumerate(zip(queries, found, strict=True)):
            own = np.sort(candidates[candidates >= 0])
            if len(own) < top:  # so few in the lists that were looked at
                own = np.arange(len(self))
            near = self.vectors[own] @ query
            best = best_columns(near[None], top)[0]
            rows[i], scores[i] = own[best], near[best]
        return rows, scores


def best_columns(scores: NDArray[Any], top: int) -> NDArray[np.int64]:
    """Columns of the `top` highest scores of each row, highest first; of equal ones the first come first."""
    scores = np.asarray(scores)
    count = scores.shape[1]
    if top < count:
        # All that reach the score of rank `top`, in their order: a partition alone would take any of those that tie.
        limits = np.partition(scores, count - top, axis=1)[:, count - top]
        chosen = []
        for row, limit in zip(scores, limits, strict=True):
            columns = np.flatnonzero(row >= limit)
            chosen.append(columns[np.argsort(-row[columns], kind="stable")[:top]])
        return np.array(chosen, dtype=np.int64).reshape(len(scores), top)
    return np.argsort(-scores, axis=1, kind="stable")[:, :top]


def probes(lists: int) -> int:
    """How many of so many inverted lists are looked at."""
    return max(1, -(-lists // 12))


# Making an index.


def make_index(
    embedder: Embedder,
    documents: Iterable[Document],
    folder: Path,
    source: str = "",
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Index:
    """Make the index of a corpus in a folder, or go on with one that was begun there.

    Args:
        embedder: makes the vectors.
        documents: the texts, with different ids; a part of them is held at a time. Those without a word are left out.
        folder: of the index; it is made.
        source: where the texts are from, for `index.json`.
        force: begin anew where the folder holds an index.
        progress: called with the number of texts of each part that is finished.

    Returns:
        The index, read from the folder.

    Raises:
        RunError: the folder holds a finished index, or one of another model.
        DataError: an id stands twice, or there is no text with a word.
    """
    parts = folder / PARTS
    begin(folder, embedder, source, force)
    digests: list[str] = []
    empty, seen = 0, set()
    for number, some in enumerate(_parts(documents, PART)):
        for document in some:
            if document.id in seen:
                raise DataError(f"{source or 'the corpus'}: id {shown(document.id)} stands twice; give each its own")
            seen.add(document.id)
        with_words = [document for document in some if document.tokens]
        empty += len(some) - len(with_words)
        digests.append(_digest(with_words))
        path = parts / f"{number:06d}.safetensors"
        if _part_digest(path) != digests[-1]:
            _write_part(path, embedder, with_words, digests[-1])
        if progress is not None:
            progress(len(some))
    paths = [parts / f"{number:06d}.safetensors" for number in range(len(digests))]
    if len(seen) == empty:
        raise DataError(f"{source or 'the corpus'}: no text with a word; there is nothing to index")
    if empty:
        log.warning("%s: %d of %d texts have no word, and are left out", source or "the corpus", empty, len(seen))
    _merge(folder, paths)
    shutil.rmtree(parts)
    return Index.load(folder)


def index_of(embedder: Embedder, documents: Sequence[Document]) -> Index:
    """The index of a corpus that is held in memory.

    Args:
        embedder: makes the vectors.
        documents: the texts, at least one; those without a word are left out.

    Raises:
        DataError: there is no text with a word.
    """
    texts = [document for document in documents if document.tokens]
    if not texts:
        raise DataError("the corpus: no text with a word; there is nothing to index")
    embedded = embedder.encode(texts)
    marked = embedded.marked(texts)
    entries = [Entry(document.id, text) for document, text in zip(texts, marked, strict=True)]
    facts = _facts(embedder, "") | _summary(embedded.masks) | {"complete": True}
    return Index(embedded.vectors, entries, facts, inverted_lists(embedded.vectors))


def begin(folder: Path, embedder: Embedder, source: str, force: bool) -> None:
    """Make a folder ready for an index: one of this model, unfinished.

    Raises:
        RunError: it holds a finished one, or one of another model.
    """
    if (folder / INDEX).exists() or (force and INDEX in read_manifest(folder)["files"]):  # it may have been lost
        if force:
            for name in (MANIFEST, INDEX, VECTORS, DOCUMENTS, TEXTS, NEIGHBOURS):
                (folder / name).unlink(missing_ok=True)
            shutil.rmtree(folder / PARTS, ignore_errors=True)
        else:
            known = read_facts(folder)
            if known["complete"]:
                raise RunError(f"{folder}: holds a finished index; search it, or replace it with --force")
            if known["model"] != embedder.digest:
                raise RunError(f"{folder}: holds a part of an index by another model; replace it with --force")
    elif folder.is_dir() and any(folder.iterdir()):
        raise RunError(f"{folder}: holds other files; name a folder of its own for the index")
    (folder / PARTS).mkdir(parents=True, exist_ok=True)
    write_json(folder / INDEX, _facts(embedder, source) | {"complete": False}, listed=True)


def read_facts(folder: Path) -> dict[str, Any]:
    """Contents of `index.json`.

    Raises:
        RunError: it is missing, damaged or of another version.
    """
    if not (folder / INDEX).exists():
        if (folder / VECTORS).exists():
            raise RunError(f"{folder / INDEX}: missing; make the index again with --force")
        way = f"python -m pyro_rationale.index --run RUN --out {folder}"
        raise RunError(f"{folder}: no index there; make one with {way}")
    try:
        facts = read_json(folder / INDEX)
    except RunError as problem:
        raise RunError(f"{str(problem).rpartition('; ')[0]}; make the index again with --force") from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT or not {"complete", "model", "run"} <= set(facts):
        raise RunError(f"{folder / INDEX}: not an index of this version; make it again with --force")
    return facts


def _tensors(path: Path, *names: str) -> list[NDArray[Any]]:
    """Arrays of a file of an index.

    Raises:
        RunError: it is missing or damaged.
    """
    try:
        found = read_tensors(path)[0]
        return [found[name].numpy() for name in names]
    except (RunError, KeyError):
        raise RunError(f"{path}: missing or damaged; make the index again with --force") from None


def check_model(index: Index, embedder: Embedder, folder: Path | str) -> None:
    """Refuse an index whose vectors another model has made.

    Raises:
        ConfigError: it is one.
    """
    if index.facts["model"] != embedder.digest:
        made = index.facts["run"]
        raise ConfigError(f"--index {folder}: made with another model ({made}) than {embedder.name}, or by another "
                          "--decode rule; index again")  # fmt: skip


def inverted_lists(vectors: Floats) -> NDArray[np.uint8] | None:
    """Inverted lists of many vectors, as `faiss` writes them; `None` for few, or where it is not installed."""
    count, width = vectors.shape
    if count <= APPROXIMATE_FROM:
        return None
    try:
        faiss = optional("faiss", "", "search")
    except ConfigError:
        log.warning("a search compares all %d texts; %s, then index again to compare some of them", count,
                    install_command("search"))  # fmt: skip
        return None
    lists = faiss.index_factory(width, f"IVF{round(2 * count**0.5)},SQ8", faiss.METRIC_INNER_PRODUCT)
    lists.train(vectors)
    lists.add(vectors)
    written: NDArray[np.uint8] = faiss.serialize_index(lists)
    return written


def _parts(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    rest = iter(documents)
    while some := list(islice(rest, size)):
        yield some


def _digest(documents: Sequence[Document]) -> str:
    """Digest of texts and their words."""
    digest = hashlib.blake2b(digest_size=16)
    for document in documents:
        digest.update(json.dumps([document.id, document.text, document.tokens]).encode())
    return digest.hexdigest()


def _part_digest(path: Path) -> str | None:
    """Digest of the texts of a finished part; `None` if there is none."""
    try:
        return str(read_tensors(path)[1]["digest"]) if path.exists() else None
    except (RunError, KeyError, TypeError):
        return None


def _write_part(path: Path, embedder: Embedder, documents: Sequence[Document], digest: str) -> None:
    embedded = embedder.encode(documents)
    marked = embedded.marked(documents)
    lines = [_line(document.id, text) for document, text in zip(documents, marked, strict=True)]
    tensors = {
        "vectors": torch.from_numpy(embedded.vectors),
        "bits": torch.from_numpy(packed([np.array(text.mask) for text in marked])),
        "words": torch.tensor([len(mask) for mask in embedded.masks], dtype=torch.int32),
        "kept": torch.tensor([int(mask.sum()) for mask in embedded.masks], dtype=torch.int32),
        "sizes": torch.tensor([len(line) for line in lines], dtype=torch.int64),
        "texts": torch.from_numpy(np.frombuffer(b"".join(lines), dtype=np.uint8).copy()),
    }
    write_tensors(path, tensors, {"digest": digest})


def _merge(folder: Path, paths: Sequence[Path]) -> None:
    """One file of vectors, and one of texts, from the parts."""
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in ("vectors", "bits", "words", "kept", "sizes")}
    with replacing(folder / TEXTS) as partial, partial.open("wb") as file:
        for path in paths:
            part, _ = read_tensors(path)
            file.write(part["texts"].numpy().tobytes())
            for name, column in columns.items():
                if len(part["words"]):
                    column.append(part[name].numpy())
    whole = {name: np.concatenate(column) for name, column in columns.items()}
    vectors = whole["vectors"]
    places = np.concatenate([[0], np.cumsum(whole["sizes"])])
    write_tensors(folder / VECTORS, {"vectors": torch.from_numpy(vectors)}, {"format": FORMAT}, listed=True)
    columns_of = {"bits": whole["bits"], "words": whole["words"], "places": places}
    tensors = {name: torch.from_numpy(column) for name, column in columns_of.items()}
    write_tensors(folder / DOCUMENTS, tensors, {"format": FORMAT}, listed=True)
    if (lists := inverted_lists(vectors)) is not None:
        write_bytes(folder / NEIGHBOURS, lists.tobytes(), listed=True)
    facts = read_json(folder / INDEX) | _figures(whole["kept"], whole["words"])
    write_json(folder / INDEX, facts | {"approximate": lists is not None, "complete": True}, listed=True)


def _facts(embedder: Embedder, source: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": __version__,
        "run": embedder.name,
        "model": embedder.digest,
        "temperature": embedder.temperature,
        "corpus": source,
    }


def _summary(masks: Sequence[Flags]) -> dict[str, Any]:
    return _figures(np.array([mask.sum() for mask in masks]), np.array([len(mask) for mask in masks]))


def _figures(kept: NDArray[Any], words: NDArray[Any]) -> dict[str, Any]:
    """Number of texts, words kept of all of them, and share of texts of which none is."""
    return {"texts": len(words), "kept": int(kept.sum()), "words": int(words.sum()), "empty": float(np.mean(kept == 0))}


# Texts of an index.


def packed(masks: Sequence[Flags]) -> NDArray[np.uint8]:
    """Masks as bits, each from a byte of its own on."""
    return np.concatenate([np.packbits(mask) for mask in masks] or [np.zeros(0, dtype=np.uint8)])


def _line(id: str, text: MarkedText) -> bytes:
    """A text as a line of JSON; half a character outside of Unicode's planes is escaped, as UTF-8 has none."""
    record = {"id": id, "text": text.text, "read": text.read, "kept": [list(span) for span in text.spans]}
    record |= {"title": text.title} if text.title else {}
    return json.dumps(record, ensure_ascii=True).encode() + b"\n"


class _Entries(Sequence[Entry]):
    """The texts of an index in a folder, read when they are asked for."""

    def __init__(
        self, path: Path, places: NDArray[np.int64], words: NDArray[np.int32], bits: NDArray[np.uint8]
    ) -> None:
        self.path, self.places, self.words, self.bits = path, places, words, bits
        self.starts = np.concatenate([[0], np.cumsum((words.astype(np.int64) + 7) // 8)])
        if not path.is_file() or path.stat().st_size != places[-1]:
            raise RunError(f"{path}: missing or damaged; make the index again with --force")

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        row = range(len(self))[row]
        with self.path.open("rb") as file:
            file.seek(int(self.places[row]))
            line = file.read(int(self.places[row + 1] - self.places[row]))
        bits = self.bits[self.starts[row] : self.starts[row + 1]]
        mask = np.unpackbits(bits, count=int(self.words[row])).astype(bool)
        try:
            record = json.loads(line)
            spans = tuple((int(start), int(end)) for start, end in record["kept"])
            marked = MarkedText(record["text"], spans, tuple(mask.tolist()), record["read"], record.get("title", 0))
            return Entry(str(record["id"]), marked)
        except (ValueError, KeyError, TypeError):
            raise RunError(f"{self.path}: damaged at text {row + 1}; make the index again with --force") from None
