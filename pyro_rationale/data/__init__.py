"""Texts in, batches out: corpora behind one option, vocabulary, word vectors, batching. No networks, no Pyro."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches, encode_batch
from pyro_rationale.data.corpus import Corpus, Document, TargetSpec
from pyro_rationale.data.duplicates import without_leaks
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
    "eraser": _lazy("eraser", "load_eraser"),
    "r2a": _lazy("r2a", "load_r2a"),
    "hatexplain": _lazy("hatexplain", "load_hatexplain"),
    "yelp-hat": _lazy("human_maps", "load_yelp_hat"),
}
# Of folders that are named without their kind: what must lie in them.
_LAYOUTS: dict[str, tuple[str, ...]] = {
    "beer": ("reviews.*.txt*",),
    "eraser": ("train.jsonl*", "docs*"),
    "r2a": ("*.train",),
    "hatexplain": ("dataset.json", "post_id_divisions.json"),
    "yelp-hat": ("ham_part*.csv",),
}
_load_path = _lazy("tabular", "load_tabular")


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
    if kind in _LAYOUTS:
        return CORPORA[kind](options, spec)
    path = Path(options.data).expanduser()
    if path.is_dir():
        kinds = [name for name, files in _LAYOUTS.items() if all(any(path.glob(pattern)) for pattern in files)]
        if len(kinds) > 1:
            ways = " or ".join(f"--data {kind}:{options.data}" for kind in kinds)
            raise DataError(f"--data {options.data}: could be {' or '.join(kinds)}; say which: {ways}")
        load = CORPORA[kinds[0]] if kinds else _load_path
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
