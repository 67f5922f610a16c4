"""Importance weights of masks, document by document, with the guide as the proposal.

    log w = kappa log p(y | x, z) + log p(z) - log q(z | x),   z ~ q

Pyro's own weights are those of a whole batch at once; evidence, effective sample sizes and Pareto shapes are wanted
per document. A relaxed guide proposes with its discrete twin: a weight of relaxed masks estimates nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.models import RationaleModel


def log_joint(model: RationaleModel, batch: Batch, z: Tensor, kappa: float | None = None) -> Tensor:
    """kappa log p(y | x, z) + log p(z) for masks `z (*s, B, T)`, in nats, `(*s, B)`.

    Args:
        model: the generative program.
        batch: with targets; unrated aspects (NaN) count nothing.
        z: 0/1 masks, 0 on padding.
        kappa: weight of the log likelihood; the model's own by default, 1 for p(y, z | x) itself.

    Raises:
        ValueError: the batch has no targets.
    """
    if batch.targets is None:
        raise ValueError("expected a batch with targets: without them there is nothing to weigh masks by")
    likelihood, targets = model.likelihood.observe(model.encoder(batch.tokens, z, batch.lengths), batch.targets)
    prior = model.prior.distribution(batch.lengths, batch.tokens.shape[1], z.dtype)
    weight = float(model.kappa) if kappa is None else kappa
    return weight * likelihood.log_prob(targets) + prior.log_prob(z)


def log_weights(
    model: RationaleModel, q: MaskDistribution, batch: Batch, z: Tensor, kappa: float | None = None
) -> Tensor:
    """`log_joint` minus log q(z), `(*s, B)`; `q` must be discrete (`q.discrete()` makes it so)."""
    return log_joint(model, batch, z, kappa) - q.log_prob(z)


@torch.no_grad()
def draw_weighted(
    model: RationaleModel,
    q: MaskDistribution,
    batch: Batch,
    samples: int,
    kappa: float | None = None,
    rows: int = 4096,
) -> Iterator[tuple[Tensor, Tensor]]:
    """`samples` masks per document and their log weights, chunk by chunk: `(s, B, T)`, `(s, B)`.

    Args:
        model: the generative program.
        q: the discrete proposal, batch shape `(B,)`.
        batch: with targets.
        samples: in all, per document.
        kappa: as for `log_joint`.
        rows: most masks at once; memory does not grow with `samples`.
    """
    most = max(1, rows // max(1, len(batch)))
    while samples > 0:
        z = q.sample(torch.Size([min(most, samples)]))
        yield z, log_weights(model, q, batch, z, kappa)
        samples -= most
