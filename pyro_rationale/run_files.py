"""The files of a run folder: their names, and how those that hold neither weights nor words are read and written.

    manifest.json        digests of the files below, and of the rows of every split
    config.json          configuration, target, versions
    vocabulary.json      the words
    pretrained.json      name and digest of the transformer that the networks stand on, if there is one
    pretrained/          the transformer itself, with --self-contained
    epochs.jsonl         one line per epoch
    checkpoint.safetensors  where training stands (weights, optimiser, random states, control)
    training_texts.safetensors  keys of the training texts, by which copies of them are known again
    model.safetensors    weights of the chosen epoch
    reader.safetensors   weights of an encoder that was trained on whole texts: a baseline, and the judge of --judge mcd
    calibration.json     what the development texts say about the noise of predictions, and conformal scores
    metrics.json         the test table; its presence says that the run is finished
    README.md            the model card, see :mod:`pyro_rationale.evaluation.model_card`

The folder of an ensemble (`--members`) has configuration, vocabulary, manifest and `metrics.json`, and in members/0,
members/1 ... a run folder for each member.
"""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Mapping
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch

from pyro_rationale import __version__
from pyro_rationale.config import Config
from pyro_rationale.data.tokenizers import TOKENIZERS
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.errors import ConfigError, RunError, reason_of, shown
from pyro_rationale.nn.pretrained_folders import Base, check_base, copy_base, find_base, use_copy
from pyro_rationale.options import decode
from pyro_rationale.storage import MANIFEST, note, read_json, read_manifest, write_json
from pyro_rationale.tasks import TASKS, Calibration, TargetSpec

FORMAT = 1  # of the run folder; raised when older folders can no longer be read

CONFIG, VOCABULARY, EPOCHS = "config.json", "vocabulary.json", "epochs.jsonl"
PRETRAINED, COPY = "pretrained.json", "pretrained"  # record of the transformer; folder with it, if it is copied
CHECKPOINT, WEIGHTS, METRICS = "checkpoint.safetensors", "model.safetensors", "metrics.json"
TEXTS, READER, CALIBRATION = "training_texts.safetensors", "reader.safetensors", "calibration.json"
CARD = "README.md"
MEMBERS = "members"  # folder of an ensemble's runs


def write_config(
    folder: Path, config: Config, spec: TargetSpec, vocabulary: Vocabulary, rows: Mapping[str, str]
) -> None:
    """Write configuration and vocabulary; the configuration, which resuming needs, comes first.

    Args:
        folder: the run folder.
        config: of the fit.
        spec: the target.
        vocabulary: the words.
        rows: digests of the rows of each split.
    """
    note(folder, rows=rows)
    facts = {"format": FORMAT, "version": __version__, "torch": torch.__version__.split("+")[0]}
    write_json(folder / CONFIG, facts | {"config": config.to_dict(), "target": asdict(spec)}, listed=True)
    vocabulary.save(folder / VOCABULARY, listed=True)
    if config.model.pretrained is not None:
        write_json(folder / PRETRAINED, asdict(find_base(config.model.pretrained)), listed=True)
        if config.train.self_contained:
            copy_base(config.model.pretrained, folder / COPY)


def read_config(folder: Path) -> tuple[Config, TargetSpec]:
    """Configuration and target of a run folder.

    Raises:
        RunError: as for `FittedModel.load`.
    """
    path = folder / CONFIG
    facts = read_json(path)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        found = facts.get("format") if isinstance(facts, dict) else None
        raise RunError(f"{path}: run folder of format {found}, this version reads {FORMAT}; fit again with this one")
    try:
        config, spec = Config.from_dict(facts["config"]), read_target(facts["target"])
    except (ConfigError, KeyError, TypeError, AttributeError) as problem:
        remedy = "install the package that adds what is missing, or fit again"
        raise RunError(f"{path}: not a configuration of this version ({problem}); {remedy}") from None
    TOKENIZERS.check_trusted(config.data.tokenizer, path)
    if config.model.tau is None and config.is_settled:  # of before runs recorded it, when a chain's was 0.25 too
        config = config.changed(tau=0.25 if config.guide == "chain" else config.tau)
    return config, spec


