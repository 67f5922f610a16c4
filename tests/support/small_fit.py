"""Fits of about half a second: options, corpora, what two runs must have in common, and how a command says no."""

from __future__ import annotations

import atexit
import functools
import hashlib
import itertools
import json
import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from filelock import FileLock

from pyro_rationale.config import Config
from pyro_rationale.data import Corpus, load_corpus
from pyro_rationale.evaluation.results import RunMetrics, train
from pyro_rationale.storage import read_tensors
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.history import EpochRecord, StepRecord
from pyro_rationale.training.prepare import prepare_run
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.trainer import Trainer
from tests.support import SHARED_RUNS
from tests.support.commands import ended

SMALL: dict[str, Any] = {
    **{"documents": 48, "max_words": 40, "hidden": 6, "embedding": 6, "batch_size": 16, "samples": 2},
    **{"steps": 9, "anneal": 4, "patience": 6, "learning_rate": 3e-3, "threads": 1, "device": "cpu"},
    **{"preset": "planted", "rate": 0.13, "span": 1.5, "nats": 200.0, "tau": 0.25},
}  # three epochs of three steps; the last two are at the target rate, and a guide so fresh counts as collapsed
ROOT = Path(__file__).parents[2]


def small(**options: Any) -> Config:
    """A configuration by its flags' names."""
    return Config().settled().changed(**{**SMALL, **options})


def flags(**options: Any) -> list[str]:
    """A configuration as words of a command line."""
    pairs = [(f"--{name.replace('_', '-')}", str(value)) for name, value in {**SMALL, **options}.items()]
    return [word for pair in pairs for word in pair]


def fit_small(
    folder: Path, progress: Any = None, resume: bool = False, **options: Any
) -> tuple[TrainingRun, RunMetrics]:
    """Fit from the library's side."""
    return train(small(**options), folder, resume=resume, callbacks=[progress] if progress else [])


@functools.cache
def sixteen() -> Corpus:
    """Sixteen planted reviews; to be read only."""
    return load_corpus(small(documents=16).data)


def trainers(folder: Path, **usual: Any) -> Callable[..., Trainer]:
    """Makes trainers on the same sixteen reviews, of its options and `usual` ones, each in a folder of its own."""
    numbers = itertools.count()

    def make(**options: Any) -> Trainer:
        config = small(**{"documents": 16, **usual, **options})
        return prepare_run(config, folder / str(next(numbers)), corpus=sixteen()).trainer

    return make


@functools.cache
def _shared() -> Path:
    """The folder of finished runs: that of all processes of a suite (`tests/conftest.py`), or this process's own."""
    if SHARED_RUNS in os.environ:
        return Path(os.environ[SHARED_RUNS])
    place = Path(tempfile.mkdtemp(prefix="whole-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


_WHOLE: dict[str, Path] = {}


def whole(**options: Any) -> Path:
    """The folder of a run that nothing interrupted; made once, to be read only."""
    key = repr(small(**options))
    if key not in _WHOLE:
        place = _shared() / hashlib.sha256(key.encode()).hexdigest()[:20]
        with FileLock(f"{place}.lock"):
            if not (place / "made").exists():
                shutil.rmtree(place, ignore_errors=True)
                fit_small(place / "run", **options)
                (place / "made").touch()
        _WHOLE[key] = place / "run"
    return _WHOLE[key]


class Break(Callback):
    """Raises after some steps, or after some epochs, of this process."""

    def __init__(self, steps: int = -1, epochs: int = -1, problem: type[BaseException] = KeyboardInterrupt) -> None:
        self.steps, self.epochs, self.problem = steps, epochs, problem

    def on_fit_start(self, run: TrainingRun) -> None:
        if self.steps == 0:
            raise self.problem

    def on_step_end(self, run: TrainingRun, record: StepRecord) -> None:
        self.steps -= 1
        if self.steps == 0:
            raise self.problem

    def on_epoch_end(self, run: TrainingRun, record: EpochRecord) -> None:
        self.epochs -= 1
        if self.epochs == 0:
            raise self.problem


def result(folder: Path) -> dict[str, Any]:
    """`metrics.json` without the time it took, and without the baselines that only the command `fit` adds."""
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics.pop("seconds") >= 0
    metrics["baselines"] = {name: row for name, row in metrics["baselines"].items() if name == "constant"}
    return metrics


def differences(one: Path, other: Path) -> list[str]:
    """In what two finished runs differ: weights by their bits, figures by all their digits."""
    found = [name for name in ("vocabulary.json", "epochs.jsonl") if _differ(one / name, other / name)]
    found += ["metrics.json"] * (result(one) != result(other))
    left, right = (read_tensors(folder / "model.safetensors")[0] for folder in (one, other))
    assert left.keys() == right.keys()
    return found + [name for name in left if not torch.equal(left[name], right[name])]


def _differ(one: Path, other: Path) -> bool:
    return one.read_bytes() != other.read_bytes()


def table(path: Path, header: str, rows: Sequence[str]) -> Path:
    """Write a CSV."""
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def ratings_table(path: Path, flipped: bool = False) -> Path:
    """Write a CSV of 20 rated texts, which `flipped` have as many words of every kind and ratings in another order."""
    rows = [f"the room was {word} and so on {word},{i % 5}" for i, word in enumerate("abcdefghijklmnopqrst")]
    return table(path, "text,y", [row[:-1] + str(4 - int(row[-1])) for row in rows] if flipped else rows)


def without_manifest(folder: Path) -> Path:
    """The folder as an older version wrote it: its files may be changed, and nobody notices by their digests."""
    (folder / "manifest.json").unlink()
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refusal(capfd: pytest.CaptureFixture[str], command: click.Command, *words: object) -> str:
    """The one line that a command prints for bad input, checked for status and form."""
    status, out, err = ended(capfd, command, *words)
    assert status == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err.removeprefix("error: ").rstrip("\n")
