"""Documents that a fitted run is evaluated on: of its own corpus, or of another that flags name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from pyro_rationale.data.files.text import log
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.options import with_given
from pyro_rationale.storage import user_path

if TYPE_CHECKING:
    from pyro_rationale.data.corpus import Corpus, Document, TargetSpec

# Options that name files, or say how one is written: those of the run must not be mixed with another --data.
FILES = ("data", "dev_data", "test_data", "annotations", "encoding", "separator", "header")


@dataclass(frozen=True)
class Selection:
    """Documents to evaluate on.

    Attributes:
        documents: those of the split.
        corpus: what they are part of.
        options: how it was read.
        split: `train`, `dev`, `test` or `all`.
        foreign: whether the run was fitted on no split of the corpus.
        as_fitted: whether corpus and splits are those of the run, or the documents are, wherever they lie now.
    """

    documents: Sequence[Document]
    corpus: Corpus
    options: DataOptions
    split: str
    foreign: bool
    as_fitted: bool

    def with_targets(self) -> list[Document]:
        """The documents that have a target.

        Raises:
            DataError: there are none.
        """
        documents = [d for d in self.documents if d.has_target]
        if not documents:
            raise DataError(f"--split {self.split}: no document of {self.options.data} has a target to compare with")
        return documents


def select_documents(
    run: DataOptions,
    flags: DataOptions,
    given: set[str],
    split: str,
    spec: TargetSpec,
    rows: Mapping[str, str] = MappingProxyType({}),
) -> Selection:
    """Read the documents of one split of a run's corpus, or of the corpus that flags name.

    Args:
        run: options of the run.
        flags: options of the command line.
        given: names of the options that the user set; the others are those of the run.
        split: `train`, `dev`, `test`, `all`, or `auto`: the test split, or all of a file that the run was not fitted
            on.
        spec: targets of the run.
        rows: digests of the rows that the run was fitted on, by split; empty for runs of older versions.

    Raises:
        ConfigError: an option contradicts the run, or names a column of rationales that holds none.
        DataError: the corpus cannot be read, the split is empty, or it is no longer that of the run, so that texts of
            the training split may be in it.
    """
    from pyro_rationale.data import load_corpus
    from pyro_rationale.data.row_digests import row_digests

    options = override(run, flags, given)
    _check_meant(options, given, run, spec)
    corpus = load_corpus(options, spec, typed=given)

    @cache
    def is_known(part: str) -> bool:
        return part in rows and row_digests(corpus, [part])[part] == rows[part]

    # The run's own table may lie elsewhere than it did; no texts at all are not known again.
    foreign = is_foreign(options, run) and not (corpus.test and is_known("test"))
    if split == "auto":
        split = "all" if foreign else "test"
    as_fitted, same = _as_read(options) == _as_read(run), is_known(split)
    if split in rows and as_fitted and not same:
        remedy = "restore it, give texts as a file of their own with --data, or take --split all"
        raise DataError(f"{options.data}: has changed since the fit, and its {split} split is another; {remedy}")
    documents = documents_of(corpus, split)
    column = options.rationale_column if "rationale_column" in given else "none"
    if column != "none" and all(document.gold is None for document in documents):
        what = f"--rationale-column {column}: no text of {options.data} has a rationale there"
        raise ConfigError(f"{what}; name another, or leave it out")
    return Selection(documents, corpus, options, split, foreign, as_fitted or same)


def _check_meant(options: DataOptions, given: set[str], run: DataOptions, spec: TargetSpec) -> None:
    """Refuse what would contradict the run, and log what changes nothing.

    Args:
        options: by which a corpus is read.
        given: names of those that the user set.
        run: options of the run.
        spec: targets of the run.

    Raises:
        ConfigError: another task or another scale than that of the run.
    """
    from pyro_rationale.data.loading import warn_of_ignored
    from pyro_rationale.tasks import task_of

    if "task" in given and options.task not in ("auto", spec.kind):
        raise ConfigError(f"--task {options.task}: the run predicts {task_of(spec).describe()}; leave it out")
    if "target_range" in given and {options.target_range} != set(spec.ranges):
        scale = " to ".join(f"{end:g}" for end in options.target_range or ())
        raise ConfigError(f"--target-range {scale}: the run predicts {task_of(spec).describe()}; leave it out")
    if "weight_column" in given and options.weight_column != run.weight_column:
        log.warning("--weight-column: weights are for fits, and here every text counts alike")
    with suppress(DataError):
        warn_of_ignored(options.data, given)


def _as_read(options: DataOptions) -> DataOptions:
    """Options without those that leave the documents as they are."""
    return replace(options, cache=None, workers=1)


def override(run: DataOptions, flags: DataOptions, given: set[str]) -> DataOptions:
    """The run's options with those that the user set; another corpus takes over only those that it has."""
    from pyro_rationale.data.loading import loader_of, trusted

    base = run = trusted(run, given)
    if "data" in given and flags.data != run.data:
        unused: list[str] = []
        with suppress(DataError):  # there is no such corpus: loading it says so
            unused = loader_of(flags.data).unused(run)
        # Titles and bodies that a run was trained on as pairs are no questions to be evaluated on elsewhere.
        base = with_given(run, DataOptions(), {*FILES, *unused, "title_pairs"})
    return with_given(base, flags, given & {f.name for f in fields(DataOptions)})


def is_foreign(options: DataOptions, run: DataOptions) -> bool:
    """Whether the data are a table of their own, no split of which the run was fitted on."""
    from pyro_rationale.data.corpora import CORPORA

    path, fitted_on = user_path(options.data), user_path(run.data)
    return options.data not in CORPORA and path.is_file() and path.resolve() != fitted_on.resolve()


def documents_of(corpus: Corpus, split: str) -> Sequence[Document]:
    """One split, or all three.

    Raises:
        DataError: there is nothing in it.
    """
    parts = (corpus.train, corpus.dev, corpus.test)
    documents = [d for part in parts for d in part] if split == "all" else getattr(corpus, split)
    if not documents:
        raise DataError(f"{corpus.name}: no document in the {split} split; try --split all")
    return documents
