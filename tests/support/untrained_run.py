"""Run folders with small networks that were never trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pyro_rationale.build import build_guide, build_model, target_summary
from pyro_rationale.config import Config, ModelOptions
from pyro_rationale.data import DataOptions, Vocabulary, load_corpus
from pyro_rationale.fitted import FittedModel
from pyro_rationale.training.run_folder import start_run


def untrained(folder: Path, guide: str, data: DataOptions, **options: Any) -> Path:
    """A run folder as `fit` would leave it, without the training."""
    config = Config(data, ModelOptions(guide=guide, hidden=4, embedding=8, **options))
    corpus = load_corpus(data)
    vocabulary = Vocabulary.build(corpus.train)
    centre, spread = target_summary(corpus.train, corpus.spec)
    torch.manual_seed(0)
    model = build_model(config, corpus.spec, len(vocabulary), None, centre, spread)
    network = build_guide(config, len(vocabulary), None, 0.5)
    network.start_rate(0.4)
    fitted = FittedModel(config, corpus.spec, vocabulary, model, network, torch.device("cpu"))
    start_run(folder, fitted)
    fitted.save(folder)
    return folder


def untrained_classes(folder: Path) -> Path:
    """A run on a table of 40 texts of the classes x, y and z, with its table beside it."""
    table = folder / "reviews.csv"
    rows = [f"this one is number {i} and {['bad', 'fair', 'good'][i % 3]},{'xyz'[i % 3]}" for i in range(40)]
    table.write_text("\n".join(["text,tone", *rows]) + "\n")
    return untrained(folder / "run", "independent", DataOptions(data=str(table), target_column=("tone",)))
