"""Files that commands write: refused before any work where they cannot be written, or where something would be lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.options import STANDARD_OUTPUT
from pyro_rationale.storage import MANIFEST, content_of, parse_json, read_manifest

# Parameters, and entries of a run's configuration, that are texts and may name files. Those that are paths are known by
# their type; a column or a split may have the name of a file by chance.
SOURCES = ("source", "data", "dev_data", "test_data", "annotations", "vectors", "pretrained", "lexicon")
# Not imported from run_files, which imports torch, while a wrong flag shall be told at once.
CONFIG, COPY = "config.json", "pretrained"


def check_output(name: str, path: Path | None) -> None:
    """Refuse a file that cannot be written, or that the command reads, before any work is done.

    An earlier result is replaced without a word; what the command that is running reads, or writes under another
    option, and the files of any run are not.

    Args:
        name: the flag that names it, as `--json`.
        path: the file; `-` for standard output, `None` for none.

    Raises:
        ConfigError: its folder does not exist, it is a folder, or something else would be lost.
    """
    if path in (None, STANDARD_OUTPUT):
        return
    assert path is not None
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{name} {path}: there is no such folder to write into; make it first")
    if path.is_dir():
        raise ConfigError(f"{name} {path}: is a folder; name a file in it")
    if path.exists() and not path.is_file():  # a device or a pipe, of which nothing is lost
        return
    context = click.get_current_context(silent=True)
    for what, other, is_data in () if context is None else _named(context, name):
        if _same(path, other):
            raise ConfigError(f"{name} {path}: is the file that {what}, and would be replaced; name another one")
        if is_data and path.exists() and other.is_dir() and path.resolve().is_relative_to(other.resolve()):
            raise ConfigError(f"{name} {path}: is in the folder that {what}, and would be replaced; name another one")
    if _is_listed(path):
        raise ConfigError(
            f"{name} {path}: is a file of the run or index in {path.absolute().parent}, which is unreadable without "
            "it; name another file"
        )


def _named(context: click.Context, name: str) -> Iterator[tuple[str, Path, bool]]:
    """Files that the other parameters of the command name, and those that the runs among them were fitted on.

    Each in words, with the path, and whether it is read as data, for which a folder counts with all that it holds; of
    a run only what is listed does, for its folder holds results as well.
    """
    for param in context.command.params:
        if name in param.opts or param.name is None:
            continue
        is_path = isinstance(param.type, click.Path)
        if not is_path and param.name not in SOURCES:
            continue
        flag = param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
        value = context.params.get(param.name)
        for item in value if isinstance(value, (tuple, list)) else (value,):
            for path in _paths(item):
                if is_path or path.exists():
                    yield f"{flag} names", path, not is_path
                if is_path:
                    yield from _read_by_run(path)


def _read_by_run(folder: Path) -> Iterator[tuple[str, Path, bool]]:
    """The files that a run was fitted on, which commands read where `--data` is not given."""
    try:
        own: dict[str, Any] = parse_json(content_of(folder / CONFIG))["config"]
        values = [part[name] for part in own.values() for name in SOURCES if name in part]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # no run, or a damaged one, of which the command itself tells
    for value in values:
        yield from ((f"the run in {folder} was fitted on", path, True) for path in _paths(value) if path.exists())


def _paths(value: object) -> Iterator[Path]:
    """The paths that a value may mean: itself, `FOLDER` of `beer:FOLDER`, and the parts of `glove+FILE`."""
    if isinstance(value, (str, Path)) and str(value) not in ("", "-"):
        text = str(value)
        parts = [text]
        if isinstance(value, str):
            parts += [text.partition(":")[2], *(text.split("+") if "+" in text and not os.path.exists(text) else ())]
        for part in parts:
            if part:
                yield Path(os.path.expanduser(part))  # leaves the name of an unknown user, which is no error here


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one file, by whichever links, or would be."""
    try:
        if one.exists() and other.exists():
            return one.samefile(other)
        return one.resolve() == other.resolve()
    except (OSError, ValueError):
        return False


def _is_listed(path: Path) -> bool:
    """Whether a run or an index lists a file, or keeps it with the copy of its transformer."""
    place = path.resolve()
    if not place.exists():
        return False
    if place.parent.name == COPY and (place.parent.parent / MANIFEST).is_file():
        return True
    try:
        listed = read_manifest(place.parent)["files"]
    except RunError:  # the manifest of some other program
        return False
    return place.name in listed or (place.name == MANIFEST and bool(listed))
