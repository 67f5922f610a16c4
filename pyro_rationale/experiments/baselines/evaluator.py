"""Readers from their folders, to judge the rationales of others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pyro_rationale.config import Config
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.experiments.baselines.storage import MARKER, read_networks
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.storage import read_json

READERS = ("full-text", "random", "fresh")  # methods whose folders hold an encoder that was trained on given masks


def load_judge(folder: Path, device: str = "auto") -> ModelRationalizer:
    """A run, or one of the readers among the baselines; only its predictions matter.

    Args:
        folder: as `pyro_rationale.fit` or :func:`pyro_rationale.experiments.baselines.methods.fit_method` wrote it.
        device: to compute on.

    Raises:
        ConfigError: a baseline that is no reader.
        RunError: nothing usable is there.
    """
    if not (folder / MARKER).exists():
        return ModelRationalizer(FittedModel.load(folder, device))
    facts = read_json(folder / MARKER)
    try:
        method, config = facts["method"], Config.from_dict(facts["config"])
    except (KeyError, TypeError) as problem:
        raise RunError(f"{folder / MARKER}: damaged ({problem}); fit it again") from None
    if method not in READERS:
        raise ConfigError(f"--judge {folder}: holds {method}; give a run, or one of {', '.join(READERS)}")
    marker = ModelRationalizer(read_networks(replace(config, train=replace(config.train, device=device)), folder))
    marker.name = method
    return marker
