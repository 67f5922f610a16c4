"""Word vectors from a pretrained transformer that reads each word of a vocabulary alone.

An encoder over kept words must not read states of the whole text, which tell of the words that were dropped. What a
transformer makes of a single word tells of nothing else, and holds more of the word's meaning than count-based vectors
of a few dozen numbers do (Tulkens and van Dongen, Model2Vec, 2024).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor

from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.data.vectors import WordVectors, load_vectors, sources_of
from pyro_rationale.data.vocabulary import PADDING, UNKNOWN, Vocabulary
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.nn.pieces import Pieces, batches_by_pieces
from pyro_rationale.nn.pretrained import Transformer
from pyro_rationale.nn.pretrained_folders import FILES, PACKAGES, find_base, find_folder, is_transformer
from pyro_rationale.storage import read_tensors, user_path, write_tensors

WIDTH = 100  # numbers per word; 200 read no better
SPREAD = 0.6  # standard deviation of a number, that of GloVe's
MAKING = 2  # raised when a transformer's vectors of the same words come out otherwise
MOST_MADE = 2  # vocabularies whose vectors this process keeps

_made: dict[str, WordVectors] = {}  # by a transformer, the latest last


def find_vectors(
    source: str | os.PathLike[str], vocabulary: Vocabulary, cache: str | None = None
) -> WordVectors:
    """Vectors of a vocabulary's words, by the name that `--vectors` gives.

    Args:
        source: what :func:`~pyro_rationale.data.vectors.load_vectors` takes, or a pretrained transformer: `minilm`, or
            a folder as `--pretrained` takes it. Several of them are joined by `+`.
        vocabulary: the words.
        cache: folder in which what a transformer makes of the words is kept, beside memory.

    Raises:
        ConfigError: a transformer that is not installed, or a folder that holds none.
        DataError: vectors that cannot be read.
    """
    name = str(source)
    if len(parts := sources_of(name)) > 1:
        return _beside([find_vectors(part, vocabulary, cache) for part in parts], digest_of(name))
    if name == "glove" or not is_transformer(name):
        return replace(load_vectors(source, vocabulary), digest=digest_of(name))
    digest = digest_of(name)
    if digest is None:  # which says what is missing
        return transformer_vectors(name, vocabulary)
    words = "\0".join((str(MAKING), *vocabulary.words)).encode(errors="surrogatepass")
    key = f"{digest[:16]}-{hashlib.blake2b(words, digest_size=16).hexdigest()}"
    found = _made.pop(key, None)
    if found is None and cache:
        found = _kept(user_path(cache) / f"vectors-{key}.safetensors", name, vocabulary)
    elif found is None:
        found = transformer_vectors(name, vocabulary)
    while len(_made) >= MOST_MADE:
        del _made[next(iter(_made))]
    _made[key] = found
    return replace(found, matrix=found.matrix.clone(), digest=digest)


def _beside(parts: Sequence[WordVectors], digest: str | None) -> WordVectors:
    """Vectors of several sources as one; a source that lacks a word which another knows has zeros for it."""
    known = torch.stack([part.known for part in parts])
    own = known | ~known.any(0)  # words that none of them knows keep the random vectors of each
    matrix = torch.cat([part.matrix * rows[:, None] for part, rows in zip(parts, own, strict=True)], 1)
    languages = [part.familiar for part in parts]  # where one is not known, the others may not be that of the texts
    familiar = None if any(one is None for one in languages) else languages[0]
    count = max(len(matrix) - 2, 1)  # without padding and the unknown word
    return WordVectors(matrix, known.any(0), float(known.any(0).sum()) / count, familiar, digest)


def digest_of(source: str) -> str | None:
    """SHA-256 of what `--vectors` names: of the bytes of a file, or of the files of a transformer's folder.

    `None` for GloVe's package, and for what is not there, or can be read only once. Those of several sources are joined
    by `+`.
    """
    if len(parts := sources_of(source)) > 1:
        digests = [digest_of(part) for part in parts if part != "glove"]
        return "+".join(map(str, digests)) if all(digests) and digests else None
    if source == "glove":
        return None
    try:
        paths = [find_folder(source) / name for name in FILES] if is_transformer(source) else [user_path(source)]
    except ConfigError:
        return None
    digest = hashlib.sha256()
    for path in paths:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _kept(path: Path, name: str, vocabulary: Vocabulary) -> WordVectors:
    """Vectors from a file of the cache, which is made if it is missing or damaged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.stem}.lock")):
        if path.exists():
            with suppress(RunError, KeyError):
                return unpacked(*read_tensors(path))
        made = transformer_vectors(name, vocabulary)
        write_tensors(path, *packed(made))
    return made


