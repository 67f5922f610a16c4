"""Folders of baselines that are no runs: what they are of, their weights, and a file that says they are finished.

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
from pyro_rationale.experiments.baselines._run import PLAIN, with_options
from pyro_rationale.experiments.same_fit import check_same_options
from pyro_rationale.fitted import VOCABULARY, FittedModel, assemble, pick_device
from pyro_rationale.storage import read_json, read_tensors, write_json, write_tensors

MARKER, WEIGHTS = "marker.json", "marker.safetensors"
FORMAT = 1
NETWORKS: dict[str, Any] = PLAIN | {"guide": "independent"}  # of a baseline, whatever the fit beside it is


def is_finished(name: str, config: Config, folder: Path) -> bool:
    """Whether the folder holds this method, fitted under these options, as a whole.

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
    """All of a finished baseline."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary.save(folder / VOCABULARY)
    write_tensors(folder / WEIGHTS, tensors, {"format": FORMAT})
    about = {"format": FORMAT, "version": __version__, "torch": torch.__version__.split("+")[0], "method": name}
    write_json(folder / MARKER, about | {"config": config.to_dict(), "target": asdict(spec)} | facts)


def read_spec(folder: Path) -> TargetSpec:
    """What a baseline predicts.

    Raises:
        RunError: the file is damaged.
    """
    try:
        target = read_json(folder / MARKER)["target"]
        ranges = tuple((a, b) for a, b in target["ranges"])
        return TargetSpec(target["kind"], tuple(target["names"]), ranges, tuple(target["classes"]))
    except (KeyError, TypeError, ValueError) as problem:
        raise RunError(f"{folder / MARKER}: damaged ({problem}); remove the folder to fit it again") from None


def write_networks(name: str, config: Config, fitted: FittedModel, folder: Path, **facts: Any) -> None:
    """Encoder and generator of a finished baseline; `config` is what was asked for."""
    parts = (("model", fitted.model), ("guide", fitted.guide))
    tensors = {f"{part}.{k}": v for part, module in parts for k, v in module.state_dict().items()}
    write_marker(name, config, fitted.spec, fitted.vocabulary, tensors, folder, **facts)


def read_networks(config: Config, folder: Path) -> FittedModel:
    """The inverse of `write_networks`, in evaluation mode.

    Raises:
        RunError: the folder is damaged.
    """
    tensors, _ = read_tensors(folder / WEIGHTS)
    vocabulary = Vocabulary.load(folder / VOCABULARY)
    device = pick_device(config.train.device)
    return assemble(with_options(config, NETWORKS), read_spec(folder), vocabulary, tensors, device, folder).eval()
