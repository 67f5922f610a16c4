"""Integrated gradients (Sundararajan, Taly and Yan 2017) of the word vectors, by captum.

The path leads from vectors of zeros to those of the text; a word's attribution is the sum over the numbers of its
vector, or of those of its pieces. CLS and SEP of a transformer are as they are all the way.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyro_rationale.prediction.attribution._base import AttributionMethod, Subject, library
from pyro_rationale.tasks import Numbers

ROWS = 64  # points of the path that are read at once


def compute(subject: Subject, evaluations: int) -> Numbers:
    """Integrals along the path, by as many points as there are evaluations, for each target."""
    gradients = library("captum.attr", "captum").IntegratedGradients(subject.read_vectors)
    words = len(subject.words)
    with torch.no_grad():
        vectors, owners = subject.reader.model.encoder.vectors(subject.tokens)
    start = torch.where((owners < words)[:, None], 0.0, vectors)
    found = np.zeros((words + 1, len(subject.reader.spec.names)))
    # cuDNN has no gradients of a recurrence in evaluation mode.
    with torch.backends.cudnn.flags(enabled=False), torch.enable_grad():
        for target in range(found.shape[1]):
            added: Tensor = gradients.attribute(
                vectors[None], start[None], target=target, n_steps=evaluations, internal_batch_size=ROWS
            )
            np.add.at(found[:, target], owners.cpu().numpy(), added[0].sum(-1).double().cpu().numpy())
    return found[:words]


REGISTERED = AttributionMethod("integrated gradients", "captum.attr", "captum", 50, compute)
