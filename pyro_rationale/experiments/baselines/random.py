"""Random words, read by an encoder that was trained on random masks.

The masks of training have every rate, and runs of up to eight words, so that a part of a text is nothing new to the
encoder: it judges parts of texts better than one that was trained on whole texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.experiments.baselines._base import Baseline
from pyro_rationale.experiments.baselines._encoder_only import fit_encoder
from pyro_rationale.experiments.baselines._top_k import all_top_words
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.decoding import Mask
from pyro_rationale.prediction.draws import seed_of
from pyro_rationale.prediction.rationalizer import ModelRationalizer, Scores

LONGEST = 8  # words that random masks keep or drop together, at most


def random_masks(batch: Batch, split: str = "train") -> Tensor:
    """A mask per document, bool `(B, T)`: its rate the square of a uniform number, in blocks of 1 to 8 words."""
    rows, words = batch.tokens.shape
    device = batch.tokens.device
    rate = torch.rand(rows, 1, device=device).square()  # half of them below a quarter: rationales are short
    length = torch.randint(1, LONGEST + 1, (rows, 1), device=device)
    start = torch.randint(0, LONGEST, (rows, 1), device=device)
    block = (torch.arange(words, device=device) + start) // length
    kept = torch.rand(rows, words + LONGEST, device=device) < rate
    return kept.gather(1, block) & batch.mask


class RandomRationalizer(ModelRationalizer):
    """Marks words at random, always the same words of a text.

    Args:
        fitted: networks whose encoder reads the marked words.
        rate: share of the words of a document.
        seed: of the choice.
    """

    def __init__(self, fitted: FittedModel, rate: float, seed: int) -> None:
        super().__init__(fitted, name="random")
        self.rate, self.seed = rate, seed

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """A uniform number for every word."""
        return [np.random.default_rng(seed_of(d, self.seed)).uniform(size=len(d.tokens)) for d in documents]

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """The words with the highest numbers."""
        return all_top_words(self.marginals(documents), self.rate)


def fit_random(config: Config, corpus: Corpus, folder: Path) -> RandomRationalizer:
    """Train an encoder on random masks, or read the finished one."""
    fitted = fit_encoder("random", config, corpus, folder, random_masks)
    return RandomRationalizer(fitted, config.model.rate, config.seed)


REGISTERED = Baseline("random words", fit_random, encoder_only=True, keeps_words=True)
