"""Opening a run folder: may a fit begin there, may it go on there, and the files that every run has.

The files themselves are described in :mod:`pyro_rationale.fitted`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyro_rationale.config import Config
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.fitted import CHECKPOINT, CONFIG, EPOCHS, METRICS, VOCABULARY, WEIGHTS, read_config, write_config
from pyro_rationale.storage import remove_leftovers

MACHINE_OPTIONS = ("device", "threads", "workers")  # where and how fast a fit runs, not what comes out
RESUMABLE_OPTIONS = ("learning_rate", "callback", *MACHINE_OPTIONS)  # options that may be changed when a run is resumed


def start_run(folder: Path, config: Config, spec: TargetSpec, vocabulary: Vocabulary) -> None:
    """Make the folder and write configuration and vocabulary; the configuration, needed to resume, comes first."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (CONFIG, VOCABULARY, EPOCHS, CHECKPOINT, WEIGHTS, METRICS):
        remove_leftovers(folder / name)
    write_config(folder, config, spec, vocabulary)


def clear_run(folder: Path) -> None:
    """Remove a run, so that a kill half-way leaves the old run, or nothing that could be taken for one."""
    for name in (METRICS, CONFIG, CHECKPOINT, WEIGHTS, EPOCHS, VOCABULARY):
        (folder / name).unlink(missing_ok=True)


def check_free(folder: Path) -> None:
    """Make sure that a run can be started in `folder` without overwriting anything.

    Raises:
        RunError: it is no folder, or holds files (those that a killed fit left half-written do not count).
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is a file; name a folder with --out")
    if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise RunError(f"{folder}: already holds files; go on with --resume, replace it with --force, or change --out")


def check_same_config(config: Config, folder: Path, trained: bool = False) -> None:
    """Make sure that going on with the run in `folder` under `config` is going on with the same fit.

    Args:
        config: the configuration to go on with.
        folder: the run folder.
        trained: no step is left, even where `metrics.json` is still missing.

    Raises:
        RunError: there is no run.
        ConfigError: an option differs that may not: a run under way takes other `RESUMABLE_OPTIONS`, a trained one
            only other `MACHINE_OPTIONS`, since its weights are those of its learning rate.
    """
    if not (folder / CONFIG).exists():
        raise RunError(f"{folder}: holds no run to resume; start one with the same command without --resume")
    free = MACHINE_OPTIONS if trained or (folder / METRICS).exists() else RESUMABLE_OPTIONS
    for name, known, value in differing_options(read_config(folder)[0], config):
        if name not in free:
            flag = name.replace("_", "-")
            raise ConfigError(f"--{flag}: the run in {folder} has {known}, got {value}; leave it out to resume")


def differing_options(one: Config, other: Config) -> Iterator[tuple[str, Any, Any]]:
    """Name and both values of each option that differs; a default that is given by its value is no difference."""
    for part, values in other.to_dict().items():
        for name, value in values.items():
            known = one.to_dict()[part][name]
            if name in ("samples", "tau", "entropy"):
                value, known = getattr(other, name), getattr(one, name)
            if value != known:
                yield name, known, value


def check_same_corpus(config: Config, spec: TargetSpec, vocabulary: Vocabulary, folder: Path) -> None:
    """Make sure that the corpus is still the one of the run.

    Raises:
        RunError: what is predicted, or the words, have changed.
    """
    if spec != read_config(folder)[1] or vocabulary != Vocabulary.load(folder / VOCABULARY):
        raise RunError(f"{folder}: {config.data.data} has changed since; restore it, or fit again with --force")
