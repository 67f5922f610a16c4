"""The variance of gradient estimators from many draws: the guide's network is run once, only masks are drawn again.

What `variance.gradient_spread` does with whole steps takes a pass of the generator per draw. A trained guide draws
nearly the same masks every time, and what varies is in the rare ones: it takes hundreds of draws of hundreds of
documents to see them. Here the features of a batch are computed once; copies of its documents share them, and a pass
draws masks for all copies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import pyro
import torch
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.inference.variance import Moments, Objective, guide_parameters, repeated, still
from pyro_rationale.models import RationaleModel
from pyro_rationale.nn import BiLSTM

GRADIENTS = ("features", "parameters")
Gradient = Literal["features", "parameters"]


class GivenFeatures(nn.Module):
    """Stands in for a generator whose answer is known."""

    def __init__(self, features: Tensor, generator: BiLSTM) -> None:
        super().__init__()
        self.features = features
        self.width = generator.width
        self.dtype = generator.dtype

    def forward(self, tokens: Tensor, lengths: Tensor, context: Tensor | None = None) -> Tensor:
        """The features, whatever the arguments."""
        return self.features


@contextmanager
def given_features(guide: RationaleGuide, features: Tensor) -> Iterator[None]:
    """A guide whose generator says `features`, `(B, T, H)`, for the time being."""
    generator = guide.generator
    guide._modules["generator"] = GivenFeatures(features, generator)
    try:
        yield
    finally:
        guide._modules["generator"] = generator


@dataclass(frozen=True)
class BatchSpread:
    """Variance and cost of an estimator on one batch.

    Attributes:
        variance: trace of the covariance of one document's gradient, averaged over the documents of the batch.
        evaluations: masks that the encoder read per document and gradient.
    """

    variance: float
    evaluations: float


def batch_spread(
    objective: Objective,
    model: RationaleModel,
    guide: RationaleGuide,
    batch: Batch,
    draws: int,
    copies: int,
    gradient: Gradient = "features",
) -> BatchSpread:
    """Spread over repeated draws of masks for the same documents; unbiased for any number of them.

    Args:
        objective: the estimator.
        model: the generative program; nothing in it may drop out.
        guide: of the family that the estimator serves; nothing in it may drop out.
        batch: with targets.
        draws: gradients per document, at least; in two passes or more.
        copies: of each document in a pass.
        gradient: in the `features`, what the guide's head reads, `(T, H)` of each document; or in all of the guide's
            `parameters`, where each pass gives one vector, the sum over the copies of all documents.
    """
    many = repeated(batch, copies)
    passes = max(2, math.ceil(draws / copies))
    parameters = guide_parameters(guide)
    read = model.encoder.rows_read
    with still(model):
        if gradient == "features":
            with torch.no_grad():
                features = _features(guide, batch)
            documents = DocumentMoments(len(batch))
            for _ in range(passes):
                own = features.repeat(copies, 1, 1).requires_grad_()  # each copy's, to tell their gradients apart
                (gradients,) = torch.autograd.grad(_surrogate(objective, model, guide, many, own), own)
                documents.add(gradients)
            variance = float(documents.variance.mean())
        else:
            features = _features(guide, batch)
            moments = Moments()
            for _ in range(passes):
                surrogate = _surrogate(objective, model, guide, many, features.repeat(copies, 1, 1))
                parts = torch.autograd.grad(
                    surrogate, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
                )
                moments.add(torch.cat([part.flatten() for part in parts]))
            variance = moments.trace / len(many)
    return BatchSpread(variance, (model.encoder.rows_read - read) / (len(many) * passes))


class DocumentMoments:
    """Running sums for the trace of the covariance of each document's gradient.

    Args:
        documents: B.
    """

    def __init__(self, documents: int) -> None:
        self.documents = documents
        self.count = 0
        self.first: Tensor | None = None  # taken off everything: sums of squares would lose small variances
        self.total = torch.zeros(())
        self.squares = torch.zeros(())

    def add(self, gradients: Tensor) -> None:
        """Gradients `(copies * B, *)`."""
        vectors = gradients.double().reshape(-1, self.documents, gradients[0].numel())
        if self.first is None:
            self.first = vectors.mean(0)
        vectors = vectors - self.first
        self.count += len(vectors)
        self.total = self.total + vectors.sum(0)
        self.squares = self.squares + vectors.square().sum((0, 2))

    @property
    def variance(self) -> Tensor:
        """`(B,)`."""
        scatter = self.squares - self.total.square().sum(-1) / self.count
        return scatter.clamp_min(0.0) / (self.count - 1)


def _features(guide: RationaleGuide, batch: Batch) -> Tensor:
    """Input of a guide's head in its program, `(B, T, H)`; it sees the target if it was built to."""
    return guide._features(batch, None if guide.target is None or batch.targets is None else guide._shown(batch))


def _surrogate(
    objective: Objective, model: RationaleModel, guide: RationaleGuide, batch: Batch, features: Tensor
) -> Tensor:
    with pyro.get_param_store().scope(), given_features(guide, features):
        return objective.estimate(model, guide, batch).surrogate


# Costs, and what is known of them.


@dataclass(frozen=True)
class Figure:
    """A number and its standard error."""

    value: float
    error: float


def cost(spreads: Sequence[BatchSpread]) -> float:
    """Variance times evaluations, each averaged over the batches."""
    n = len(spreads)
    return sum(s.variance for s in spreads) / n * sum(s.evaluations for s in spreads) / n


def cost_ratio(spreads: Sequence[BatchSpread], unit: Sequence[BatchSpread]) -> Figure:
    """How many times the cost of `unit` an estimator has, with the jackknife's standard error.

    Batches are left out one at a time, the same of both: a document that is hard for one estimator is hard for the
    other. What rare masks do to one batch alone is in the error as well, as the draws of different batches are
    independent.

    Args:
        spreads: of the estimator, one for each batch.
        unit: of another, for the same batches.
    """
    whole = _ratio(spreads, unit)
    n = len(spreads)
    if n < 2:
        return Figure(whole, math.nan)
    less = [_ratio([*spreads[:i], *spreads[i + 1 :]], [*unit[:i], *unit[i + 1 :]]) for i in range(n)]
    centre = sum(less) / n
    return Figure(whole, math.sqrt((n - 1) / n * sum((value - centre) ** 2 for value in less)))


def _ratio(spreads: Sequence[BatchSpread], unit: Sequence[BatchSpread]) -> float:
    below = cost(unit)
    return cost(spreads) / below if below > 0 else math.nan
