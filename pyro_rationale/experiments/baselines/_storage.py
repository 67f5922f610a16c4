"""Folders of baselines that are not runs: method, weights, and a file that says that they are finished.

    vocabulary.json        the words
    marker.safetensors     weights
    marker.json            method, configuration, target; written last, so its presence says that all is there
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyro_rationale import __version__
from pyro_rationale.config import Config
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.experiments.same_fit import check_same_options
from pyro_rationale.fitted import VOCABULARY
from pyro_rationale.storage import read_json, write_json, write_tensors

MARKER, WEIGHTS = "marker.json", "marker.safetensors"
FORMAT = 1


def is_finished(name: str, config: Config, folder: Path) -> bool:
    """Whether the folder holds this method, completely fitted with these options.

    Raises:
        ConfigError: it holds another method, or one of other options.
        RunError: its `marker.json` is damaged.
    """
    path = folder / MARKER
    if not path.exists():
        return False
    facts = read_json(path)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise RunError(f"{path}: not a baseline of this version; remove the folder to fit it again")
    if facts.get("method") != name:
        raise ConfigError(f"{folder}: holds {facts.get('method')}, not {name}; name another folder")
    check_same_options(facts["config"], config, folder)
    return True


def write_marker(
    name: str, config: Config, spec: TargetSpec, vocabulary: Vocabulary, tensors: dict[str, Tensor], folder: Path,
    **facts: Any,
) -> None:
    """Write the folder of a finished baseline."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary.save(folder / VOCABULARY)
    write_tensors(folder / WEIGHTS, tensors, {"format": FORMAT})
    about = {"format": FORMAT, "version": __version__, "torch": torch.__version__.split("+")[0], "method": name}
    write_json(folder / MARKER, about | {"config": config.to_dict(), "target": asdict(spec)} | facts)


def read_spec(folder: Path) -> TargetSpec:
    """Target of the baseline in a folder.

    Raises:
        RunError: the file is damaged.
    """
    try:
        target = read_json(folder / MARKER)["target"]
        ranges = tuple((a, b) for a, b in target["ranges"])
        return TargetSpec(target["kind"], tuple(target["names"]), ranges, tuple(target["classes"]))
    except (KeyError, TypeError, ValueError) as problem:
        raise RunError(f"{folder / MARKER}: damaged ({problem}); remove the folder to fit it again") from None
