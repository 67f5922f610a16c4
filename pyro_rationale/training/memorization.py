"""Memorisation of the training set: training loss is near zero while dev loss is worse than a constant predictor.

After enough epochs an encoder can tell training texts apart by almost any words. Then any mask predicts them, the
gradient vanishes, and neither other words nor whole texts help, since the memorised words are among them. (Yu, Zhang,
Chang and Jaakkola 2021 provoke this by training the encoder on first sentences, and call it the interlocking of
generator and predictor.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.data.weighting import EQUAL, Weighting
from pyro_rationale.fitted import FittedModel
from pyro_rationale.tasks import task_of
from pyro_rationale.training.distributed import SINGLE_PROCESS, Group
from pyro_rationale.training.validation import DevScore, score_modes

MEMORIZED_SHARE = 0.9  # of the constant's error: a larger error on training texts is no memorisation
MAX_CHECKED = 1000  # training texts on which the error is computed
EPOCHS = 2  # in a row: one may be an accident
FEWEST = 0.25  # of the target share of words: masks that keep less are nearly empty


@dataclass
class MemorizationCheck:
    """Compares the errors on training and development texts after every epoch.

    Attributes:
        train_sample: training texts drawn at random: a file may be sorted.
        constant: error of the best constant prediction on the development texts, in the units of `DevScore.error`.
        rate: the share of words that the fit is steered to.
        streak: epochs so far, up to the last, in which training texts alone were predicted.
    """

    train_sample: BucketedBatches
    constant: float
    rate: float
    streak: int = 0

    def memorized(self, fitted: FittedModel, dev: DevScore, group: Group = SINGLE_PROCESS) -> bool:
        """Whether training texts are predicted and development texts are not, for `EPOCHS` epochs on end."""
        self.streak = self.streak + 1 if self.predicts_training_only(fitted, dev, group) else 0
        return self.streak >= EPOCHS

    def predicts_training_only(self, fitted: FittedModel, dev: DevScore, group: Group = SINGLE_PROCESS) -> bool:
        """Whether that is so now, from the mode masks of both.

        Masks that keep next to nothing, or much more of one than of the other, tell nothing about memory.
        """
        # Nearly always the first, and then nothing else is computed.
        if not dev.error > self.constant or dev.rate < FEWEST * self.rate:
            return False
        known = score_modes(fitted, self.train_sample, group=group)
        alike = 0.5 * dev.rate <= known.rate <= 2.0 * dev.rate
        return alike and known.error < MEMORIZED_SHARE * self.constant


def constant_error(
    documents: Sequence[Document], spec: TargetSpec, aspects: int = 1, weighting: Weighting = EQUAL
) -> float:
    """Error per document of the constant that predicts these documents best.

    Squared error of scaled ratings, or cross entropy of labels in nats, summed over the targets of a document; one
    that is missing (NaN) costs nothing, as in :func:`pyro_rationale.training.validation.score_modes`. Where targets
    have masks of their own, `aspects` of them, it is the error per known target.
    """
    targets = torch.from_numpy(weighting.resampled(documents, spec))
    known = (~targets.isnan()).double().mean(0)
    error = float((known * task_of(spec).baseline_loss(targets).nan_to_num(0.0)).sum())
    return error if aspects == 1 else error / max(float(known.sum()), 1e-6)
