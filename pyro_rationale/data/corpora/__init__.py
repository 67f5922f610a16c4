"""The corpora behind `--data`, by name: each public module here registers one as a :class:`CorpusLoader`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.options import DataOptions
from pyro_rationale.registry import Registry


@dataclass(frozen=True)
class CorpusLoader:
    """A corpus that `--data` names.

    Attributes:
        load: reads it; given the targets of a fitted run, labels and ranges are mapped by them.
        layout: patterns of files that must lie in a folder of this kind, by which a folder that is named without its
            kind (`--data FOLDER`) is recognised; empty for a corpus that needs no folder (`--data NAME`).
    """

    load: Callable[[DataOptions, TargetSpec | None], Corpus]
    layout: tuple[str, ...] = ()

    def __call__(self, options: DataOptions, spec: TargetSpec | None = None) -> Corpus:
        """The corpus; see `load`."""
        return self.load(options, spec)


CORPORA: Registry[CorpusLoader] = Registry(
    "corpora", __name__, "--data", ("synthetic", "imdb", "movie-sentences", "vader-movies", "vader-amazon", "beer")
)
