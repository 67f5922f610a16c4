"""Options of a fit from a file: TOML written by hand, or the configuration that a run folder keeps."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from pyro_rationale.config import PARTS, ModelOptions, TrainOptions
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError, did_you_mean
from pyro_rationale.options import decode, with_given
from pyro_rationale.storage import read_toml

Parts = tuple[DataOptions, ModelOptions, TrainOptions]


def with_config_file(flags: Parts, typed: set[str], path: Path) -> tuple[Parts, set[str]]:
    """Options of a file with the flags that the user typed, and the names of all options that either gives.

    Args:
        flags: from the command line.
        typed: names of those that the user gave.
        path: a TOML file, a run folder, or its `config.json`.

    Raises:
        ConfigError: it cannot be read, or holds what is no option; names the file. Or a flag would change nothing.
        RunError: it is the configuration of no run of this version.
    """
    if path.is_dir() or path.suffix == ".json":
        base, names = _of_run(path)
        if "preset" in typed and flags[1].preset != base[1].preset:  # it leaves given options as they are
            raise ConfigError(f"--preset: {path} gives all options that a preset chooses; leave one of them out")
    else:
        base, names = _of_toml(path)
    data, model, train = (with_given(own, part, typed) for own, part in zip(base, flags, strict=True))
    return (data, model, train), typed | names


def _of_run(path: Path) -> tuple[list[Any], set[str]]:
    from pyro_rationale.run_files import CONFIG, read_config

    folder = path if path.is_dir() else path.parent
    if path not in (folder, folder / CONFIG):
        raise ConfigError(f"--config {path}: is no {CONFIG} of a run; name that, its folder, or a TOML file")
    config = read_config(folder)[0]
    parts: list[Any] = [config.data, config.model, config.train]
    return parts, {item.name for part in parts for item in fields(part)}


def _of_toml(path: Path) -> tuple[list[Any], set[str]]:
    values = read_toml(path, f"--config {path}", "name a TOML file or a run folder")
    owners = {item.name: name for name, kind in PARTS.items() for item in fields(kind)}
    found: dict[str, dict[str, Any]] = {name: {} for name in PARTS}
    given: list[tuple[str | None, str, Any]] = []
    for key, value in values.items():
        own = key in PARTS and isinstance(value, dict)
        given += [(key, *pair) for pair in value.items()] if own else [(None, key, value)]
    for part, key, value in given:
        name = key.replace("-", "_")
        owner = owners.get(name)
        if owner is None or part not in (None, owner):
            hint = f"it belongs under [{owner}]" if owner else did_you_mean(name, [*owners, *PARTS])
            where = f" of [{part}]" if part else ""
            raise ConfigError(f"--config {path}: {key} is no option{where}{f'; {hint}' if hint else ''}")
        if name in found[owner]:
            raise ConfigError(f"--config {path}: {name} stands there twice; leave one out")
        found[owner][name] = value
    parts = [decode(kind, found[name], f"--config {path}: ") for name, kind in PARTS.items()]
    return parts, {name for some in found.values() for name in some}
