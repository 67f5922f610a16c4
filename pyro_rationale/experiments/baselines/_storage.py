"""Folders of baselines that are not runs: method, weights, and a file that says that they are finished.

    vocabulary.json        the words
    marker.safetensors     weights
    marker.json            method, configuration, target; written last, so its presence says that all is there
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyro_rationale import __version__
from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.row_digests import row_digests
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.experiments.same_fit import check_same_options
from pyro_rationale.run_files import VOCABULARY, check_rows, read_target
from pyro_rationale.storage import note, read_json, write_json, write_tensors

MARKER, WEIGHTS = "marker.json", "marker.safetensors"
FORMAT = 1


def is_finished(name: str, config: Config, corpus: Corpus, folder: Path) -> bool:
    """Whether the folder holds this method, completely fitted with these options on this corpus.

    Raises:
        ConfigError: it holds another method, or one of other options.
        RunError: its `marker.json` is damaged, or it was fitted on other rows.
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
    check_rows(folder, row_digests(corpus), config.data.data)
    return True


def write_marker(
    name: str, config: Config, spec: TargetSpec, vocabulary: Vocabulary, rows: Mapping[str, str],
    tensors: dict[str, Tensor], folder: Path, **facts: Any,
) -> None:
    """Write the folder of a finished baseline."""
    folder.mkdir(parents=True, exist_ok=True)
    note(folder, rows=rows)
    vocabulary.save(folder / VOCABULARY, listed=True)
    write_tensors(folder / WEIGHTS, tensors, {"format": FORMAT}, listed=True)
    about = {"format": FORMAT, "version": __version__, "torch": torch.__version__.split("+")[0], "method": name}
    write_json(folder / MARKER, about | {"config": config.to_dict(), "target": asdict(spec)} | facts, listed=True)


def read_spec(folder: Path) -> TargetSpec:
    """Target of the baseline in a folder.

    Raises:
        RunError: the file is damaged.
    """
    try:
        return read_target(read_json(folder / MARKER)["target"])
    except (ConfigError, KeyError, TypeError, AttributeError) as problem:
        raise RunError(f"{folder / MARKER}: damaged ({problem}); remove the folder to fit it again") from None
