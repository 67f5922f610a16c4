"""The log joint of masks and targets, document by document, and importance weights of masks made of it.

    log w = kappa log p(y | x, z) + log p(z) - log q(z | x),   z ~ q

Pyro's own weights are those of a whole batch at once; evidence, effective sample sizes and Pareto shapes are wanted
per document. A relaxed guide proposes with its discrete twin: a weight of relaxed masks estimates nothing here.

Samplers come back to the same masks again and again: 4 chains that redraw 3 words at a time ask for the same
neighbours thousands of times. `CachedLogJoint` remembers what has been read, under a 64-bit hash of document and mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.distributions.masks import mask_keys, one_of_each
from pyro_rationale.models import RationaleModel

NO_TARGETS = "expected a batch with targets: without them there is nothing to weigh masks by"
ROWS = 4096  # masks at once


def log_joint(model: RationaleModel, batch: Batch, z: Tensor, kappa: float | None = None) -> Tensor:
    """Log joint kappa log p(y | x, z) + log p(z) of masks `z (*s, B, T)`, in nats, `(*s, B)`.

    Args:
        model: the generative program.
        batch: with targets; unrated aspects (NaN) count nothing.
        z: 0/1 masks, 0 on padding.
        kappa: weight of the log likelihood; the model's own by default, 1 for p(y, z | x) itself.

    Raises:
        ValueError: the batch has no targets.
    """
    if batch.targets is None:
        raise ValueError(NO_TARGETS)
    likelihood, targets = model.likelihood.observe(model.encoder(batch.tokens, z, batch.lengths), batch.targets)
    prior = model.mask_prior(batch, z.dtype)
    weight = float(model.kappa) if kappa is None else kappa
    return weight * likelihood.log_prob(targets) + prior.log_prob(z)


@torch.no_grad()
def draw_weighted(
    joint: Callable[[Tensor], Tensor], q: MaskDistribution, samples: int, rows: int = ROWS
) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw `samples` masks per document with their log weights, chunk by chunk: `(s, B, T)`, `(s, B)`.

    Args:
        joint: log joint of masks `(s, B, T)`, `(s, B)`: a `CachedLogJoint`, or `log_joint` of a model and a batch.
        q: the discrete proposal, batch shape `(B,)`.
        samples: in all, per document.
        rows: most masks at once; memory does not grow with `samples`.
    """
    most = max(1, rows // max(1, q.batch_shape.numel()))
    for start in range(0, samples, most):
        z = q.precise_sample(torch.Size([min(most, samples - start)]))
        yield z, joint(z) - q.log_prob(z)


class CachedLogJoint:
    """`scorer(z)`: kappa log p(y | x, z) + log p(z) of masks of one batch, without gradients, each mask read once.

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
            raise ValueError(NO_TARGETS)
        self.model = model
        self.batch = batch
        self.kappa = float(model.kappa) if kappa is None else kappa
        self.dtype: torch.dtype = model.encoder.dtype
        self.prior = model.mask_prior(batch, self.dtype)
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
        """Log likelihood without kappa of masks `(*s, B, T)`, `(*s, B)`. Equal masks get equal bits."""
        distinct, positions, index = one_of_each(mask_keys(z > 0.5))
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
        return table[index].to(self.dtype)

    def _compute(self, positions: Tensor, z: Tensor) -> list[float]:
        """Log likelihoods of masks at flat positions, few kept words first, so that rows are of like length."""
        masks = z.reshape(-1, z.shape[-1]).to(self.dtype)[positions]
        documents = positions % len(self.batch)
        order = masks.sum(-1).argsort()
        values = masks.new_empty(len(masks), dtype=torch.float64)
        for chosen in order.split(self.rows):
            values[chosen] = self._read(documents[chosen], masks[chosen]).double()
        self.read += len(masks)
        return list(values.tolist())

    def _read(self, documents: Tensor, masks: Tensor) -> Tensor:
        tokens, lengths = self.batch.tokens[documents], self.batch.lengths[documents]
        assert self.batch.targets is not None
        outputs = self.model.encoder(tokens, masks, lengths)
        likelihood, targets = self.model.likelihood.observe(outputs, self.batch.targets[documents])
        return likelihood.log_prob(targets)
