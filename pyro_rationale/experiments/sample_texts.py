"""A corpus of fewer texts, for benchmarks and studies whose fits would take too long on all of them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pyro_rationale.data import load_corpus
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError, DataError


def read_texts(table: Mapping[str, Any], where: str) -> int | None:
    """How many texts of a corpus are read at most, `texts = 10000` in its table; `None`: all.

    Raises:
        ConfigError: it is no such number.
    """
    texts = table.get("texts")
    if texts is not None and (type(texts) is not int or texts < 10):
        raise ConfigError(f"{where}.texts: expected a whole number from 10, got {texts!r}")
    return texts


def read_corpus(name: str, options: DataOptions, most: int | None, splits: Sequence[str]) -> Corpus:
    """The corpus of a benchmark or study.

    Args:
        name: its own, for messages.
        options: which texts, read how.
        most: so many of them at most.
        splits: that must hold texts.

    Raises:
        DataError: it cannot be read, or one of these splits is empty.
    """
    corpus = sample_texts(load_corpus(options), most, options.split_seed)
    for split in splits:
        if not getattr(corpus, split):
            raise DataError(f"corpora.{name}: no text in the {split} split; name a file for it")
    return corpus


def sample_texts(corpus: Corpus, most: int | None, seed: int) -> Corpus:
    """A corpus of so many texts at most, of all splits in proportion; which ones is drawn, their order stays."""
    count = sum(len(getattr(corpus, split)) for split in ("train", "dev", "test"))
    if most is None or most >= count:
        return corpus
    rng, share = random.Random(seed), most / count

    def some(documents: Sequence[Document]) -> tuple[Document, ...]:
        chosen = rng.sample(range(len(documents)), round(share * len(documents)))
        return tuple(documents[i] for i in sorted(chosen))

    return replace(corpus, train=some(corpus.train), dev=some(corpus.dev), test=some(corpus.test))
