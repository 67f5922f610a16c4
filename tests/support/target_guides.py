"""Tiny guides that read the target, and their exact objectives with and without it."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.guides import RationaleGuide, TargetContext
from pyro_rationale.models import RationaleModel
from tests.support.tiny import SPECS, Exact, document, exact, tiny_guide


def target_guide(name: str, kind: str = "regression", baseline: bool = False, strength: float = 2.0) -> RationaleGuide:
    """The guide of `tiny_guide` with a context that makes a difference."""
    guide = tiny_guide(name, baseline=baseline, straight_through=True)
    guide.target = TargetContext(SPECS[kind])
    generator = guide.generator
    torch.manual_seed(8)
    generator.context = torch.nn.Linear(guide.target.size, generator.embedding.embedding_dim, bias=False).double()
    with torch.no_grad():
        generator.context.weight.mul_(strength)
    return guide


def features_of(guide: RationaleGuide, batch: Batch, see_target: bool) -> list[Tensor]:
    """Features that the head reads, of each document alone, `(1, n, H)`; the context written out again for ratings."""
    rows = []
    for row in range(len(batch)):
        one = document(batch, row)
        context = None
        if see_target:
            assert one.targets is not None
            values = one.targets[0].tolist()
            known = [float(value == value) for value in values]
            numbers = [value if value == value else 0.0 for value in values]
            context = torch.tensor([numbers + known], dtype=torch.float64)
        rows.append(guide.generator(one.tokens, one.lengths, context))
    return rows


def tables(model: RationaleModel, guide: RationaleGuide, batch: Batch, see_target: bool) -> list[Exact]:
    """`tiny.exact` under q(z | x, y) or q(z | x)."""
    return exact(model, guide, batch, features_of(guide, batch, see_target))
