"""Texts in, batches out: corpora behind one option, vocabulary, word vectors, batching. No networks, no Pyro."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches, encode_batch
from pyro_rationale.data.corpus import Corpus, Document, TargetSpec
from pyro_rationale.data.leaks import without_leaks
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.errors import ConfigError, DataError

Loader = Callable[[DataOptions, "TargetSpec | None"], Corpus]


def _lazy(module: str, function: str) -> Loader:
    """A loader whose module, with whatever it needs, is imported when it is used."""

    def load(options: DataOptions, spec: TargetSpec | None = None) -> Corpus:
        return getattr(import_module(f"{__name__}.{module}"), function)(options, spec)

    return load


CORPORA: dict[str, Loader] = {
    "synthetic": _lazy("synthetic", "load_synthetic"),
    "imdb": _lazy("movie_reviews", "load_imdb"),
    "movie-sentences": _lazy("movie_reviews", "load_movie_sentences"),
    "vader-movies": _lazy("vader", "load_vader_movies"),
    "vader-amazon": _lazy("vader", "load_vader_amazon"),
    "beer": _lazy("beer", "load_beer"),
}
_load_path = _lazy("tabular", "load_tabular")


def load_corpus(options: DataOptions, spec: TargetSpec | None = None) -> Corpus:
    """Read the corpus that `options.data` names: one of `CORPORA`, `beer:FOLDER`, or the path of a table.

    Every corpus is looked through for copies between its splits, see :mod:`pyro_rationale.data.leaks`.

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
    if options.data.startswith("beer:"):
        return CORPORA["beer"](options, spec)
    path = Path(options.data).expanduser()
    if path.is_dir():
        load = CORPORA["beer"] if any(path.glob("reviews.*.txt*")) else _load_path
        return load(options, spec)
    if path.exists():
        return _load_path(options, spec)
    near = get_close_matches(options.data, CORPORA, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise DataError(f"--data {options.data}: no such file, and none of the corpora {', '.join(CORPORA)}{hint}")


__all__ = [
    "CORPORA",
    "Batch",
    "BucketedBatches",
    "Corpus",
    "DataOptions",
    "Document",
    "TargetSpec",
    "Vocabulary",
    "encode_batch",
    "load_corpus",
]
