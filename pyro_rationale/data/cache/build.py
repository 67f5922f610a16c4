"""Arrow files that are made once, by several processes if wanted, and made again when their source has changed.

A file is good for one source as it was (its size and the time of its last change), for one choice of columns and one
way of cutting texts into words. Split, task and range of the targets are decided at every load and can be changed
freely.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from pyro_rationale.data.cache.arrow import ArrowFile, Damaged, Metadata, arrow, facts_path, write_arrow
from pyro_rationale.data.cache.columns import Packed
from pyro_rationale.data.files.text import log
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.parallel import in_processes as in_processes
from pyro_rationale.storage import remove_leftovers, user_path

Progress = Callable[[str, int, int | None], None]
"""Called while texts are cut into words: name of the source, rows done, and rows in all (`None` if unknown)."""

CHUNK = 1000  # rows that a process gets at once, and documents of a record batch


@dataclass(frozen=True)
class Source:
    """Texts of which an Arrow file can be made.

    Attributes:
        name: beginning of the file's name.
        request: what is read, and how; another request has another file.
        state: of the source; a file of another state is replaced.
        chunks: the documents; may add to the metadata that it is given.
        total: rows, if known.
    """

    name: str
    request: Metadata
    state: Metadata
    chunks: Callable[[Metadata], Iterator[Packed]]
    total: int | None = None


def is_cache(folder: str) -> bool:
    """Whether files of a cache are in a folder."""
    return any(facts_path(path).is_file() for path in user_path(folder).glob("*.arrow"))


def cached_file(source: Source, options: DataOptions, progress: Progress | None = None) -> ArrowFile:
    """Open the Arrow file of a source; make it if it is missing, damaged or out of date.

    Of several processes that need the same file, the first makes it, and the others wait for it.

    Args:
        source: the texts.
        options: name the folder (`cache`) and the number of processes (`workers`).
        progress: called while the file is made.

    Raises:
        DataError: The library pyarrow is missing.
    """
    arrow()
    key = hashlib.blake2b(json.dumps(source.request, sort_keys=True).encode(), digest_size=6).hexdigest()
    path = user_path(str(options.cache)) / f"{source.name}-{key}.arrow"
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata: Metadata = {"asked": source.request, "state": source.state}
    with FileLock(path.with_name(f".{path.stem}.lock")):
        file = _existing(path, metadata)
        if file is None:
            for name in (path, facts_path(path)):
                remove_leftovers(name)
            write_arrow(path, _reported(source, metadata, progress), metadata)
            file = ArrowFile(path)
    return file


def _existing(path: Path, metadata: Metadata) -> ArrowFile | None:
    try:
        file = ArrowFile(path)
        if all(file.facts.get(name) == value for name, value in metadata.items()):
            return file
        log.warning("%s: its source has changed since; making it again", path)
    except FileNotFoundError:
        pass
    except Damaged as problem:
        log.warning("%s: damaged (%s); making it again", path, problem)
    return None


def _reported(source: Source, metadata: Metadata, progress: Progress | None) -> Iterator[Packed]:
    done = 0
    for packed in source.chunks(metadata):
        done += packed.rows
        if progress is not None:
            progress(source.name, done, source.total)
        yield packed
