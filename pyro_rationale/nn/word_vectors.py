"""Word vectors from a pretrained transformer that reads each word of a vocabulary alone.

An encoder over kept words must not read states of the whole text, which tell of the words that were dropped. What a
transformer makes of a single word tells of nothing else, and holds more of the word's meaning than count-based vectors
of a few dozen numbers do (Tulkens and van Dongen, Model2Vec, 2024).
"""

from __future__ import annotations

import os

import torch
from torch import Tensor

from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.data.vectors import WordVectors, load_vectors
from pyro_rationale.data.vocabulary import PADDING, UNKNOWN, Vocabulary
from pyro_rationale.errors import ConfigError
from pyro_rationale.nn.pieces import Pieces, batches_by_pieces
from pyro_rationale.nn.pretrained import Transformer
from pyro_rationale.nn.pretrained_folders import find_base, find_folder, is_transformer

WIDTH = 100  # numbers per word; 200 read no better
SPREAD = 0.6  # standard deviation of a number, that of GloVe's


def find_vectors(source: str | os.PathLike[str], vocabulary: Vocabulary) -> WordVectors:
    """Vectors of a vocabulary's words, by the name that `--vectors` gives.

    Args:
        source: what :func:`~pyro_rationale.data.vectors.load_vectors` takes, or a pretrained transformer: `minilm`, or
            a folder as `--pretrained` takes it.
        vocabulary: the words.

    Raises:
        ConfigError: a transformer that is not installed, or a folder that holds none.
        DataError: vectors that cannot be read.
    """
    if str(source) != "glove" and is_transformer(str(source)):
        return transformer_vectors(str(source), vocabulary)
    return load_vectors(source, vocabulary)


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
    return WordVectors(matrix, real, float(real.sum()) / max(len(vocabulary) - 2, 1))


def _known(pieces: Pieces, count: int) -> Tensor:
    """Whether a transformer knows a piece of each word, bool `(count,)`; padding and the unknown word are none."""
    ids, lengths = pieces.of(torch.arange(count))
    known = ((ids != pieces.unknown) & (torch.arange(ids.shape[1]) < lengths[:, None])).any(1)
    known[[PADDING, UNKNOWN]] = False
    return known


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
