"""A model of similar texts without training, which keeps some words of every text."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from pyro_rationale.build import build_guide, build_model
from pyro_rationale.config import Config
from pyro_rationale.data import load_corpus
from pyro_rationale.data.pairs import PairCorpus
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.fitted import FittedModel
from pyro_rationale.training.prepare import prepare_run
from pyro_rationale.training.run_folder import start_run
from tests.support.planted_pairs import planted_pairs
from tests.support.small_fit import small

SIZES: dict[str, Any] = {
    "guide": "chain", "estimator": "muprop", "tau": 1.0, "hidden": 4, "embedding": 4, "start_rate": 0.55,
}  # fmt: skip


@functools.cache
def untrained_pairs(**options: Any) -> FittedModel:
    """A model of the planted pairs; to be read only."""
    return untrained(planted_pairs(), small(**{**SIZES, "max_words": 16, "task": "ranking", **options}))


@functools.cache
def untrained_questions() -> FittedModel:
    """A model of planted questions, which commands can read again; to be read only."""
    config = small(**{**SIZES, "data": "questions", "documents": 48, "max_words": 40})
    corpus = load_corpus(config.data)
    assert isinstance(corpus, PairCorpus)
    return untrained(corpus, config)


def untrained(corpus: PairCorpus, config: Config) -> FittedModel:
    """A model with weights from which words differ, and so do the masks of texts."""
    vocabulary = Vocabulary.build(corpus.train)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(config, corpus.spec, len(vocabulary), None, None, 3.0, vocabulary)
        guide = build_guide(config, len(vocabulary), None, 0.5, corpus.spec, vocabulary)
        for network in (model, guide):
            for weights in network.parameters():
                if weights.dim() > 1:
                    weights.data *= 6.0
    return FittedModel(config, corpus.spec, vocabulary, model, guide, torch.device("cpu")).eval()


@functools.cache
def untrained_run(questions: bool = False) -> Path:
    """The folder of a model of planted pairs, or questions; to be read only."""
    place = Path(tempfile.mkdtemp(prefix="pairs-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    fitted = untrained_questions() if questions else untrained_pairs()
    start_run(place / "run", fitted)
    fitted.save(place / "run")
    return place / "run"


def before_training(folder: Path) -> FittedModel:
    """A model of the planted pairs as a run has it before its first step, to train others of its kind beside it."""
    config = small(
        guide="chain", estimator="muprop", hidden=16, embedding=16, steps=40, anneal=10, batch_size=24, min_count=1,
        learning_rate=0.02, nats=60.0,
    )  # fmt: skip
    return prepare_run(config, folder / "run", corpus=planted_pairs()).fitted
