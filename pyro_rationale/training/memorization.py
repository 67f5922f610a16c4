"""Whether an encoder knows its training texts by heart: nothing that it could learn from them is left to be learnt.

An encoder can tell training texts apart by almost any words, given enough passes over the same ones: then the guide is
paid for whatever it keeps, the gradient is nothing, and neither other words nor whole texts bring it back, for what
it knows by heart stands in them, too. (Yu, Zhang, Chang and Jaakkola 2021 bring it about on purpose, by training
the encoder on first sentences, and call it the interlocking of generator and predictor.) A fit that is there is told
by texts that it was not fitted on: it predicts them worse than a constant would.
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
from pyro_rationale.training.model_selection import DevScore, score_modes

MEMORIZED_SHARE = 0.9  # of the constant's error: at most so much is left on training texts that are known by heart
MAX_CHECKED = 1000  # training texts that are looked at


@dataclass(frozen=True)
class MemorizationCheck:
    """The question, put after each epoch.

    Attributes:
        known: some of the training texts.
        constant: error of the best constant prediction on the development texts, in the units of `DevScore.error`.
    """

    known: BucketedBatches
    constant: float

    def memorized(self, fitted: FittedModel, dev: DevScore, group: Group = SINGLE_PROCESS) -> bool:
        """Whether training texts are predicted and others are not, from the most probable masks of both."""
        if not dev.error > self.constant:  # as nearly always; nothing else is computed then
            return False
        return score_modes(fitted, self.known, group=group).error < MEMORIZED_SHARE * self.constant


def constant_error(documents: Sequence[Document], spec: TargetSpec) -> float:
    """Error per document of the constant that predicts these documents best.

    Squared error of scaled ratings, or cross entropy of labels in nats, summed over the targets of a document; one
    that is missing (NaN) costs nothing, as in :func:`pyro_rationale.training.model_selection.score_modes`.
    """
    targets = torch.from_numpy(target_rows(documents, len(spec.names)))
    known = (~targets.isnan()).double().mean(0)
    return float((known * task_of(spec).baseline_loss(targets).nan_to_num(0.0)).sum())
