"""The spread of gradients from whole steps, a pass of the generator per draw: a slow reference for `variance`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pyro_rationale.data.batch import Batch
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.inference.objectives.elbo import Objective
from pyro_rationale.inference.variance import Moments, one_gradient
from pyro_rationale.models import RationaleModel
from pyro_rationale.models.program import frozen


def trace_error(moments: Moments) -> float:
    """Standard error of the trace of the covariance."""
    values = torch.tensor(moments.steps, dtype=torch.float64)
    return float(values.std() / math.sqrt(len(values))) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class Spread:
    """Trace of the covariance of one document's gradient, averaged over documents, and its standard error."""

    variance: float
    error: float


def gradient_spread(
    objective: Objective, model: RationaleModel, guide: RationaleGuide, batches: Sequence[Batch], draws: int
) -> Spread:
    """Spread over repeated draws of masks, at least 3; the documents stay the same.

    Documents are drawn for independently, so a batch's mean gradient has 1 / B of the variance of one document's.
    """
    traces, errors = [], []
    with frozen(model):
        for batch in batches:
            moments = Moments()
            for _ in range(draws):
                moments.add(one_gradient(objective, model, guide, batch))
            traces.append(moments.trace * len(batch))
            errors.append(trace_error(moments) * len(batch))
    return Spread(sum(traces) / len(traces), math.hypot(*errors) / len(errors))
