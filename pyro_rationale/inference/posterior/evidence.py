"""How likely a document's target is, log p(y | x): bounds from K samples, and the exact value of short documents.

    IWAE-K = E log 1/K sum_k w_k,   log w = kappa log p(y | x, z) + log p(z) - log q(z | x),   z_1 .. z_K ~ q

(Burda, Grosse and Salakhutdinov 2016, equation 8) is the ELBO at K = 1, never falls with K, and never exceeds log
p(y | x), which it tends to. A document of at most 12 words has no more than 4,096 masks: sums over all of them are the
evidence, and the ELBO without sampling. With kappa other than 1 it is the evidence of the power posterior, log sum_z
p(z) p(y | x, z)^kappa.

Everything is per document and computed in pieces: memory depends neither on K nor on the number of samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.inference.limits import LONGEST as LONGEST
from pyro_rationale.inference.posterior.log_joint import ROWS, draw_weighted, log_joint
from pyro_rationale.models import RationaleModel

SAMPLE_SIZES = (1, 10, 100, 1000)


class Bound(NamedTuple):
    """A bound in nats: its unbiased estimate and that one's standard error, float64, `(B,)` each.

    `groups` of K draws were averaged; the error of a single group is unknown, NaN.
    """

    mean: Tensor
    error: Tensor
    groups: int


class BoundOfK:
    """IWAE-K from a stream of log weights, as the mean over disjoint groups of K draws, which is unbiased.

    Args:
        size: K.

    Raises:
        ValueError: K below 1.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"expected at least 1 sample per bound, got {size}")
        self.size = size
        self.groups = 0
        self._filled = 0  # draws in the group that is not yet whole
        self._open = torch.empty(0)  # the log of their summed weights, (B,)
        self._mean = self._squares = torch.zeros((), dtype=torch.float64)  # Welford's running moments, (B,)

    def add(self, log_weights: Tensor) -> None:
        """More draws, `(s, B)` for any s; how they are cut into pieces does not matter."""
        log_weights = log_weights.double()
        if self._filled:
            head, log_weights = log_weights[: self.size - self._filled], log_weights[self.size - self._filled :]
            self._open = torch.logaddexp(self._open, head.logsumexp(0))
            self._filled += len(head)
            if self._filled < self.size:
                return
            self._close(self._open[None])
            self._filled = 0
        whole = len(log_weights) // self.size * self.size
        if whole:
            self._close(log_weights[:whole].unflatten(0, (-1, self.size)).logsumexp(1))
        if whole < len(log_weights):
            self._open = log_weights[whole:].logsumexp(0)
            self._filled = len(log_weights) - whole

    def _close(self, sums: Tensor) -> None:
        """Groups that are whole, by the logs of their summed weights `(g, B)`."""
        bounds = sums - math.log(self.size)
        count, mean = len(bounds), bounds.mean(0)
        total = self.groups + count
        step = mean - self._mean
        self._squares = self._squares + (bounds - mean).square().sum(0) + step.square() * self.groups * count / total
        nothing = (mean == -math.inf) | (self._mean == -math.inf)  # and then no finite number brings it back
        self._mean = torch.where(nothing, -math.inf, self._mean + step * count / total)
        self.groups = total

    def result(self) -> Bound:
        """The bound so far. Draws of a group that is not whole count nothing.

        Raises:
            ValueError: there were fewer than K draws.
        """
        if not self.groups:
            raise ValueError(f"expected at least {self.size} draws for the bound of {self.size}, got {self._filled}")
        if self.groups == 1:
            return Bound(self._mean, torch.full_like(self._mean, math.nan), 1)
        return Bound(self._mean, (self._squares / (self.groups - 1) / self.groups).sqrt(), self.groups)


def iwae(
    model: RationaleModel,
    q: MaskDistribution,
    batch: Batch,
    sizes: Sequence[int] = SAMPLE_SIZES,
    samples: int | None = None,
    kappa: float | None = None,
    rows: int = ROWS,
) -> dict[int, Bound]:
    """IWAE-K for several K from one set of draws.

    Where one K divides the next, the estimates are in order whatever the draws are: the logarithm of a mean of
    groups is at least the mean of their logarithms.

    Args:
        model: the generative program.
        q: a guide's distribution, batch shape `(B,)`; a relaxed one proposes with its discrete twin.
        batch: with targets.
        sizes: the K.
        samples: draws per document in all; the largest K by default, and then that one's error is unknown.
        kappa: weight of the log likelihood; the model's own by default.
        rows: most masks at once.

    Raises:
        ValueError: fewer samples than the largest K, or no targets.
    """
    samples = max(sizes) if samples is None else samples
    if samples < max(sizes):
        raise ValueError(f"expected at least as many samples as the largest K, {max(sizes)}, got {samples}")
    drawn = draw_weighted(partial(log_joint, model, batch, kappa=kappa), q.discrete(), samples, rows)
    return bounds_of((weights for _, weights in drawn), sizes)


