"""Texts in, batches out: corpora behind one option, vocabulary, word vectors, batching. No networks, no Pyro."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches, encode_batch
from pyro_rationale.data.corpora import CORPORA, CorpusLoader
from pyro_rationale.data.corpora._table import load_tabular
from pyro_rationale.data.corpus import Corpus, Document, TargetSpec
from pyro_rationale.data.duplicates import without_leaks
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.errors import ConfigError, DataError


def load_corpus(options: DataOptions, spec: TargetSpec | None = None) -> Corpus:
    """Read the corpus that `options.data` names: one of `CORPORA`, `beer:FOLDER` and the like, or a path.

    A path is that of a table, or of a folder whose files tell which of the known layouts it has.

    Every corpus is looked through for copies between its splits, see :mod:`pyro_rationale.data.duplicates`.

    Args:
        options: which texts, read how.
        spec: targets of a fitted run; labels and ranges are then mapped by it, and misfits are errors.

    Raises:
        DataError: If there is no such corpus and no such file, or if it cannot be used.
        ConfigError: If the options do not go together.
    """
    if options.max_words < 1:
        raise ConfigError(f"--max-words: expected at least 1, got {options.max_words}")
    return without_leaks(_read(options, spec), options.drop_leaks)


def _read(options: DataOptions, spec: TargetSpec | None) -> Corpus:
    if options.data in CORPORA:
        return CORPORA[options.data](options, spec)
    kind = options.data.partition(":")[0]
    if kind in CORPORA and CORPORA[kind].layout:
        return CORPORA[kind](options, spec)
    path = Path(options.data).expanduser()
    if path.is_dir():
        layouts = {name: loader.layout for name, loader in CORPORA.items() if loader.layout}
        kinds = [name for name, files in layouts.items() if all(any(path.glob(pattern)) for pattern in files)]
        if len(kinds) > 1:
            ways = " or ".join(f"--data {kind}:{options.data}" for kind in kinds)
            raise DataError(f"--data {options.data}: could be {' or '.join(kinds)}; say which: {ways}")
        return CORPORA[kinds[0]](options, spec) if kinds else load_tabular(options, spec)
    if path.exists():
        return load_tabular(options, spec)
    near = get_close_matches(options.data, list(CORPORA), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise DataError(f"--data {options.data}: no such file, and none of the corpora {', '.join(CORPORA)}{hint}")


__all__ = [
    "CORPORA",
    "Batch",
    "BucketedBatches",
    "Corpus",
    "CorpusLoader",
    "DataOptions",
    "Document",
    "TargetSpec",
    "Vocabulary",
    "encode_batch",
    "load_corpus",
]
