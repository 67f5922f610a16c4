"""Grids of fits: each cell is fitted and measured once, then read from its folder; processes share the work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from filelock import FileLock, Timeout

from pyro_rationale.config import Config
from pyro_rationale.data.corpora import CORPORA
from pyro_rationale.errors import RunError, TrainingError
from pyro_rationale.experiments.same_fit import check_same_options
from pyro_rationale.run_files import CONFIG, check_rows
from pyro_rationale.storage import read_json, write_json

FORMAT = 1  # of a result file; raised when older ones can no longer be read
STATES = ("finished", "being made", "interrupted", "missing")
C = TypeVar("C")


class GridRunner(ABC, Generic[C]):
    """Runs the cells of a grid, or reads those that are finished.

    The result file of a cell is written last, so its presence says that the cell is finished. A lock beside the folder
    of a cell goes with the process that holds it.

    Attributes:
        result: name of the result file in the folder of a cell.
        fit: folder of the fit, below that of the cell.
        required: keys of a result file, besides those that this class writes.
    """

    result: ClassVar[str]
    fit: ClassVar[str] = "."
    required: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def folder(self, cell: C) -> Path:
        """Folder of a cell."""

    @abstractmethod
    def config(self, cell: C) -> Config:
        """Configuration of a cell."""

    @abstractmethod
    def measure(self, cell: C, config: Config) -> dict[str, Any]:
        """Fit a cell, or resume its fit, and measure it: what the result file holds.

        The digests of its rows are noted in the manifest of its folder.
        """

    @abstractmethod
    def rows(self, cell: C) -> dict[str, str]:
        """Digests of the rows that the corpus of a cell holds now."""

    def stored_options(self, cell: C, facts: dict[str, Any]) -> Config | dict[str, Any]:
        """Options that a finished cell was made with."""
        options: dict[str, Any] = facts["config"]
        return options

    def fit_folder(self, cell: C) -> Path:
        """Folder of the fit of a cell."""
        return self.folder(cell) / self.fit

    def is_finished(self, cell: C) -> bool:
        """Whether the result file is there."""
        return (self.folder(cell) / self.result).exists()

    def state(self, cell: C) -> str:
        """One of `STATES`."""
        if self.is_finished(cell):
            return STATES[0]
        if self._lock(cell).exists():
            with self.locked(cell) as ours:
                if not ours:
                    return STATES[1]
        return STATES[2] if (self.fit_folder(cell) / CONFIG).exists() else STATES[3]

    def _lock(self, cell: C) -> Path:
        folder = self.folder(cell)
        return folder.with_name(f"{folder.name}.lock")

    @contextmanager
    def locked(self, cell: C, wait: bool = False) -> Iterator[bool]:
        """Hold the lock of a cell; `False` if another process has it and we do not `wait`."""
        path = self._lock(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def run(self, cell: C, wait: bool = False) -> bool:
        """Fit and measure a cell unless it is finished; an interrupted fit is resumed.

        Args:
            cell: of the grid.
            wait: for another process that is making it.

        Returns:
            Whether the cell is finished; `False` if another process is making it and we do not wait.

        Raises:
            RationaleError: the corpus, the configuration or the fit cannot be used, or the folder holds a cell of
                other options.
        """
        config = self.config(cell)
        if not self.is_finished(cell):
            with self.locked(cell, wait) as ours:
                if not ours:
                    return False
                if not self.is_finished(cell):  # another process may have finished it while we waited
                    torch.set_num_threads(config.train.threads or 1)
                    torch.set_flush_denormal(True)
                    self.folder(cell).mkdir(parents=True, exist_ok=True)
                    facts = {"format": FORMAT, **self.measure(cell, config), "config": config.to_dict()}
                    write_json(self.folder(cell) / self.result, facts, listed=True)
                    return True
        self.read(cell)
        if config.data.data not in CORPORA:  # files that may have changed
            check_rows(self.folder(cell), self.rows(cell), config.data.data)
        return True

    def run_all(
        self,
        cells: Sequence[C],
        on_start: Callable[[C], None] = lambda cell: None,
        on_end: Callable[[C, bool], None] = lambda cell, fresh: None,
    ) -> list[tuple[C, str]]:
        """Run cells one after another; those that other processes hold are tried again at the end.

        Args:
            cells: of the grid.
            on_start: called with each cell before it is run.
            on_end: called with each cell that is done with, and whether it was not finished before.

        Returns:
            Cells that are not finished, and why.
        """
        failed: list[tuple[C, str]] = []
        waiting = list(cells)
        while waiting:
            busy = []
            for cell in waiting:
                on_start(cell)
                fresh = not self.is_finished(cell)
                try:
                    if not self.run(cell):
                        busy.append(cell)
                        continue
                except TrainingError as problem:  # one fit that diverged is no reason to lose the night
                    failed.append((cell, str(problem)))
                on_end(cell, fresh)
            if len(busy) == len(waiting):  # other processes are at work on all that is left
                return [*failed, *((cell, "another process is at it; run again for the tables") for cell in busy)]
            waiting = busy
        return failed

    def read(self, cell: C) -> dict[str, Any]:
        """Contents of the result file of a finished cell.

        Raises:
            RunError: the file is damaged or of another version.
            ConfigError: the cell was made with other options.
        """
        path = self.folder(cell) / self.result
        facts = read_json(path)
        if not isinstance(facts, dict) or facts.get("format", FORMAT) != FORMAT or not self.required <= facts.keys():
            raise RunError(f"{path}: no cell of this version; delete {path.parent} and run again")
        check_same_options(self.stored_options(cell, facts), self.config(cell), path.parent)
        return facts
