"""Load the corpus that `--data` names: a built-in one, a table, or a folder of files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from pyro_rationale.data.cache.build import Progress, is_cache
from pyro_rationale.data.cache.dataset import ArrowDocuments, target_rows, word_counts
from pyro_rationale.data.corpora import CORPORA, LABEL_OPTIONS, CorpusLoader
from pyro_rationale.data.corpora._cached_table import load_cached_table
from pyro_rationale.data.corpora._pair_table import PAIR_TABLE
from pyro_rationale.data.corpora._table import load_table
from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.document import words_beyond
from pyro_rationale.data.duplicates import without_leaks
from pyro_rationale.data.files.saved_datasets import is_dataset_dict, splits_of
from pyro_rationale.data.files.text import log
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.pairs import SPEC as PAIR_SPEC
from pyro_rationale.data.pairs import PairCorpus, check_queries, check_spec, warn_of_shared
from pyro_rationale.data.text_lengths import FEWEST_WORDS, MOST_WORDS, cut_to, fitting_length
from pyro_rationale.data.title_pairs import with_titles
from pyro_rationale.data.tokenizers import TOKENIZERS
from pyro_rationale.errors import ConfigError, DataError, did_you_mean
from pyro_rationale.storage import user_path
from pyro_rationale.tasks import TASKS, task_of

FROM_MEMORY = "texts"  # stands for `--data` in runs that were fitted to texts handed over in Python

TABLE = CorpusLoader(
    load_table,
    "a CSV, TSV, JSON or Parquet file",
    options=(
        "text_column", "target_column", "rationale_column", "weight_column", "encoding", "separator", "dev_data",
        "test_data", *LABEL_OPTIONS,
    ),
    load_cached=load_cached_table,
)


def load_corpus(
    options: DataOptions,
    spec: TargetSpec | None = None,
    progress: Progress | None = None,
    typed: Collection[str] | None = None,
) -> Corpus:
    """Read the corpus that `options.data` names: one of `CORPORA`, `beer:FOLDER` and the like, or a path.

    A path is that of a table, or of a folder whose files tell which of the known layouts it has. With `options.cache`,
    tables and synthetic reviews are read from Arrow files in that folder. Every corpus is searched for copies between
    its splits, see :mod:`pyro_rationale.data.duplicates`. Without `options.max_words`, the lengths of the texts decide
    how much of them is read: the corpus says how much that is.

    Args:
        options: which texts, read how.
        spec: targets of a fitted run; labels and ranges are then mapped by it, and misfits are errors.
        progress: called while Arrow files are made.
        typed: options that the user set, where the others are those of a run folder: only these are refused if they
            mean nothing for the corpus. Default: any of them is.

    Raises:
        DataError: If there is no such corpus and no such file, or if it cannot be used.
        ConfigError: If the options do not go together.
    """
    if typed is not None and "data" not in typed:
        _check_own_texts(options.data)
    loader = loader_of(options.data)
    if loader is TABLE:
        options = with_saved_splits(options)
    if loader is TABLE and (options.task if spec is None else spec.kind) == PAIR_SPEC.kind:
        loader = PAIR_TABLE
    loader.check(options, typed)
    if typed is not None:
        options = trusted(options, typed)
        if "data" not in typed and loader.fetched is not None and not loader.fetched(options):
            fetching = f"python -m pyro_rationale.evaluate --run RUN --data {options.data}"
            raise DataError(f"{options.data}: not on this machine, and a run folder fetches nothing; {fetching} does")
    others = typed is not None and "data" in typed  # texts that the run was not fitted on
    if loader.pairs:
        return load_pairs(loader, options, spec, others)
    if (options.task if spec is None else spec.kind) == PAIR_SPEC.kind:
        raise _no_pairs(options.data)
    own_task = "task" not in loader.options  # of a ready-made corpus; a task of that family may take its place
    known = replace(spec, kind=TASKS[spec.kind].family or spec.kind) if spec is not None and own_task else spec
    on_disk = loader.load_cached if options.cache is not None else None

    def read(words: int | None) -> Corpus:
        own = replace(options, max_words=words)
        return loader.load(own, known) if on_disk is None else on_disk(own, known, progress)

    chosen = options.max_words
    if chosen is None and options.data == "synthetic":
        chosen = FEWEST_WORDS  # more than any has
    if chosen is None and on_disk is not None:
        corpus = read(None)
        chosen = corpus.max_words
    elif chosen is None:
        corpus = read(MOST_WORDS)
        chosen = fitting_length(corpus)
        corpus = cut_to(corpus, chosen)
    else:
        corpus = read(chosen)
    corpus = replace(corpus, max_words=chosen)
    if own_task:
        corpus = _as_task(corpus, options.task if spec is None else spec.kind)
    if spec is None or others:
        _say_cut(corpus, chosen)
    return without_leaks(replace(corpus, tokenizer=TOKENIZERS[options.tokenizer]), options.drop_leaks)


def _check_own_texts(data: str) -> None:
    """Refuse texts that only the run folder names and that cannot be found, as a table that was moved.

    Raises:
        DataError: the run was fitted in Python, or its file or folder is not there.
    """
    if is_from_memory(data):
        raise DataError("the run was fitted in Python, and its folder holds no texts; name them with --data")
    path = Path(data)
    if ":" not in data and (path.suffix or len(path.parts) > 1) and not user_path(data).exists():
        where = "is not there any more" if path.is_absolute() else f"is not in {Path.cwd()}"
        raise DataError(f"{data}: the run's own table {where}; go to where it is, or name it with --data")


def is_from_memory(data: str) -> bool:
    """Whether the texts of a run with this `data` were handed over in Python, so that no file has them."""
    return data == FROM_MEMORY and not user_path(data).exists()


def with_saved_splits(options: DataOptions) -> DataOptions:
    """The options with the folders of a saved `DatasetDict` as training, development and test data.

    Splits that the options name files for are those files; what neither has is split off.

    Raises:
        DataError: the folder has no training split, or is damaged.
    """
    path = user_path(options.data)
    if not is_dataset_dict(path):
        return options
    splits = splits_of(path)
    dev, test = (str(splits[name]) if name in splits else None for name in ("dev", "test"))
    return replace(
        options, data=str(splits["train"]), dev_data=options.dev_data or dev, test_data=options.test_data or test
    )


def load_pairs(
    loader: CorpusLoader, options: DataOptions, spec: TargetSpec | None, others: bool = False
) -> PairCorpus:
    """Read a corpus of pairs, with as many words of each text as the options say, or as is fitting.

    Args:
        loader: of the corpus.
        options: which texts, read how.
        spec: of a fitted run.
        others: whether the run was fitted on other texts, so that nobody has said yet how many of these are cut.

    Raises:
        DataError: it cannot be used, or the run predicts something else.
        ConfigError: `--task` names another task.
    """
    if options.task not in ("auto", PAIR_SPEC.kind):
        raise ConfigError(f"--task {options.task}: --data {options.data} holds pairs of similar texts; leave it out")
    if options.drop_leaks:
        raise ConfigError(f"--drop-leaks: copies of a text of {options.data} are on one side already; leave it out")
    if options.cache is not None and not loader.of_corpus:
        raise ConfigError(f"--cache: pairs of texts, --data {options.data}, are held in memory; leave it out")
    check_spec(options.data, spec)

    def read(words: int) -> PairCorpus:
        corpus = loader.load(replace(options, max_words=words), spec)
        assert isinstance(corpus, PairCorpus)
        return corpus

    corpus = read(MOST_WORDS if options.max_words is None else options.max_words)
    chosen = fitting_length(corpus) if options.max_words is None else options.max_words
    if options.title_pairs:
        corpus = with_titles(corpus)
    corpus = replace(corpus.cut_to(chosen), max_words=chosen, tokenizer=TOKENIZERS[options.tokenizer])
    if spec is None:
        check_queries(options.data, corpus.queries)
        warn_of_shared(options.data, corpus.queries)
    if spec is None or others:
        _say_cut(corpus, chosen)
    return corpus


def _no_pairs(data: str) -> ConfigError:
    near = f"; --data halves:{data} makes some" if data in CORPORA else ""
    return ConfigError(f"--task {PAIR_SPEC.kind}: --data {data} holds no pairs of similar texts{near}")


def trusted(options: DataOptions, typed: Collection[str]) -> DataOptions:
    """Options of a run folder without those by which it would decide where files are written.

    Args:
        options: of a run folder, save for those that were typed. Its `cache` counts only where it names a folder that
            holds files of a cache already.
        typed: names of the options that the user set.
    """
    if options.cache is None or "cache" in typed or is_cache(options.cache):
        return options
    fetched = CORPORA[options.data].fetched if options.data in CORPORA else None
    if fetched is not None and fetched(options):
        return options
    log.warning("%s: no cache of this machine, and so not used; name one with --cache", options.cache)
    return replace(options, cache=None)


def _as_task(corpus: Corpus, kind: str) -> Corpus:
    """The corpus with another task of its family."""
    if kind in ("auto", corpus.spec.kind):
        return corpus
    if TASKS[kind].family != corpus.spec.kind:
        held = task_of(corpus.spec).describe()
        raise ConfigError(f"--task {kind}: --data {corpus.name} holds {held}; leave it out")
    parts = (corpus.train, corpus.dev, corpus.test)
    targets = np.concatenate([target_rows(part, len(corpus.spec.names)) for part in parts])
    return replace(corpus, spec=TASKS[kind].of_family(corpus.spec, kind, f"--data {corpus.name}", targets))


def _say_cut(corpus: Corpus, max_words: int | None) -> None:
    """Log how many texts are cut, and which share of all words is not read."""
    parts = (corpus.train, corpus.dev, corpus.test)
    files = {part.file.path: part.file.facts for part in parts if isinstance(part, ArrowDocuments)}
    beyond = [words_beyond(d, max_words) for part in parts if not isinstance(part, ArrowDocuments) for d in part]
    cut = sum(map(bool, beyond)) + sum(facts.get("cut", 0) for facts in files.values())
    if cut:
        words = sum(beyond) + sum(facts.get("beyond", 0) for facts in files.values())
        share = 100 * words / (words + sum(map(sum, map(word_counts, parts))))
        texts = sum(map(len, parts))
        log.warning(
            "%s: %d of %d texts have more than --max-words %d, so about %.1f %% of all words are not read",
            corpus.name, cut, texts, max_words, share,
        )  # fmt: skip


def warn_of_ignored(data: str, typed: Collection[str]) -> None:
    """Log which of the options that the user set mean nothing for what `--data` names."""
    for name in loader_of(data).ignored(typed):
        log.warning("--%s: means nothing for --data %s, and changes nothing", name.replace("_", "-"), data)


def holds_pairs(options: DataOptions) -> bool:
    """Whether the options name a corpus of pairs of texts, by `--task` or by what `--data` holds.

    Raises:
        DataError: there is no such corpus and no such file.
    """
    return options.task == PAIR_SPEC.kind or (not is_from_memory(options.data) and loader_of(options.data).pairs)


def loader_of(data: str) -> CorpusLoader:
    """The loader of what `--data` names.

    Raises:
        DataError: If there is no such corpus and no such file, or if a folder could be of several kinds.
    """
    if data in CORPORA:
        return CORPORA[data]
    kind = data.partition(":")[0]
    if kind in CORPORA and (CORPORA[kind].layout or CORPORA[kind].of_corpus):
        return CORPORA[kind]
    path = user_path(data)
    if path.is_dir():
        layouts = {name: loader.layout for name, loader in CORPORA.items() if loader.layout}
        kinds = [name for name, files in layouts.items() if all(any(path.glob(pattern)) for pattern in files)]
        if len(kinds) > 1:
            ways = " or ".join(f"--data {kind}:{data}" for kind in kinds)
            raise DataError(f"--data {data}: could be {' or '.join(kinds)}; say which: {ways}")
        return CORPORA[kinds[0]] if kinds else TABLE
    if path.exists():
        return TABLE
    near = did_you_mean(data, CORPORA)
    hint = f"; {near}" if near else ""
    raise DataError(f"--data {data}: no such file, and none of the corpora {', '.join(CORPORA)}{hint}")
