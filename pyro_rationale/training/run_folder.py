"""Opening a run folder: may a fit begin there, may it go on there, and the files that every run has.

The files themselves are described in :mod:`pyro_rationale.run_files`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.row_digests import DOCUMENT_WEIGHTS, row_digests
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.errors import ConfigError, RunError, in_words
from pyro_rationale.fitted import FittedModel
from pyro_rationale.nn.pretrained_folders import FILES as BASE_FILES
from pyro_rationale.run_files import (
    CALIBRATION,
    CARD,
    CHECKPOINT,
    CONFIG,
    COPY,
    EPOCHS,
    MEMBERS,
    METRICS,
    PRETRAINED,
    READER,
    TEXTS,
    VOCABULARY,
    WEIGHTS,
    check_rows,
    read_config,
    read_rows,
    write_config,
)
from pyro_rationale.storage import MANIFEST, locked, remove_leftovers

MACHINE_OPTIONS = ("device", "threads", "workers", "cache")  # where and how fast a fit runs, not what comes out
AFTERWARDS = ("laplace",)  # what is done with a fit that is trained, and may be asked for then
RESUMABLE_OPTIONS = ("learning_rate", "callback", "log", *AFTERWARDS, *MACHINE_OPTIONS)  # may be changed on resuming


TENSORBOARD = "tensorboard"  # folder of event files, with `--log tensorboard`
COPIES = tuple(f"{COPY}/{name}" for name in BASE_FILES)
# In the order of their removal.
FILES = (
    METRICS, CONFIG, CHECKPOINT, WEIGHTS, CALIBRATION, READER, TEXTS, EPOCHS, VOCABULARY, PRETRAINED, *COPIES, MANIFEST,
)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Context in which no other fit writes to a run folder; of several processes of a fit, that of the main one.

    The lock lies beside the folder, which need not be there yet and may be removed, and leaves nothing behind.

    Raises:
        RunError: another fit is writing to it.
    """
    place = folder.resolve()
    made = [path for path in place.parents if not path.exists()]
    with suppress(OSError):  # no folder can be made there: the fit itself says so
        place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with locked(place.parent / f".{place.name}.lock") as free:
            if not free:
                raise RunError(f"{folder}: another fit is writing to it; wait for its end, or change --out")
            yield
    finally:
        for path in made:
            with suppress(OSError):  # it has become somebody's
                path.rmdir()


def start_run(folder: Path, fitted: FittedModel) -> None:
    """Make the folder and write configuration and vocabulary; the configuration, needed to resume, comes first."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*FILES, CARD):
        remove_leftovers(folder / name)
    write_config(folder, fitted.config, fitted.spec, fitted.vocabulary, fitted.rows)


def clear_run(folder: Path) -> None:
    """Remove a run, so that a kill half-way leaves the old run, or nothing that could be taken for one.

    Raises:
        RunError: there are files, and none of them says that they are of a run.
    """
    check_ours(folder)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    if is_own_card(folder / CARD):
        (folder / CARD).unlink()
    for path in (folder / TENSORBOARD).glob("events.out.tfevents.*"):
        path.unlink()
    for name in (COPY, TENSORBOARD):
        with suppress(OSError):  # there is none, or somebody keeps files of another kind in it
            (folder / name).rmdir()
    clear_members(folder)


def is_own_card(path: Path) -> bool:
    """Whether a file is a model card that a fit wrote, and not somebody's README."""
    return b"\nlibrary_name: pyro_rationale\n" in _beginning(path)


def clear_members(folder: Path) -> None:
    """Remove the members of an ensemble.

    Raises:
        RunError: there are files, and none of them says that they are of a run.
    """
    members = [path for path in (folder / MEMBERS).glob("*") if path.is_dir() and path.name.isdecimal()]
    for member in members:
        clear_run(member)
    with suppress(OSError):
        for path in (*members, folder / MEMBERS):
            path.rmdir()


def check_ours(folder: Path) -> None:
    """Make sure that `--force` removes nothing but a run.

    Raises:
        RunError: files have the names of those of a run, and none of them says that it is one.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is a file; name a folder with --out")
    there = [name for name in FILES if (folder / name).exists()]
    if there and not any(mark in _beginning(folder / name) for name, mark in _MARKS.items()):
        names = ", ".join(there)
        raise RunError(f"{folder}: {names} there may be no files of a run; change --out, or remove them by hand")


# Text near the beginning of a file that only this package writes, damaged further on or not.
_MARKS = {MANIFEST: b"pyro_rationale manifest", CONFIG: b'"torch": "', VOCABULARY: b"pyro_rationale vocabulary"}


def _beginning(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(200)


def check_free(folder: Path) -> None:
    """Make sure that a run can be started in `folder` without overwriting anything.

    Raises:
        RunError: it is no folder, or holds files (those that a killed fit left half-written do not count).
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is a file; name a folder with --out")
    # A kill may have come before the first file that a manifest lists, or the first of an ensemble.
    begun = () if (folder / CONFIG).exists() else (MANIFEST, MEMBERS)
    if folder.exists() and any(path.name not in begun and path.name[0] != "." for path in folder.iterdir()):
        raise RunError(f"{folder}: already holds files; go on with --resume, replace it with --force, or change --out")


def continued(config: Config, folder: Path) -> Config:
    """The configuration to go on with: what it leaves to be chosen is what was chosen for the run in `folder`."""
    if config.is_settled or not (folder / CONFIG).exists():
        return config
    own = read_config(folder)[0].to_dict()
    values = {
        name: own[part][name]
        for part, mine in config.to_dict().items()
        for name, value in mine.items()
        if value in (None, "auto") or name == "preset"
    }
    return config.changed(**values)


