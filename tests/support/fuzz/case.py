"""A case of the fuzzer, and the kinds of cases by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

RUNS = {"one": ["y"], "bin": ["label"], "two": ["y", "z"], "mul": ["cls"]}  # name: target columns
Command = tuple[str, list[str]]


@dataclass
class Case:
    """The commands that are run in a folder that is spoilt already.

    Attributes:
        note: which fault was made.
        files: names of which a refusal must name one; none: whatever it says will do.
        runs: commands with their arguments, one after the other.
        same: two files that are equal if the commands end with status 0.
    """

    note: str
    files: list[str] = field(default_factory=list)
    runs: list[Command] = field(default_factory=list)
    same: tuple[str, str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Base:
    """Small things that are whole, for cases to spoil copies of.

    Attributes:
        folder: holds a table `t.csv` (columns text, y, z, label, cls), finished runs on it, an inspected run and a
            cache, see :mod:`tests.support.fuzz.driver`.
    """

    folder: Path

    def path(self, *parts: str) -> str:
        """A path in the folder."""
        return str(self.folder.joinpath(*parts))


Maker = Callable[[Random, Base], Case]
KINDS: dict[str, Maker] = {}


def kind(maker: Maker) -> Maker:
    """Register a function that makes cases in the current folder, which is empty and its own."""
    KINDS[maker.__name__] = maker
    return maker


TINY = (
    "--steps 2 --hidden 4 --embedding 4 --batch-size 16 --anneal 1 --threads 1 --min-count 1 --quiet "
    "--preset planted --baselines none".split()
)
