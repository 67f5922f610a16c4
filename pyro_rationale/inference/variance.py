"""How good a gradient estimator is on given networks: its variance, and its bias where masks can be enumerated.

The gradient is that of minus objective (2) of docs/explanation/mathematics.md in the guide's parameters, a baseline's
own left out, for networks as they are: no dropout, no training.

A trained guide draws nearly the same masks every time, and the gradient varies by the rare ones: it takes hundreds of
draws of hundreds of documents to see them. So for the variance the guide's network is run once for each batch; copies
of the documents share its features, and a pass draws masks for all copies.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle, islice

import torch
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.inference.limits import GRADIENTS as GRADIENTS
from pyro_rationale.inference.limits import Gradient as Gradient
from pyro_rationale.inference.objectives.elbo import MaskELBO, Objective
from pyro_rationale.inference.posterior.evidence import all_masks, enumerate_masks
from pyro_rationale.models import RationaleModel
from pyro_rationale.models.program import frozen, local_parameters
from pyro_rationale.nn import BiLSTM
from pyro_rationale.nn.baseline import StandardisedBaseline

DIRECTIONS = 16  # in which a bias is looked for


def guide_parameters(guide: RationaleGuide) -> list[nn.Parameter]:
    """Parameters that the gradient is taken in: all that q depends on, and none of a baseline."""
    named = guide.named_parameters()
    return [p for name, p in named if p.requires_grad and not name.startswith("baseline.")]


def settled(module: nn.Module) -> None:
    """Put a network into evaluation mode, except LSTMs: their CUDA kernels have no backward pass there, nor dropout."""
    module.eval()
    for part in module.modules():
        if isinstance(part, nn.LSTM):
            part.train()


def surrogate(objective: Objective, model: RationaleModel, guide: RationaleGuide, batch: Batch) -> Tensor:
    """One draw of the scalar whose gradient is the estimate, summed over the documents of a batch."""
    with local_parameters():
        return objective.estimate(model, guide, batch).surrogate


def flat_gradient(value: Tensor, parameters: Sequence[Tensor], keep_graph: bool = False) -> Tensor:
    """Gradient of a scalar in all parameters as one vector `(P,)`, 0 in those that it does not depend on."""
    parts = torch.autograd.grad(
        value, parameters, retain_graph=keep_graph, allow_unused=True, materialize_grads=True
    )
    return torch.cat([part.flatten() for part in parts])


def one_gradient(objective: Objective, model: RationaleModel, guide: RationaleGuide, batch: Batch) -> Tensor:
    """One draw of the estimate in the guide's parameters, `(P,)`, for the mean over the documents of a batch."""
    return flat_gradient(surrogate(objective, model, guide, batch) / len(batch), guide_parameters(guide))


class Moments:
    """Running mean of vectors, and the trace of their covariance (Welford)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | None = None
        self.steps: list[float] = []

    def add(self, vector: Tensor) -> None:
        """Take in one more vector `(P,)`."""
        vector = vector.double()
        self.count += 1
        if self.mean is None:
            self.mean = vector
            return
        shift = vector - self.mean
        # Each of these has the trace for its expectation, and their mean is the sample's own.
        self.steps.append(float(shift.square().sum()) * (self.count - 1) / self.count)
        self.mean = self.mean + shift / self.count

    @property
    def trace(self) -> float:
        """Trace of the covariance of one vector."""
        return sum(self.steps) / len(self.steps)


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
        """The trace for each document, `(B,)`."""
        scatter = self.squares - self.total.square().sum(-1) / self.count
        return scatter.clamp_min(0.0) / (self.count - 1)


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
    many = batch.repeated(copies)
    passes = max(2, math.ceil(draws / copies))
    read = model.encoder.rows_read
    with frozen(model):
        if gradient == "features":
            with torch.no_grad():
                features = _features(guide, batch)
            documents = DocumentMoments(len(batch))
            for _ in range(passes):
                own = features.repeat(copies, 1, 1).requires_grad_()  # each copy's, to tell their gradients apart
                with given_features(guide, own):
                    value = surrogate(objective, model, guide, many)
                documents.add(torch.autograd.grad(value, own)[0])
            variance = float(documents.variance.mean())
        else:
            features = _features(guide, batch)
            moments = Moments()
            for _ in range(passes):
                with given_features(guide, features.repeat(copies, 1, 1)):
                    value = surrogate(objective, model, guide, many)
                moments.add(flat_gradient(value, guide_parameters(guide), keep_graph=True))
            variance = moments.trace / len(many)
    return BatchSpread(variance, (model.encoder.rows_read - read) / (len(many) * passes))


def _features(guide: RationaleGuide, batch: Batch) -> Tensor:
    """Input of a guide's head in its program, `(B, T, H)`; it sees the target if it was built to."""
    return guide._features(batch, None if guide.target is None or batch.targets is None else guide._shown(batch))


