"""Encoder-only predictors: the encoder alone, trained on masks that come from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.tokenizers import TOKENIZERS
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.experiments.baselines import BASELINES
from pyro_rationale.experiments.baselines._networks import build_networks, completed, read_networks, write_networks
from pyro_rationale.experiments.baselines._storage import MARKER, is_finished
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.storage import read_json
from pyro_rationale.training.auxiliary_losses import reading_loss
from pyro_rationale.training.loop import train_networks

MaskSource = Callable[[Batch, str], Tensor]  # masks, bool (B, T), of a batch of the split "train" or "dev"


def all_words(batch: Batch, split: str) -> Tensor:
    """Masks that keep every word, bool `(B, T)`."""
    return batch.mask


def fit_encoder(
    name: str, config: Config, corpus: Corpus, folder: Path, masks: MaskSource = all_words
) -> FittedModel:
    """Train an encoder on given masks into a folder, or read the finished one.

    Args:
        name: of the baseline, for the folder.
        config: of the fit.
        corpus: train and dev.
        folder: its own.
        masks: that the encoder reads.
    """
    config = completed(config, corpus)
    if is_finished(name, config, corpus, folder):
        return read_networks(config, folder)
    fitted, scale = build_networks(config, corpus, name)

    def loss(batch: Batch, step: int) -> Tensor:
        return reading_loss(fitted.model, batch, masks(batch, "train")) / (len(batch) * scale)

    def score() -> float:
        torch.manual_seed(0)  # the same random masks after each epoch
        dev = fitted.batches(corpus.dev, 128, weighted=True).ordered()
        moved = (batch.to(fitted.device) for batch in dev)
        return sum(float(reading_loss(fitted.model, batch, masks(batch, "dev"))) for batch in moved)

    train_networks(fitted, corpus.train, loss, score if corpus.dev else None)
    write_networks(name, config, fitted, folder)
    return fitted.eval()


def load_reference_predictor(folder: Path, device: str = "auto") -> ModelRationalizer:
    """A model that judges rationales of others by its predictions: a run, or an encoder-only baseline.

    Args:
        folder: as `pyro_rationale.fit` or `Baseline.fit` wrote it.
        device: to compute on.

    Raises:
        ConfigError: a baseline that is not encoder-only.
        RunError: nothing usable is there.
    """
    if not (folder / MARKER).exists():
        return ModelRationalizer(FittedModel.load(folder, device))
    facts = read_json(folder / MARKER)
    try:
        method, config = facts["method"], Config.from_dict(facts["config"])
    except (KeyError, TypeError) as problem:
        raise RunError(f"{folder / MARKER}: damaged ({problem}); fit it again") from None
    TOKENIZERS.check_trusted(config.data.tokenizer, folder / MARKER)
    if method not in BASELINES or not BASELINES[method].encoder_only:
        readers = ", ".join(name for name in BASELINES if BASELINES[name].encoder_only)
        raise ConfigError(f"--judge {folder}: holds {method}; give a run, or one of {readers}")
    fitted = read_networks(config.changed(device=device), folder)
    return ModelRationalizer(fitted, name=method)
