"""log p(y | x, z) of many masks of one batch, each distinct mask read once.

Samplers come back to the same masks again and again: 4 chains that redraw 3 words at a time ask for the same
neighbours thousands of times. What has been read is remembered, under a 64-bit hash of document and mask.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import LinearChain
from pyro_rationale.distributions.masks import mask_keys, one_of_each
from pyro_rationale.models import RationaleModel


class CachedLogJoint:
    """`scorer(z)`: kappa log p(y | x, z) + log p(z) of masks of one batch, without gradients.

    Model, prior and targets are those of the moment it is made.

    Args:
        model: the generative program, in evaluation mode (no dropout).
        batch: with targets; NaN targets count nothing.
        kappa: weight of the log likelihood; the model's own by default.
        rows: most masks that the encoder reads at once.
        remember: most masks to remember; beyond it everything is forgotten and memory stays bounded.

    Raises:
        ValueError: the batch has no targets.
    """

    def __init__(
        self,
        model: RationaleModel,
        batch: Batch,
        kappa: float | None = None,
        rows: int = 2048,
        remember: int = 2_000_000,
    ) -> None:
        if batch.targets is None:
            raise ValueError("expected a batch with targets: without them there is nothing to weigh masks by")
        self.model = model
        self.batch = batch
        self.kappa = float(model.kappa) if kappa is None else kappa
        self.dtype: torch.dtype = model.encoder.dtype
        self.prior: LinearChain = model.prior.distribution(batch.lengths, batch.tokens.shape[1], self.dtype)
        self.rows = rows
        self.remember = remember
        self.read = 0  # masks that the encoder has read
        self._known: dict[int, float] = {}

    def __call__(self, z: Tensor) -> Tensor:
        """Log joint of masks `(*s, B, T)`, in nats, `(*s, B)`."""
        z = z.to(self.dtype)
        return self.kappa * self.log_likelihood(z) + self.prior.log_prob(z)

    @torch.no_grad()
    def log_likelihood(self, z: Tensor) -> Tensor:
        """log p(y | x, z), not weighted, of masks `(*s, B, T)`, `(*s, B)`. Equal masks get equal bits."""
        distinct, positions, place = one_of_each(mask_keys(z > 0.5))
        keys = distinct.tolist()
        known = self._known
        missing = [i for i, key in enumerate(keys) if key not in known]
        if missing:
            values = self._compute(positions[torch.tensor(missing, device=positions.device)], z)
            if len(known) + len(missing) > self.remember:
                kept = {key: known[key] for key in keys if key in known}
                known.clear()
                known.update(kept)
            known.update(zip((keys[i] for i in missing), values, strict=True))
        table = torch.tensor([known[key] for key in keys], dtype=torch.float64, device=z.device)
        return table[place].to(self.dtype)

    def _compute(self, positions: Tensor, z: Tensor) -> list[float]:
        """Log likelihoods of masks at flat positions, few kept words first, so that rows are of like length."""
        masks = z.reshape(-1, z.shape[-1]).to(self.dtype)[positions]
        documents = positions % len(self.batch)
        order = masks.sum(-1).argsort()
        values = masks.new_empty(len(masks), dtype=torch.float64)
        for chosen in order.split(self.rows):
            values[chosen] = self._read(documents[chosen], masks[chosen]).double()
        self.read += len(masks)
        result: list[float] = values.tolist()
        return result

    def _read(self, documents: Tensor, masks: Tensor) -> Tensor:
        tokens, lengths = self.batch.tokens[documents], self.batch.lengths[documents]
        assert self.batch.targets is not None
        outputs = self.model.encoder(tokens, masks, lengths)
        likelihood, targets = self.model.likelihood.observe(outputs, self.batch.targets[documents])
        return likelihood.log_prob(targets)


def with_targets(batch: Batch, targets: Tensor) -> Batch:
    """A batch of the same texts with other targets."""
    return replace(batch, targets=targets)