# Costs.


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


# Baselines.


def fit_baseline(
    objective: MaskELBO, model: RationaleModel, guide: RationaleGuide, batches: Sequence[Batch], steps: int
) -> None:
    """Let the guide's baseline learn to predict the learning signal of `objective` (nvil); nothing else moves."""
    baseline = guide.baseline
    if not isinstance(baseline, StandardisedBaseline):
        raise TypeError("expected a guide with a StandardisedBaseline")
    network = list(baseline.network.parameters())
    optimizer = torch.optim.Adam(network, lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    baseline.train()
    with frozen(model):
        for batch in islice(cycle(batches), steps):
            loss = surrogate(objective, model, guide, batch) / len(batch)
            optimizer.zero_grad()
            loss.backward(inputs=network)
            optimizer.step()
            schedule.step()
    baseline.eval()


def plain_network(baseline: StandardisedBaseline) -> nn.Sequential:
    """A plain network with the baseline's predictions, the kind that Pyro's `TraceGraph_ELBO` takes."""
    network = copy.deepcopy(baseline.network)
    last = network[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.mul_(baseline.sd)
        last.bias.mul_(baseline.sd).add_(baseline.mean)
    return network


# Bias.


def exact_gradient(model: RationaleModel, guide: RationaleGuide, batch: Batch, tau: float) -> Tensor:
    """The gradient itself by enumeration: flat, float64, for the mean over the documents of a batch of short texts.

    Args:
        model: the generative program.
        guide: any; a relaxed one counts as the discrete family that it stands for.
        batch: with targets, 12 words at most.
        tau: weight of the guide's entropy.
    """
    model, guide, batch = in_float64(model, guide, batch)
    q = guide.posterior(batch, see_target=guide.target is not None).discrete()
    joint = enumerate_masks(model, batch).log_joint  # (2^n, B), -inf for masks of longer documents
    masks = all_masks(0, len(joint), batch.tokens.shape[1], joint)
    log_q = q.log_prob(masks[:, None] * batch.mask)
    own = joint.isfinite()
    terms = log_q.exp() * (torch.where(own, joint, 0.0) - tau * log_q)
    loss = -torch.where(own, terms, 0.0).sum() / len(batch)
    return flat_gradient(loss, guide_parameters(guide))


@dataclass(frozen=True)
class Bias:
    """The mean of many estimates against the exact gradient.

    Attributes:
        draws: masks per document in all.
        z: the largest difference over 16 random directions and the gradient's own, in standard errors.
        relative: norm of the difference over the norm of the exact gradient.
        noise: what that would be for an unbiased estimator on average.
    """

    draws: int
    z: float
    relative: float
    noise: float


def gradient_bias(
    objective: Objective,
    model: RationaleModel,
    guide: RationaleGuide,
    batch: Batch,
    exact: Tensor,
    draws: int,
    passes: int = 50,
) -> Bias:
    """Mean of independent estimates against enumeration, in float64.

    Args:
        objective: the estimator.
        model: the generative program.
        guide: of the family that the estimator serves.
        batch: short texts with targets.
        exact: their `exact_gradient` for the objective's tau.
        draws: masks per document in all, at least; copies of the batch share a pass.
        passes: groups of draws; as many degrees of freedom, and one, has the standard error.
    """
    model, guide, batch = in_float64(model, guide, batch)
    copies = math.ceil(draws / (passes * objective.num_particles))
    many = batch.repeated(copies)
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(DIRECTIONS, len(exact), dtype=exact.dtype, generator=generator).to(exact.device)
    directions = torch.cat([random, exact[None]])
    moments, along = Moments(), []
    with frozen(model):
        for _ in range(passes):
            gradient = one_gradient(objective, model, guide, many)
            moments.add(gradient)
            along.append(directions @ (gradient - exact))
    errors = torch.stack(along)
    z = errors.mean(0) / (errors.std(0) / math.sqrt(passes)).clamp_min(torch.finfo(exact.dtype).tiny)
    assert moments.mean is not None
    norm = float(exact.norm())
    return Bias(
        passes * copies * objective.num_particles,
        float(z.abs().max()),
        float((moments.mean - exact).norm()) / norm,
        math.sqrt(moments.trace / passes) / norm,
    )


def in_float64(
    model: RationaleModel, guide: RationaleGuide, batch: Batch
) -> tuple[RationaleModel, RationaleGuide, Batch]:
    """Copies in float64, where rounding is no matter."""
    targets = batch.targets
    if targets is not None and targets.is_floating_point():
        targets = targets.double()
    return copy.deepcopy(model).double(), copy.deepcopy(guide).double(), replace(batch, targets=targets)