def bounds_of(log_weights: Iterable[Tensor], sizes: Sequence[int]) -> dict[int, Bound]:
    """IWAE-K for several K from a stream of log weights, `(s, B)` at a time.

    Raises:
        ValueError: fewer draws than the largest K.
    """
    bounds = [BoundOfK(size) for size in sizes]
    for some in log_weights:
        for bound in bounds:
            bound.add(some)
    return {bound.size: bound.result() for bound in bounds}


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """(sum w)^2 / sum w^2 of log weights `(S, B)`, from 1 to S; 0 where no draw has any weight. `(B,)`, float64."""
    log_weights = log_weights.double()
    size = (2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp()
    return torch.where(log_weights.max(0).values == -math.inf, 0.0, size)


@dataclass(frozen=True)
class Enumeration:
    """All masks of a batch of `B` short documents; mask i of 2^T keeps word t if bit t of i is set.

    A document of n < T words has the first 2^n masks; the others have log weight -inf in both tables.

    Attributes:
        log_joint: kappa log p(y | x, z) + log p(z), float64, `(2^T, B)`.
        log_q: log q(z | x), likewise; `None` without a guide.
    """

    log_joint: Tensor
    log_q: Tensor | None = None

    @property
    def evidence(self) -> Tensor:
        """Log evidence log p(y | x), exactly, `(B,)`."""
        return self.log_joint.logsumexp(0)

    @property
    def log_posterior(self) -> Tensor:
        """Log posterior log p(z | x, y) of each mask, `(2^T, B)`."""
        return self.log_joint - self.evidence

    @property
    def elbo(self) -> Tensor:
        """E_q[log joint] + H(q), exactly, `(B,)`.

        Raises:
            ValueError: there is no guide.
        """
        return self.objective(1.0)

    def objective(self, tau: float) -> Tensor:
        """E_q[log joint] + tau H(q), exactly, `(B,)`; 2^T terms, of which masks without a chance are none.

        Raises:
            ValueError: there is no guide.
        """
        chances = self._q.exp()
        return torch.where(chances > 0, chances * (self.log_joint - tau * self._q), 0.0).sum(0)

    @property
    def log_weights(self) -> Tensor:
        """Log joint - log q of each mask, `(2^T, B)`; -inf for masks that are not the document's."""
        return torch.where(self._q == -math.inf, -math.inf, self.log_joint - self._q)

    def draw(self, q: MaskDistribution, samples: int, rows: int = ROWS) -> Iterator[Tensor]:
        """Log weights of `samples` masks per document, `(s, B)` at a time, looked up where networks would be run.

        Args:
            q: the distribution that `log_q` is of.
            samples: in all, per document.
            rows: most masks at once.
        """
        q, weights = q.discrete(), self.log_weights
        most = max(1, rows // weights.shape[1])
        for start in range(0, samples, most):
            z = q.precise_sample(torch.Size([min(most, samples - start)])).long()
            yield weights.gather(0, (z << torch.arange(z.shape[-1], device=z.device)).sum(-1))

    @property
    def _q(self) -> Tensor:
        if self.log_q is None:
            raise ValueError("expected an enumeration with a guide; give q to enumerate_masks")
        return self.log_q


def all_masks(start: int, stop: int, words: int, like: Tensor) -> Tensor:
    """Masks `start ... stop - 1` of :class:`Enumeration`, `(stop - start, words)`, of `like`'s type and device."""
    numbers = torch.arange(start, stop, device=like.device)
    return (numbers[:, None] >> torch.arange(words, device=like.device) & 1).to(like.dtype)


@torch.no_grad()
def enumerate_masks(
    model: RationaleModel,
    batch: Batch,
    q: MaskDistribution | None = None,
    kappa: float | None = None,
    rows: int = ROWS,
) -> Enumeration:
    """Weigh every mask of every document.

    Args:
        model: the generative program.
        batch: with targets, documents of at most 12 words.
        q: a guide's distribution over the same batch; a relaxed one counts as its discrete twin.
        kappa: weight of the log likelihood; the model's own by default.
        rows: most masks at once.

    Raises:
        ValueError: a document is too long, or there are no targets.
    """
    longest, size = int(batch.lengths.max()), batch.tokens.shape[1]
    if longest > LONGEST:
        raise ValueError(f"expected documents of at most {LONGEST} words to enumerate, got one of {longest}")
    q = None if q is None else q.discrete()
    masks = 2**longest
    like = batch.tokens.new_zeros((), dtype=model.encoder.dtype)
    shape = (1 if q is None else 2, masks, len(batch))
    table = torch.full(shape, -math.inf, dtype=torch.float64, device=like.device)
    most = max(1, rows // len(batch))
    for start in range(0, masks, most):
        stop = min(start + most, masks)
        # What a mask keeps of a longer document is dropped, and so is its weight; padding must not be touched.
        z = all_masks(start, stop, size, like)[:, None] * batch.mask
        own = torch.arange(start, stop, device=z.device)[:, None] < 2**batch.lengths
        table[0, start:stop] = log_joint(model, batch, z, kappa).double().where(own, -math.inf)
        if q is not None:
            table[1, start:stop] = q.log_prob(z).double().where(own, -math.inf)
    return Enumeration(table[0], None if q is None else table[1])
