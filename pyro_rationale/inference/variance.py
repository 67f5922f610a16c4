"""How good a gradient estimator is on given networks: its variance on real batches, its bias where masks can be
enumerated.

The gradient is that of minus objective (2) in the guide's parameters (a baseline's own among none of them), for
networks as they are: no dropout, no training.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle, islice

import pyro
import torch
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.inference.objectives.elbo import MaskELBO, Objective
from pyro_rationale.inference.posterior.evidence import all_masks, enumerate_masks
from pyro_rationale.models import RationaleModel
from pyro_rationale.nn.baseline import StandardisedBaseline

DIRECTIONS = 16  # in which a bias is looked for


def guide_parameters(guide: RationaleGuide) -> list[nn.Parameter]:
    """Parameters that the gradient is taken in: all that q depends on, and none of a baseline."""
    named = guide.named_parameters()
    return [p for name, p in named if p.requires_grad and not name.startswith("baseline.")]


def settled(module: nn.Module) -> None:
    """Evaluation mode, but for LSTMs, whose CUDA kernels have no backward pass in it (ours drop nothing out inside)."""
    module.eval()
    for part in module.modules():
        if isinstance(part, nn.LSTM):
            part.train()


@contextmanager
def still(module: nn.Module) -> Iterator[None]:
    """Without gradients in the module's parameters, which half of a step's time goes into."""
    moving = [p for p in module.parameters() if p.requires_grad]
    for parameter in moving:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in moving:
            parameter.requires_grad_(True)


def one_gradient(objective: Objective, model: RationaleModel, guide: RationaleGuide, batch: Batch) -> Tensor:
    """A draw of the estimate, flat, of the mean over the documents of a batch."""
    parameters = guide_parameters(guide)
    with pyro.get_param_store().scope():
        surrogate = objective.estimate(model, guide, batch).surrogate / len(batch)
    gradient = torch.autograd.grad(surrogate, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in gradient])


class Moments:
    """Running mean of vectors, and the trace of their covariance with a standard error (Welford)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | None = None
        self.steps: list[float] = []

    def add(self, vector: Tensor) -> None:
        """Take in one more vector."""
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

    @property
    def error(self) -> float:
        """Standard error of the trace."""
        values = torch.tensor(self.steps, dtype=torch.float64)
        return float(values.std() / math.sqrt(len(values))) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class Spread:
    """Trace of the covariance of one document's gradient, averaged over documents, and its standard error."""

    variance: float
    error: float


def gradient_spread(
    objective: Objective, model: RationaleModel, guide: RationaleGuide, batches: Sequence[Batch], draws: int
) -> Spread:
    """Spread over repeated draws of masks; the documents stay the same.

    Documents are drawn for independently, so a batch's mean gradient has 1 / B of the variance of one document's.

    Args:
        objective: the estimator.
        model: the generative program.
        guide: of the family that the estimator serves.
        batches: fixed.
        draws: gradients per batch, at least 3.
    """
    traces, errors = [], []
    with still(model):
        for batch in batches:
            moments = Moments()
            for _ in range(draws):
                moments.add(one_gradient(objective, model, guide, batch))
            traces.append(moments.trace * len(batch))
            errors.append(moments.error * len(batch))
    return Spread(sum(traces) / len(traces), math.hypot(*errors) / len(errors))


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
    with still(model):
        for batch in islice(cycle(batches), steps):
            with pyro.get_param_store().scope():
                surrogate = objective.estimate(model, guide, batch).surrogate / len(batch)
            optimizer.zero_grad()
            surrogate.backward(inputs=network)
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
    """The gradient itself, by enumeration: flat, float64, of the mean over the documents of a batch of short texts.

    Args:
        model: the generative program.
        guide: any; of a relaxed one, the gradient of the discrete family it stands for.
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
    gradient = torch.autograd.grad(loss, guide_parameters(guide), allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in gradient])


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
        exact: what `exact_gradient` says of them, in float64, for the objective's tau.
        draws: masks per document in all, at least; copies of the batch share a pass.
        passes: groups of draws; as many degrees of freedom, and one, has the standard error.
    """
    model, guide, batch = in_float64(model, guide, batch)
    copies = math.ceil(draws / (passes * objective.num_particles))
    many = repeated(batch, copies)
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(DIRECTIONS, len(exact), dtype=exact.dtype, generator=generator).to(exact.device)
    directions = torch.cat([random, exact[None]])
    moments, along = Moments(), []
    with still(model):
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
    """Copies, where rounding is no matter."""
    targets = batch.targets
    if targets is not None and targets.is_floating_point():
        targets = targets.double()
    return copy.deepcopy(model).double(), copy.deepcopy(guide).double(), replace(batch, targets=targets)


def repeated(batch: Batch, copies: int) -> Batch:
    """The documents of a batch, several times each."""
    targets = batch.targets
    if targets is not None:
        targets = targets.repeat(copies, *[1] * (targets.dim() - 1))
    return Batch(batch.tokens.repeat(copies, 1), batch.lengths.repeat(copies), targets)