def check_same_config(config: Config, folder: Path, trained: bool = False) -> None:
    """Make sure that going on with the run in `folder` under `config` is going on with the same fit.

    Args:
        config: the configuration to go on with.
        folder: the run folder.
        trained: no step is left, even where `metrics.json` is still missing.

    Raises:
        RunError: there is no run.
        ConfigError: an option differs that may not: a run under way takes other `RESUMABLE_OPTIONS`, a trained one
            only other `MACHINE_OPTIONS`, since its weights are those of its learning rate. Either takes more steps,
            unless these do not make it train on; an ensemble takes more members.
    """
    if not (folder / CONFIG).exists():
        raise RunError(f"{folder}: holds no run to resume; start one with the same command without --resume")
    done = trained or (folder / METRICS).exists()
    free = (*AFTERWARDS, *MACHINE_OPTIONS) if done else RESUMABLE_OPTIONS
    for name, known, value in differing_options(read_config(folder)[0], config):
        more = (name == "steps" or (name == "members" and known > 1)) and _is_more(value, known)
        if more and trained and name == "steps":
            why = "--patience has ended it, or its whole epochs are that many already"
            raise ConfigError(f"--steps: {value} add none to the run in {folder}: {why}; fit again with --force")
        if name not in free and not more:
            flag = name.replace("_", "-")
            was, got = in_words(known), in_words(value)
            raise ConfigError(f"--{flag}: the run in {folder} has {was}, got {got}; leave it out to resume")


def is_finished(config: Config, folder: Path) -> bool:
    """Whether a run is finished and `config` wants no more of it."""
    if not (folder / METRICS).exists():
        return False
    train, known = config.train, read_config(folder)[0].train
    added = any(getattr(train, name) != getattr(known, name) for name in AFTERWARDS)
    return not (added or _is_more(train.steps, known.steps) or _is_more(train.members, known.members))


def _is_more(steps: int | None, known: int | None) -> bool:
    return steps is not None and known is not None and steps > known


def check_same_epochs(config: Config, folder: Path, documents: int) -> None:
    """Refuse more steps where a run's epochs were as short as its `--steps`: they would become longer.

    Args:
        config: the configuration to go on with.
        folder: the run folder.
        documents: number of training documents.

    Raises:
        ConfigError: an epoch would have another number of steps.
    """
    known = read_config(folder)[0].train.epoch_of(documents)
    if config.train.epoch_of(documents) != known:
        why = f"the run in {folder} has epochs of {known} steps, which more steps would make longer"
        raise ConfigError(f"--steps: {why}; fit again with --force")


def differing_options(one: Config, other: Config) -> Iterator[tuple[str, Any, Any]]:
    """Name and both values of each option that differs; a default that is given by its value is no difference.

    Neither is the tokenizer of version 0.2 where that of today is asked for: they cut plain texts alike, and
    :func:`stored_vocabulary` finds out where they do not.
    """
    for part, values in other.to_dict().items():
        for name, value in values.items():
            known = one.to_dict()[part][name]
            if name in ("samples", "tau", "entropy"):
                value, known = getattr(other, name), getattr(one, name)
            if value != known and (name, known, value) != ("tokenizer", "words", "unicode"):
                yield name, known, value


def stored_vocabulary(folder: Path, config: Config, corpus: Corpus) -> Vocabulary | None:
    """The vocabulary of a run to resume; behind the frequent words of its texts it may hold those of a list.

    Args:
        folder: the run folder.
        config: of the run.
        corpus: its texts.

    Returns:
        `None` where there is none yet, or one of other texts of which nothing is trained.

    Raises:
        RunError: the run was trained on other texts, or texts cut into other words.
    """
    if not (folder / VOCABULARY).exists():
        return None
    stored = Vocabulary.load(folder / VOCABULARY)
    frequent = Vocabulary.build(corpus.train, config.model.min_count, config.model.vocabulary).words
    if stored.words[: len(frequent)] == frequent:
        return stored
    if has_checkpoint(folder):
        data = config.data.data
        check_rows(folder, row_digests(corpus), data)  # which says of which split
        raise RunError(f"{folder}: {data} has changed since; restore it, or fit again with --force")
    return None


def check_same_corpus(fitted: FittedModel, folder: Path) -> None:
    """Make sure that the corpus is still the one of the run.

    Args:
        fitted: of the corpus as it is now.
        folder: the run folder.

    Raises:
        RunError: what is predicted, the words, or the rows of a split have changed.
    """
    data = fitted.config.data.data
    # Nothing is noted of documents that all weigh 1.
    weighted = {DOCUMENT_WEIGHTS: ""} if DOCUMENT_WEIGHTS in read_rows(folder) else {}
    check_rows(folder, weighted | dict(fitted.rows), data)
    if fitted.spec != read_config(folder)[1] or fitted.vocabulary != Vocabulary.load(folder / VOCABULARY):
        raise RunError(f"{folder}: {data} has changed since; restore it, or fit again with --force")


def has_checkpoint(folder: Path) -> bool:
    """Whether a run can go on from a checkpoint; one that was killed before its first checkpoint has none.

    Raises:
        RunError: the run has had one, and it is gone.
    """
    path = folder / CHECKPOINT
    if path.exists():
        return True
    later = [name for name in (EPOCHS, WEIGHTS, METRICS) if (folder / name).exists()]
    if path.is_symlink() or later:
        why = "a link to nowhere" if path.is_symlink() else f"missing, though there is {later[0]}"
        raise RunError(f"{path}: {why}; restore it, or fit again with --force")
    return False
