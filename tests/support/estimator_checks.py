"""How gradient estimators are held against the exact gradient by enumeration, on the real model and the real guides.

The same three documents stand many times in one batch, and every copy gives one gradient: in the features that the
guide's head reads (hence in everything below and, by the chain rule, above it), projected on fixed random
directions, and in the bias of the encoder's output. A z-score compares their mean with the exact gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from pyro.ops.provenance import detach_provenance
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.inference import MaskELBO, TemperedTraceGraph
from pyro_rationale.inference.variance import settled
from pyro_rationale.models import RationaleModel
from pyro_rationale.nn.baseline import StandardisedBaseline
from tests.support.tiny import exact, replicate, texts, tiny_guide, tiny_model

DOCUMENTS = texts((4, 2, 1), padding=1)
DRAWS = 20_000
DIRECTIONS = 6
HARD = ("independent", "recurrent", "chain")
TAUS = (1.0, 0.3)
Objective = MaskELBO | TemperedTraceGraph


def directions(width: int, documents: Batch = DOCUMENTS) -> Tensor:
    """Where gradients are projected, `(P, B, T, H)`."""
    generator = torch.Generator().manual_seed(11)
    return torch.randn(DIRECTIONS, *documents.tokens.shape, width, dtype=torch.float64, generator=generator)


def exact_gradient(model: RationaleModel, guide: RationaleGuide, tau: float, documents: Batch = DOCUMENTS) -> Tensor:
    """Gradient of minus the objective, summed over documents: projections in the features, then the output bias."""
    features = []
    for row, length in enumerate(documents.lengths.tolist()):
        words = documents.tokens[row : row + 1, :length]
        features.append(guide.generator(words, torch.tensor([length])).detach().requires_grad_())
    loss = -torch.stack([one.objective(tau) for one in exact(model, guide, documents, features)]).sum()
    *slopes, bias = torch.autograd.grad(loss, [*features, model.encoder.output.bias])
    projected = torch.zeros(DIRECTIONS, dtype=torch.float64)
    for row, slope in enumerate(slopes):
        projected += (directions(guide.generator.width, documents)[:, row, : slope.shape[1]] * slope[0]).sum((-1, -2))
    return torch.cat([projected, bias])


class ReadOnce(nn.Module):
    """In place of a generator where a batch is copies of a few documents: it reads them once.

    Copies have equal features, and gradients are looked at in these, not below: to run the network on every copy, and
    back, was half of the time.
    """

    def __init__(self, generator: Any, documents: int) -> None:
        super().__init__()
        self.read, self.documents = generator.forward, documents
        self.width, self.dtype = generator.width, generator.dtype

    def forward(self, *inputs: Tensor) -> Tensor:
        n = self.documents
        few = [part[:n] for part in inputs]
        copies = len(inputs[0]) // n
        for part, own in zip(inputs, few, strict=True):
            assert torch.equal(part, own.repeat(copies, *[1] * (own.dim() - 1)))
        with torch.no_grad():
            features: Tensor = self.read(*few)
        return features.repeat(copies, 1, 1).requires_grad_()


def gradients(
    objective: Objective, model: Any, guide: RationaleGuide, draws: int = DRAWS, documents: Batch = DOCUMENTS
) -> Tensor:
    """One gradient per copy of the documents, `(copies, P + D)`, `draws` masks for each document in all."""
    copies = draws // objective.num_particles
    caught: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            if name not in caught:  # muprop asks the encoder once more, about no gradient of its parameters
                caught[name] = detach_provenance(output)
                caught[name].retain_grad()
            return output

        return hook

    generator = guide.generator
    guide._modules["generator"] = once = ReadOnce(generator, len(documents))
    once.register_forward_hook(keep("features"))
    hooks = [model.encoder.register_forward_hook(keep("outputs"))] if isinstance(model, RationaleModel) else []
    objective.differentiable_loss(model, guide, replicate(documents, copies)).backward()
    guide._modules["generator"] = generator
    for hook in hooks:
        hook.remove()
    slopes = caught["features"].grad
    assert slopes is not None
    slopes = slopes.unflatten(0, (copies, len(documents)))
    parts = [torch.einsum("pbth,cbth->cp", directions(guide.generator.width, documents), slopes)]
    if "outputs" in caught:
        bias = caught["outputs"].grad
        assert bias is not None
        parts.append(bias.reshape(-1, copies, len(documents), bias.shape[-1]).sum((0, 2)))
    return torch.cat(parts, dim=-1)


def z_scores(found: Tensor, expected: Tensor) -> Tensor:
    """How many standard errors the mean gradient is away, per parameter."""
    error = found.std(0) / len(found) ** 0.5
    return (found.mean(0) - expected) / error.clamp_min(1e-12)


def settled_pair(name: str) -> tuple[RationaleModel, RationaleGuide]:
    """A tiny model and a tiny guide, both without dropout."""
    model, guide = tiny_model(kappa=1.5), tiny_guide(name)
    settled(model)
    settled(guide)
    return model, guide


def standardised(name: str) -> RationaleGuide:
    """A guide with a neural baseline that has seen something and learnt something else."""
    guide = tiny_guide(name)
    baseline = StandardisedBaseline(guide.generator.width, 3)
    with torch.no_grad():
        baseline.mean.fill_(-2.0)
        baseline.variance.fill_(4.0)
        for parameter in baseline.network.parameters():
            parameter.copy_(torch.randn_like(parameter))
    guide.baseline = baseline.double()
    return guide


def worst(objective: Objective, name: str, tau: float, **options: Any) -> float:
    """The largest z-score in size."""
    model = tiny_model(kappa=1.5)
    neural = isinstance(objective, MaskELBO) and objective.estimator == "nvil"
    guide = standardised(name) if neural else tiny_guide(name, **options)
    return float(z_scores(gradients(objective, model, guide), exact_gradient(model, guide, tau)).abs().max())