def packed(vectors: WordVectors) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Vectors as tensors, and plain values beside them, to be kept in a file."""
    tensors = {"matrix": vectors.matrix, "known": vectors.known}
    if vectors.familiar is not None:
        tensors["familiar"] = vectors.familiar
    return tensors, {"coverage": vectors.coverage, "digest": vectors.digest}


def unpacked(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> WordVectors:
    """The vectors that `packed` was given.

    Raises:
        KeyError: a tensor or a value is missing.
    """
    return WordVectors(
        tensors["matrix"], tensors["known"], float(facts["coverage"]), tensors.get("familiar"), facts["digest"]
    )


def transformer_vectors(name: str, vocabulary: Vocabulary, width: int = WIDTH) -> WordVectors:
    """Vectors `(V, width)`: a transformer's mean state over the pieces of a word, its principal components over all.

    The row of unknown words is the mean word: zeros. So is that of a word of which the transformer knows no piece.
    Vectors have as many numbers as the transformer's states at most.

    Args:
        name: as `--pretrained` takes it.
        vocabulary: the words.
        width: numbers per word.

    Raises:
        ConfigError: the transformer is not there, or is not the one that its package should hold.
    """
    try:
        find_base(name)  # checks the digest of a package
        folder = find_folder(name)
        network = Transformer(folder)
    except ConfigError as error:
        raise ConfigError(str(error).replace("--pretrained", "--vectors", 1)) from None
    pieces = Pieces(folder, OpenVocabulary.of(vocabulary))
    states = _alone(network, pieces, len(vocabulary)).double()
    real = _known(pieces, len(vocabulary))
    matrix = torch.zeros(len(vocabulary), min(width, states.shape[1]))
    if real.any():
        centred = states[real] - states[real].mean(0)
        axes = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, : matrix.shape[1]]
        signs = axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()  # which an eigenvector leaves open
        components = centred @ (axes * signs)
        matrix[real] = (components * (SPREAD / components.std().clamp(min=1e-12))).float().nan_to_num()
    familiar = _familiar(pieces, vocabulary) if name in PACKAGES else None
    return WordVectors(matrix, real, float(real.sum()) / max(len(vocabulary) - 2, 1), familiar)


def _known(pieces: Pieces, count: int) -> Tensor:
    """Whether a transformer knows a piece of each word, bool `(count,)`; padding and the unknown word are none."""
    ids, lengths = pieces.of(torch.arange(count))
    known = torch.arange(ids.shape[1]) < lengths[:, None]
    if pieces.unknown is not None:
        known &= ids != pieces.unknown
    known = known.any(1)
    known[[PADDING, UNKNOWN]] = False
    return known


def _familiar(pieces: Pieces, vocabulary: Vocabulary) -> Tensor:
    """Whether words look English to an English tokenizer, bool `(V,)`: one piece, in Latin letters."""
    _, lengths = pieces.of(torch.arange(len(vocabulary)))
    latin = [all(letter < "\u0250" or not letter.isalpha() for letter in word) for word in vocabulary.words]
    return (lengths == 1) & torch.tensor(latin)


@torch.no_grad()
def _alone(network: Transformer, pieces: Pieces, count: int) -> Tensor:
    """Mean states `(count, width)` of words, each between CLS and SEP; zeros of padding and of the unknown word."""
    ids, lengths = pieces.of(torch.arange(count))
    lengths[UNKNOWN] = 0
    start, end = torch.tensor(pieces.start, dtype=torch.long), torch.tensor(pieces.end, dtype=torch.long)
    states = torch.zeros(count, network.width)
    around = len(start) + len(end)
    for rows in batches_by_pieces(lengths + around):
        own = lengths[rows]
        longest = int(own.max()) + around
        texts = torch.zeros(len(rows), longest, dtype=torch.long)
        texts[:, : len(start)] = start
        texts[:, len(start) : len(start) + ids.shape[1]] = ids[rows][:, : longest - len(start)]
        places = torch.arange(longest)
        for k, piece in enumerate(end):
            texts[places == (own + len(start) + k)[:, None]] = piece
        read = network.hard(texts, own + around)
        present = (places < (own + around)[:, None]).to(read.dtype)[..., None]
        states[rows] = (read * present).sum(1) / present.sum(1)
    states[lengths == 0] = 0.0
    return states
