"""Losses of the encoder on masks that are given: whole texts, the likeliest words, or whatever else a reader reads."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.models import RationaleModel

SHARES = (0.03, 0.7)  # of a text's words: what --any-rate reads, drawn evenly in the logarithm


def full_text_loss(model: RationaleModel, batch: Batch) -> Tensor:
    """Minus kappa log p(y | x, z = everything), summed over documents: the same encoder as an ordinary reader.

    Raises:
        ValueError: the batch has no targets.
    """
    return reading_loss(model, batch, batch.mask)


def reading_loss(model: RationaleModel, batch: Batch, mask: Tensor) -> Tensor:
    """Minus kappa log p(y | x, z = mask), summed over documents; `mask` bool `(B, T)`, False on padding.

    Raises:
        ValueError: the batch has no targets.
    """
    if batch.targets is None:
        raise ValueError("expected a batch with targets, got none")
    outputs = model.encoder(batch.tokens, mask.to(model.encoder.output.weight.dtype), batch.lengths)
    law, targets = model.likelihood.observe(outputs, batch.targets)
    return -float(model.kappa) * law.log_prob(targets).sum()


@torch.no_grad()
def likeliest(guide: RationaleGuide, batch: Batch) -> Tensor:
    """Each document's words with the largest marginals, at a share drawn for it; bool `(B, T)`.

    For the encoder alone to learn from: the guide is not asked to mark more or less than its prior says.
    """
    marginals = guide.posterior(batch).mean.masked_fill(~batch.mask, -1.0)
    low, high = (math.log(share) for share in SHARES)
    shares = (low + (high - low) * torch.rand(len(batch))).exp().to(marginals.device)
    rank = marginals.argsort(-1, descending=True).argsort(-1)
    return batch.mask & (rank < (shares * batch.lengths).clamp_min(1.0)[:, None])
