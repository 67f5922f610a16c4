"""The encoder starts out from first sentences, where the answer is not: does the fit find its way back?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.vocabulary import UNKNOWN, Vocabulary
from pyro_rationale.evaluation.stress._base import StressTest, Verdict
from pyro_rationale.evaluation.stress._skew import cost_of_skew, pretrain
from pyro_rationale.evaluation.stress._subject import Subject
from pyro_rationale.training.auxiliary_losses import reading_loss
from pyro_rationale.training.run import TrainingRun

MILD = (10,)
SENTENCE_ENDS = (".", "!", "?")  # by the words' numbers alone, which are all that a batch has


def first_sentences(tokens: Tensor, lengths: Tensor, ends: Sequence[int]) -> Tensor:
    """Bool `(B, T)`: the words up to and with the first that ends a sentence; the whole text where none does."""
    end = torch.isin(tokens, torch.tensor(list(ends), device=tokens.device))
    before = end.long().cumsum(-1) - end.long()  # sentence ends in front of each word
    inside = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
    return (before == 0) & inside


def end_tokens(vocabulary: Vocabulary) -> list[int]:
    """Numbers of the words that end a sentence, as far as the vocabulary has them."""
    return [number for number in vocabulary.encode(sorted(SENTENCE_ENDS)) if number != UNKNOWN]


def skew_predictor(fit: TrainingRun, epochs: int) -> None:
    """Train the encoder alone, on first sentences, for so many epochs: it now expects the answer there.

    The fit's own random numbers stay as they are, so that it differs from an unskewed one by its start alone.
    """
    model = fit.fitted.model
    ends = end_tokens(fit.fitted.vocabulary)

    def loss(batch: Batch) -> Tensor:
        mask = first_sentences(batch.tokens, batch.lengths, ends)
        return reading_loss(model, batch, mask) / (len(batch) * fit.trainer.scale)

    pretrain(fit, model.encoder, epochs, loss)


def check(subject: Subject) -> Verdict:
    """F1 of fits whose encoder was trained for k epochs on first sentences, against a fresh start."""
    levels = subject.settings.skew_epochs
    return cost_of_skew(subject, "predictor", levels, MILD, lambda fit, level: skew_predictor(fit, int(level)))


REGISTERED = StressTest(
    check,
    "Skewed predictor",
    "Yu et al. 2021 (A2R, NeurIPS), experiments; Liu et al. 2022 (FR, NeurIPS), skewed predictor",
    refits=True,
)
