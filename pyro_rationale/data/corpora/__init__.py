"""The corpora behind `--data`, by name: each public module here registers one as a :class:`CorpusLoader`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from pyro_rationale.data.files.text import exists
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.registry import Registry
from pyro_rationale.storage import user_path

if TYPE_CHECKING:
    from pyro_rationale.data.corpus import Corpus, TargetSpec
    from pyro_rationale.data.options import DataOptions

# Options that mean the same for every corpus.
_COMMON = ("data", "max_words", "tokenizer", "split_seed", "drop_leaks", "skip_bad_rows", "cache", "workers")
_MADE_UP = ("documents", "noise", "correlation", "ambiguity")  # of texts that are made up
LABEL_OPTIONS = ("task", "target_range")  # of corpora whose targets are read off their labels


@dataclass(frozen=True)
class CorpusLoader:
    """A corpus that `--data` names.

    Attributes:
        load: reads it; given the targets of a fitted run, labels and ranges are mapped by them. Raises DataError, with
            file, place and remedy, if the data cannot be used, and ConfigError if the options do not go together.
        title: what the corpus is, in one line.
        options: fields of :class:`pyro_rationale.data.options.DataOptions` that mean something for this corpus, beside
            those that mean the same for every corpus.
        layout: patterns of files that must lie in a folder of this kind, by which a folder that is named without its
            kind (`--data FOLDER`) is recognised; empty for a corpus that needs no folder (`--data NAME`).
        load_cached: reads it from Arrow files in the folder `options.cache`, which it makes if necessary; its last
            argument is called with the progress. `None` for a corpus that is always held in memory.
        fetched: whether its files are on this machine already; `None` for a corpus that is never fetched.
        pairs: whether it is a :class:`~pyro_rationale.data.pairs.PairCorpus`.
        of_corpus: whether it is made of another corpus, `--data NAME:CORPUS`.
    """

    load: Callable[[DataOptions, TargetSpec | None], Corpus]
    title: str = ""
    options: tuple[str, ...] = ()
    layout: tuple[str, ...] = ()
    load_cached: Callable[..., Corpus] | None = None
    fetched: Callable[[DataOptions], bool] | None = None
    pairs: bool = False
    of_corpus: bool = False

    def unused(self, options: DataOptions) -> list[str]:
        """Fields of `options` that are set and mean nothing for this corpus.

        Fields with a default of their own do not count: :meth:`ignored` names those that matter.
        """
        own = (*_COMMON, *self.options)
        optional = [item.name for item in fields(options) if item.name not in own and item.default in (None, ())]
        return [name for name in optional if getattr(options, name)]

    def ignored(self, typed: Collection[str]) -> list[str]:
        """Options about made-up texts, or titles, that the user set for texts that are not made up, or have none.

        They are worth a warning, and no error: scripts may give them whatever the corpus.

        Args:
            typed: names of the options that the user set.
        """
        names = (*_MADE_UP, "title_pairs")
        return [] if self.of_corpus else [name for name in names if name in typed and name not in self.options]

    def check(self, options: DataOptions, typed: Collection[str] | None = None) -> None:
        """Refuse options that mean nothing for this corpus.

        Args:
            options: which texts, read how.
            typed: the options to look at; default: all. Others are of a run folder, and perhaps of an older version.

        Raises:
            ConfigError: If one is set.
        """
        for name in self.unused(options):
            if typed is not None and name not in typed:
                continue
            flag = name.replace("_", "-")
            raise ConfigError(f"--{flag}: means nothing for --data {options.data}; leave it out")


CORPORA: Registry[CorpusLoader] = Registry(
    "corpora", __name__, "--data", ("synthetic", "imdb", "movie-sentences", "vader-movies", "vader-amazon", "beer")
)


def find_file(folder: Path, names: Iterable[str], given: str | None = None) -> Path | None:
    """The file that an option gives, or else the first of `names` that is in the folder; `None` if there is none.

    Raises:
        DataError: If one is there and is no file that can be read.
    """
    if given:
        return user_path(given)
    return next((folder / name for name in names if exists(folder / name)), None)


def aspect_number(aspect: str | None, names: Sequence[str], others: Mapping[str, int]) -> int:
    """Number of the aspect that `--aspect` gives by its name or number; `None` is the first.

    Args:
        aspect: in any case.
        names: of the aspects.
        others: further names, with their numbers.

    Raises:
        ConfigError: If there is no such aspect.
    """
    name = "0" if aspect is None else aspect.strip().lower()
    numbers = {known: i for i, known in enumerate(names)} | dict(others)
    if name not in {*numbers, *map(str, range(len(names)))}:
        expected = f"{', '.join(numbers)}, or a number from 0 to {len(names) - 1}"
        raise ConfigError(f"--aspect {aspect}: expected one of {expected}")
    return numbers[name] if name in numbers else int(name)


def data_path(options: DataOptions, name: str) -> Path:
    """The path behind `name:` in `options.data`.

    Raises:
        ConfigError: If there is none.
        DataError: If nothing is there.
    """
    source = "" if options.data == name else options.data.removeprefix(f"{name}:")
    if not source:
        raise ConfigError(f"--data {name}: is not shipped; give yours as --data {name}:FOLDER")
    path = user_path(source)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give the data as --data {name}:FOLDER")
    return path


def data_folder(options: DataOptions, name: str, holds: str) -> Path:
    """The folder behind `name:` in `options.data`.

    Args:
        options: of the corpus.
        name: of its loader.
        holds: what the folder has in it, for people.

    Raises:
        ConfigError: none is named, or a file.
        DataError: nothing is there.
    """
    folder = data_path(options, name)
    if not folder.is_dir():
        raise ConfigError(f"--data {name}:{folder}: name the folder that holds {holds}")
    return folder
