"""`IndependentMask`: a Bernoulli variable per word, independent of the others."""

from __future__ import annotations

from typing import ClassVar

import torch
from pyro.distributions.util import broadcast_shape
from torch import Tensor
from torch.distributions import constraints

from pyro_rationale.distributions.base import MaskDistribution, is_wider
from pyro_rationale.distributions.chain import LinearChain
from pyro_rationale.distributions.exclusion import COST, own_sake
from pyro_rationale.distributions.scan.scan import bernoulli_entropy, softplus


class IndependentMask(MaskDistribution):
    """p(z) = prod_t Bernoulli(z_t; sigmoid(logits_t)).

    Args:
        logits: `(*batch, T)`.
        lengths: long, `(*batch,)`, or `None` if no document is padded.
        validate_args: refuse logits that are not numbers, and values outside [0, 1].
    """

    has_independent_words = True
    has_sample_from = True
    can_exclude = True
    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {"logits": constraints.real_vector}

    def __init__(self, logits: Tensor, lengths: Tensor | None = None, validate_args: bool | None = None) -> None:
        batch_shape = logits.shape[:-1]
        if lengths is not None:
            batch_shape = broadcast_shape(batch_shape, lengths.shape)
        super().__init__(batch_shape, logits.shape[-1], lengths, validate_args)
        self._logits = self._fill(logits.expand(*batch_shape, logits.shape[-1]))
        self._check_parameters()

    @property
    def _device(self) -> torch.device:
        return self._logits.device

    @property
    def logits(self) -> Tensor:
        """`(*batch, T)`; 0 on padding."""
        return self._spread(self._logits)

    @property
    def transitions(self) -> Tensor:
        """`(*batch, T, 2)`: the logits twice, since nothing depends on the word before."""
        return self.logits[..., None].expand(*self.logits.shape, 2)

    def as_chain(self) -> LinearChain:
        """The chain with these logits as fields, and couplings of 0."""
        return LinearChain(self.logits, 0.0, self.lengths)

    def tilt(self, delta: float | Tensor, coupling: float = 0.0) -> MaskDistribution:
        """Independent words with shifted logits, or a chain if changes are charged for too."""
        return super().tilt(delta, coupling) if coupling else IndependentMask(self.logits - delta, self.lengths)

    def excluding(self, excluded: Tensor) -> IndependentMask:
        """The mask with logits lower by 30 on excluded words."""
        return IndependentMask(self._without(excluded), self._lengths, self._validate_args)

    def _without(self, excluded: Tensor) -> Tensor:
        return self._logits - COST * (~own_sake(excluded)).to(self._logits.dtype)

    def _mean(self) -> Tensor:
        return self._cached("mean", lambda: self._fill(torch.sigmoid(self._logits)))

    @property
    def mean(self) -> Tensor:
        """`(*batch, T)`: P(z_t = 1)."""
        return self._spread(self._mean())

    @property
    def change(self) -> Tensor:
        """`(*batch, T - 1)`: P(z_{t+1} != z_t); 0 where either is padding."""

        def compute() -> Tensor:
            here, ahead = self._mean()[..., :-1], self._mean()[..., 1:]
            return self._fill(here * (1 - ahead) + (1 - here) * ahead)

        return self._spread(self._cached("change", compute))

    def weighted_variance(self, weights: Tensor) -> Tensor:
        """Variance of sum_t weights_t z_t, `(*s, *batch)`: a sum over words."""
        return (weights.square() * self.variance).sum(-1)

    @property
    def mode(self) -> Tensor:
        """`(*batch, T)`: the most probable mask; a word at 1/2 is dropped."""
        return self._spread((self._logits > 0).to(self._logits.dtype))

    def entropy(self) -> Tensor:
        """`(*batch,)`, in nats."""
        entropy = self._cached("entropy", lambda: self._fill(bernoulli_entropy(self._logits)).sum(-1))
        return self._spread(entropy, 0)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Exact and independent masks, `(*sample_shape, *batch, T)`."""
        with torch.no_grad():
            shape = torch.Size(sample_shape) + self._batch_shape + self._event_shape
            return self.sample_from(torch.rand(shape, dtype=self._logits.dtype, device=self._logits.device))

    def sample_from(self, uniform: Tensor) -> Tensor:
        """The masks that numbers in [0, 1) stand for, `(*sample, *batch, T)` both, in the precision of the numbers."""
        with torch.no_grad():
            logits = self._logits.to(uniform) if is_wider(uniform, self._logits) else self._logits
            return (uniform < self._fill(torch.sigmoid(logits))).to(self._logits.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """`(*sample, *batch)`. Linear in each word of `value`, and so defined for a relaxed mask as well."""
        if self._validate_args:
            self._validate_sample(value)
        normalizer = self._cached("normalizer", lambda: self._fill(softplus(self._logits)).sum(-1))
        return (value * self._logits).sum(-1) - normalizer


class WeightedMask(IndependentMask):
    """Independent words of which only a *sample* is a weight in [0, 1], with a gradient; subclasses define `rsample`.

    Everything else, probabilities and moments, is that of the 0/1 mask with these logits.
    """

    has_rsample = True
    can_exclude = False

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Weights without gradients, `(*sample_shape, *batch, T)`; for 0/1 masks see :meth:`discrete`."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def excluding(self, excluded: Tensor) -> IndependentMask:
        """Refused, unless a subclass says what becomes of its weights."""
        return MaskDistribution.excluding(self, excluded)

    def discrete(self) -> IndependentMask:
        """The distribution of the 0/1 masks, which every reported figure is about."""
        return IndependentMask(self._logits, self._lengths, self._validate_args).expand(self._batch_shape)
