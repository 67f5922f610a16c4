"""Fits of about half a second: options, corpora, and what two runs must have in common to be the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data import DataOptions
from pyro_rationale.fitting import Fit, fit_run
from pyro_rationale.history import EpochRecord, StepRecord
from pyro_rationale.storage import read_tensors

SMALL: dict[str, Any] = {
    **{"documents": 48, "max_words": 40, "hidden": 6, "embedding": 6, "batch_size": 16, "samples": 2},
    **{"steps": 9, "anneal": 4, "threads": 1, "device": "cpu"},
}  # three epochs of three steps, the last of them at the target rate
ROOT = Path(__file__).parent.parent


def small(**options: Any) -> Config:
    """A configuration by its flags' names."""
    values = {**SMALL, **options}

    def part(kind: type[Any]) -> Any:
        return kind(**{item.name: values.pop(item.name) for item in fields(kind) if item.name in values})

    config = Config(part(DataOptions), part(ModelOptions), part(TrainOptions))
    assert not values, f"no such options: {values}"
    return config


def flags(**options: Any) -> list[str]:
    """The same as words of a command line."""
    pairs = [(f"--{name.replace('_', '-')}", str(value)) for name, value in {**SMALL, **options}.items()]
    return [word for pair in pairs for word in pair]


def fit_small(folder: Path, progress: Any = None, resume: bool = False, **options: Any) -> tuple[Fit, dict[str, Any]]:
    """Fit from the library's side."""
    return fit_run(small(**options), folder, resume=resume, progress=progress)


class Break:
    """A progress that raises after some steps, or after some epochs, of this process."""

    def __init__(self, steps: int = -1, epochs: int = -1, problem: type[BaseException] = KeyboardInterrupt) -> None:
        self.steps, self.epochs, self.problem = steps, epochs, problem

    def prepared(self, fit: Fit) -> None:
        if self.steps == 0:
            raise self.problem

    def stepped(self, record: StepRecord, epoch: int, position: int, batches: int) -> None:
        self.steps -= 1
        if self.steps == 0:
            raise self.problem

    def closed(self, record: EpochRecord) -> None:
        self.epochs -= 1
        if self.epochs == 0:
            raise self.problem


def result(folder: Path) -> dict[str, Any]:
    """`metrics.json` without the time it took."""
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics.pop("seconds") >= 0
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