def read_target(values: Mapping[str, Any]) -> TargetSpec:
    """A target that was written as JSON.

    Raises:
        ConfigError: it is none, or of a task that is not installed.
        AttributeError: it is no mapping.
        TypeError: its kind or its names are missing.
    """
    spec = decode(TargetSpec, values, "target.")
    TASKS.check(spec.kind)
    if not spec.names or (spec.ranges and len(spec.ranges) != len(spec.names)):
        raise ConfigError(f"target: {len(spec.names)} names and {len(spec.ranges)} ranges")
    if not all(low < high and math.isfinite(high - low) for low, high in spec.ranges):
        raise ConfigError(f"target.ranges: expected a lower and a higher number each, got {shown(spec.ranges)}")
    if len(set(spec.classes)) != len(spec.classes) or len(spec.classes) == 1:
        raise ConfigError(f"target.classes: expected two or more distinct ones, got {shown(spec.classes)}")
    TASKS[spec.kind].check_spec(spec)
    return spec


def check_pretrained(folder: Path, config: Config) -> None:
    """Make sure that the transformer a run was fitted on is the one that is found here.

    Raises:
        RunError: its record in the run folder is missing or damaged.
        ConfigError: it is not there, or another; both digests are named.
    """
    if config.model.pretrained is None:
        return
    use_copy(config.model.pretrained, folder / COPY)
    stored = read_json(folder / PRETRAINED)
    try:
        cut = stored.get("tokenizer")
        base = Base(str(config.model.pretrained), str(stored["sha256"]), stored.get("licence"), cut)
    except (KeyError, TypeError, AttributeError):
        raise RunError(f"{folder / PRETRAINED}: holds no digest of a transformer; fit again") from None
    check_base(base)


def read_rows(folder: Path) -> dict[str, str]:
    """Digests of the rows that the run was fitted on, by split; empty for runs of older versions.

    Raises:
        RunError: the manifest is damaged.
    """
    rows = read_manifest(folder)["notes"].get("rows", {})
    if not isinstance(rows, dict):
        raise RunError(f"{folder / MANIFEST}: damaged (rows: expected names with values); restore it, or delete it")
    return rows


def check_rows(folder: Path, rows: Mapping[str, str], data: str) -> None:
    """Refuse a folder whose fit, or result, is of other rows than the data hold now.

    Args:
        folder: of a run, a baseline or a cell; one of an older version, which holds no digests, is accepted.
        rows: digests of the rows as they are now, of the splits that matter.
        data: as `--data` names them.

    Raises:
        RunError: the rows of a split have changed.
    """
    known = read_rows(folder)
    if changed := [split for split, digest in rows.items() if known.get(split, digest) != digest]:
        what = f"{data} has changed since ({', '.join(changed)})"
        raise RunError(f"{folder}: {what}; restore the data, or fit again into another folder or with --force")


def write_calibration(folder: Path, calibration: Calibration | None) -> None:
    """Store what a fit found out about its predictions, if it did."""
    if calibration is not None:
        write_json(folder / CALIBRATION, calibration.to_dict(), listed=True)


def read_calibration(folder: Path, spec: TargetSpec) -> Calibration | None:
    """The calibration that a fit has stored; `None` for runs of older versions.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / CALIBRATION
    if not path.exists():
        if CALIBRATION in read_manifest(folder)["files"]:  # without it, intervals would be others
            raise RunError(f"{path}: is missing, and the run wrote it; restore it, or fit again")
        return None
    try:
        return Calibration.from_dict(read_json(path), len(spec.names))
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        reason = reason_of(problem)
        raise RunError(f"{path}: not a calibration of this version ({reason}); restore it, or fit again") from None


def check_found(folder: Path) -> None:
    """Refuse a run folder that does not exist, and say which one may be meant, or how it is made.

    Raises:
        RunError: there is no such folder.
    """
    if folder.is_dir():
        return
    around = [place for place in (folder.parent, Path("runs")) if place.is_dir()]
    runs = {path.parent.name: path.parent for place in around for path in place.glob(f"*/{CONFIG}")}
    near = get_close_matches(folder.name, list(runs), n=1)
    remedy = f"did you mean {runs[near[0]]}?" if near else f"make one with python -m pyro_rationale.fit --out {folder}"
    raise RunError(f"{folder}: no such run folder; {remedy}")


def check_ended(folder: Path) -> None:
    """Refuse the run folder of a fit that has left a checkpoint and no weights: it may still be running.

    Raises:
        RunError: it is one.
    """
    if any((folder / name).exists() for name in (WEIGHTS, METRICS)) or not (folder / CHECKPOINT).exists():
        return
    seconds = time.time() - (folder / CHECKPOINT).stat().st_mtime
    age = f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
    again = f"go on with python -m pyro_rationale.fit --out {shlex.quote(str(folder))} --resume"
    raise RunError(
        f"{folder}: the fit has not ended; its last checkpoint is {age} old: wait if it is still running, or {again}"
    )
