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
from pyro_rationale.data.cache.dataset import target_rows
from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.fitted import FittedModel
from pyro_rationale.tasks import task_of
from pyro_rationale.training.distributed import SINGLE_PROCESS, Group
from pyro_rationale.training.validation import DevScore, score_modes

MEMORIZED_SHARE = 0.9  # of the constant's error: a larger error on training texts is no memorisation
MAX_CHECKED = 1000  # training texts on which the error is computed


@dataclass(frozen=True)
class MemorizationCheck:
    """Compares the errors on training and development texts after an epoch.

    Attributes:
        train_sample: some of the training texts.
        constant: error of the best constant prediction on the development texts, in the units of `DevScore.error`.
    """

    train_sample: BucketedBatches
    constant: float

    def memorized(self, fitted: FittedModel, dev: DevScore, group: Group = SINGLE_PROCESS) -> bool:
        """Whether training texts are predicted and development texts are not, from the mode masks of both."""
        if not dev.error > self.constant:  # nearly always, and then nothing else is computed
            return False
        return score_modes(fitted, self.train_sample, group=group).error < MEMORIZED_SHARE * self.constant


def constant_error(documents: Sequence[Document], spec: TargetSpec) -> float:
    """Error per document of the constant that predicts these documents best.

    Squared error of scaled ratings, or cross entropy of labels in nats, summed over the targets of a document; one
    that is missing (NaN) costs nothing, as in :func:`pyro_rationale.training.validation.score_modes`.
    """
    targets = torch.from_numpy(target_rows(documents, len(spec.names)))
    known = (~targets.isnan()).double().mean(0)
    return float((known * task_of(spec).baseline_loss(targets).nan_to_num(0.0)).sum())
