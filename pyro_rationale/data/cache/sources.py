"""Arrow files that are made once, in parallel and with a progress bar, and made again when their source has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pyro_rationale.data.cache.arrow import ArrowFile, Damaged, Metadata, arrow, write_arrow
from pyro_rationale.data.cache.columns import Packed
from pyro_rationale.data.files.text import log
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError


def kept(
    options: DataOptions, name: str, asked: Metadata, state: Metadata, chunks: Callable[[Metadata], Iterator[Packed]]
) -> ArrowFile:
    """The Arrow file for what is asked, if it is there and its source is as it was; else it is made.

    Args:
        options: name the folder and how many processes.
        name: beginning of the file's name.
        asked: what is read how; other questions have other files.
        state: of the source; a file of another state is replaced.
        chunks: the documents; notes facts about them as it goes.
    """
    if options.workers < 1:
        raise ConfigError(f"--workers: expected at least 1, got {options.workers}")
    arrow()
    key = hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=6).hexdigest()
    path = Path(str(options.cache)).expanduser() / f"{name}-{key}.arrow"
    path.parent.mkdir(parents=True, exist_ok=True)
    with _turn(path):
        return _found(path, asked, state) or _made(path, asked, state, chunks)


def _found(path: Path, asked: Metadata, state: Metadata) -> ArrowFile | None:
    try:
        file = ArrowFile(path)
        if (file.facts.get("asked"), file.facts.get("state")) == (asked, state):
            return file
        log.warning("%s: its source has changed since; making it again", path)
    except FileNotFoundError:
        pass
    except Damaged as problem:
        log.warning("%s: damaged (%s); making it again", path, problem)
    return None


def _made(path: Path, asked: Metadata, state: Metadata, chunks: Callable[[Metadata], Iterator[Packed]]) -> ArrowFile:
    for left in path.parent.glob(f".{path.name}.*"):  # by a process that was killed
        left.unlink(missing_ok=True)
    facts: Metadata = {"asked": asked, "state": state}
    write_arrow(path, chunks(facts), facts)
    return ArrowFile(path)


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Alone among the processes that want the same file: the first makes it, the others wait and find it."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows: each makes it, and the last one stays
        yield
        return
    with path.with_name(f".{path.stem}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def watched(chunks: Iterator[Packed], name: str, total: int | None) -> Iterator[Packed]:
    """The same, with a bar on a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(f"cutting {name} into words", total=total)
        for packed in chunks:
            bar.advance(task, packed.rows)
            yield packed
