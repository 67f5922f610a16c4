"""Checks that a fit in a folder is the one that is requested; a fit of other options is refused, never reused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.row_digests import row_digests
from pyro_rationale.errors import ConfigError, in_words
from pyro_rationale.run_files import CONFIG, check_rows, read_config
from pyro_rationale.training.run_folder import MACHINE_OPTIONS, differing_options

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def check_same_options(stored: Config | dict[str, Any], config: Config, folder: Path) -> None:
    """Refuse a stored result that was made with other options than `config`.

    Args:
        stored: options of the result, as `Config.to_dict` wrote them; options that are younger than the file had
            their defaults.
        config: options that are requested.
        folder: of the result, for the message.

    Raises:
        ConfigError: an option differs that is not one of `MACHINE_OPTIONS`.
    """
    made = stored if isinstance(stored, Config) else Config.from_dict(stored)
    for name, known, value in differing_options(made, config):
        if name not in MACHINE_OPTIONS:
            raise ConfigError(
                f"{folder}: was made with {name} = {in_words(known)}, and {in_words(value)} is requested; name another "
                "folder, or delete this one"
            )


def check_same_settings(stored: Mapping[str, Any], settings: DataclassInstance, folder: Path) -> None:
    """Refuse a stored result that was made with other settings of the method's own; see `check_same_options`.

    Args:
        stored: settings of the result; those that are younger than the file had their defaults.
        settings: that are requested.
        folder: of the result, for the message.

    Raises:
        ConfigError: one differs.
    """
    for item in fields(settings):
        known, value = stored.get(item.name, item.default), getattr(settings, item.name)
        if known != value:
            raise ConfigError(
                f"{folder}: was made with {item.name} = {in_words(known)}, and {in_words(value)} is requested; name "
                "another folder, or delete this one"
            )


def is_interrupted(config: Config, corpus: Corpus, folder: Path) -> bool:
    """Whether a run folder holds a fit of `config` on a corpus, which can be resumed (or read, if it is finished).

    Raises:
        ConfigError: it holds a fit of other options.
        RunError: it is damaged, or of other rows.
    """
    if not (folder / CONFIG).exists():
        return False
    check_same_options(read_config(folder)[0], config, folder)
    check_rows(folder, row_digests(corpus), config.data.data)
    return True
