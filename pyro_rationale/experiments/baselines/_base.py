"""The record that a baseline registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyro_rationale.config import Config
    from pyro_rationale.data.corpus import Corpus
    from pyro_rationale.prediction.rationalizer import Rationalizer


@dataclass(frozen=True)
class Baseline:
    """A way to mark words and to predict from them, by which rationale models are compared.

    Attributes:
        title: name for tables.
        fit: fits on the training and development documents of a corpus into a folder, reads the folder if it is
            finished, and resumes a fit that was interrupted. `config.model.rate` is the share of words that may be
            kept, `config.train.seed` the seed; networks, optimiser, batches and steps are those of the configuration.
            A folder holds one method on one corpus at one rate with one seed. Raises ConfigError if the folder holds a
            fit of other options, RunError if it is damaged.
        encoder_only: whether its folder holds an encoder that was trained on masks from elsewhere, and so can judge
            the rationales of other methods.
    """

    title: str
    fit: Callable[[Config, Corpus, Path], Rationalizer]
    encoder_only: bool = False
