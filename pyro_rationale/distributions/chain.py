"""`LinearChain`: a linear chain over masks, as prior and as structured guide."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pyro.distributions.util import broadcast_shape
from torch import Tensor
from torch.distributions import constraints

from pyro_rationale.distributions.base import MaskDistribution, is_wider
from pyro_rationale.distributions.exclusion import chain_terms
from pyro_rationale.distributions.scan.scan import (
    backward_logits,
    bernoulli_entropy,
    best_logits,
    follow,
    linear_recurrence,
    softplus,
)


class LinearChain(MaskDistribution):
    """log p(z) = sum_t fields_t z_t - sum_t coupling_t |z_{t+1} - z_t| - log Z.

    Everything is read off the equivalent directed chain, whose transition logits take one backward sweep;
    marginals are a linear recurrence from there, entropy a sum of non-negative terms, a sample one pass of
    comparisons (forward filtering, backward sampling with the roles of the ends exchanged).

    Args:
        fields: `(*batch, T)`; the log-odds that each word adds to its own selection.
        coupling: `(*batch, T - 1)`, or a scalar; positive couplings make neighbours alike.
        lengths: long, `(*batch,)`, or `None` if no document is padded.
        log_normalizer: `(*batch,)`, log Z if it is known already; it is not checked.
        validate_args: refuse parameters that are not numbers, and values outside [0, 1].

    Raises:
        ValueError: shapes that do not fit each other.
    """

    has_sample_from = True
    can_exclude = True
    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "fields": constraints.real_vector,
        "coupling": constraints.real_vector,
    }

    def __init__(
        self,
        fields: Tensor,
        coupling: Tensor | float,
        lengths: Tensor | None = None,
        log_normalizer: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        size = fields.shape[-1]
        if not isinstance(coupling, Tensor):
            coupling = fields.new_full((), coupling)  # filled in where it is; a copy would wait for the device
        coupling = coupling.to(fields)
        if coupling.dim() and coupling.shape[-1] != max(size - 1, 0):
            raise ValueError(f"expected a coupling for each of {size - 1} pairs, got {coupling.shape[-1]}")
        coupling = coupling.expand(*coupling.shape[:-1], max(size - 1, 0))
        shapes = [fields.shape[:-1], coupling.shape[:-1]]
        shapes += [value.shape for value in (lengths, log_normalizer) if value is not None]
        batch_shape = broadcast_shape(*shapes)
        super().__init__(batch_shape, size, lengths, validate_args)
        # On padding fields and couplings are 0, which makes every message from there 0 as well.
        self._fields = self._fill(fields.expand(*batch_shape, size))
        self._coupling = self._fill(coupling.expand(*batch_shape, size - 1))
        self._known = None if log_normalizer is None else log_normalizer.expand(batch_shape)
        self._check_parameters()

    @property
    def _device(self) -> torch.device:
        return self._fields.device

    @property
    def fields(self) -> Tensor:
        """`(*batch, T)`; 0 on padding."""
        return self._spread(self._fields)

    @property
    def coupling(self) -> Tensor:
        """`(*batch, T - 1)`; 0 where either word is padding."""
        return self._spread(self._coupling)

    def as_chain(self) -> LinearChain:
        """Itself."""
        return self

    def tilt(self, delta: float | Tensor, coupling: float = 0.0) -> LinearChain:
        """The chain with all fields lower by `delta` and all couplings higher by `coupling`."""
        return LinearChain(self.fields - delta, self.coupling + coupling, self.lengths)

    def excluding(self, excluded: Tensor) -> LinearChain:
        """The chain in which each end of a run on an excluded word costs 30 nats more."""
        fields, coupling = chain_terms(excluded, self.word_mask, self._fields.dtype)
        return LinearChain(self.fields + fields, self.coupling + coupling, self.lengths, None, self._validate_args)

    # The directed chain.

    def _messages(self) -> Tensor:
        return self._cached("messages", lambda: backward_logits(self._fields, self._coupling))

    def adopt_messages(self, messages: Tensor) -> None:
        """Backward logits `(*batch, T)` that are known, as a homogeneous prior's are (they are not checked)."""
        self._store["messages"] = (True, messages)

    def _logits(self) -> Tensor:
        """Logits of z_t = 1 after a word that was dropped, and after one that was kept, `(2, *b, T)`."""

        def compute() -> Tensor:
            coupling = F.pad(self._coupling, (1, 0))
            return self._messages() + torch.stack([-coupling, coupling])

        return self._cached("logits", compute)

    def _chances(self) -> Tensor:
        """P(z_t = 1) after a dropped word, and after a kept one, `(2, *b, T)`; 0 on padding."""
        return self._cached("chances", lambda: self._fill(torch.sigmoid(self._logits())))

    @property
    def transitions(self) -> Tensor:
        """`(*batch, T, 2)`: logit of p(z_t = 1 given z_{t-1} = i); at t = 0 both columns are that of p(z_0 = 1).

        They mean nothing on padding, where z is 0 for sure; the values there are finite.
        """
        return self._spread(self._logits().movedim(0, -1), 2)

    def _log_normalizer(self) -> Tensor:
        # The empty mask scores 0, so log Z is minus its log probability: the sum over words of -log(1 - p).
        if self._known is not None:
            return self._known
        return self._cached("log_normalizer", lambda: self._fill(softplus(self._logits()[0])).sum(-1))

    @property
    def log_normalizer(self) -> Tensor:
        """Log normaliser log Z, `(*batch,)`."""
        return self._spread(self._log_normalizer(), 0)

    # Moments.

    def _mean(self) -> Tensor:
        def compute() -> Tensor:
            off, on = self._chances()
            return linear_recurrence(on - off, off)

        return self._cached("mean", compute)

    @property
    def mean(self) -> Tensor:
        """`(*batch, T)`: P(z_t = 1)."""
        return self._spread(self._mean())

    @property
    def change(self) -> Tensor:
        """`(*batch, T - 1)`: P(z_{t+1} != z_t); 0 where either is padding."""

        def compute() -> Tensor:
            kept = self._mean()[..., :-1]
            enter = (1 - kept) * self._chances()[0, ..., 1:]
            return enter + self._fill(kept * torch.sigmoid(-self._logits()[1, ..., 1:]))

        return self._spread(self._cached("change", compute))

    def weighted_variance(self, weights: Tensor) -> Tensor:
        """Variance of sum_t weights_t z_t, `(*s, *batch)`.

        Cov(z_s, z_t) is Var(z_s) times the product of P(z_u = 1 given 1) - P(z_u = 1 given 0) over the words u behind
        s up to t, so the covariance of word t with all before it, weighted, is a linear recurrence.
        """
        off, on = self._chances()
        gain, kept = on - off, self._mean()
        own = weights * (kept * (1 - kept))
        before = linear_recurrence(gain, gain * F.pad(own[..., :-1], (1, 0)))
        return (weights * (own + 2 * before)).sum(-1)

    def entropy(self) -> Tensor:
        """`(*batch,)`: the chain rule's sum of conditional entropies, none of which is negative."""

        def compute() -> Tensor:
            off, on = bernoulli_entropy(self._logits())
            kept = F.pad(self._mean()[..., :-1], (1, 0))
            return self._fill(off + kept * (on - off)).sum(-1)

        return self._spread(self._cached("entropy", compute), 0)

    @property
    def mode(self) -> Tensor:
        """`(*batch, T)`: a most probable mask, by Viterbi on log-odds; among equals it keeps fewer words."""

        def compute() -> Tensor:
            best = best_logits(self._fields, self._coupling)
            coupling = F.pad(self._coupling, (1, 0))
            mask = self._fill(best.new_ones(()).expand(best.shape)).bool()
            return follow((best - coupling > 0) & mask, (best + coupling > 0) & mask).to(best.dtype)

        with torch.no_grad():
            return self._spread(self._cached("mode", compute))

    # Samples and their probabilities.

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Exact and independent masks, `(*sample_shape, *batch, T)`."""
        shape = torch.Size(sample_shape) + self._batch_shape + self._event_shape
        return self.sample_from(torch.rand(shape, dtype=self._fields.dtype, device=self._device))

    def sample_from(self, uniform: Tensor) -> Tensor:
        """The masks that numbers in [0, 1) stand for, `(*sample, *batch, T)` both, in the precision of the numbers."""
        off, on = self._chances()  # outside of no_grad: the moments will want the same, with gradients
        with torch.no_grad():
            if is_wider(uniform, off):  # in float32 a probability of 1 - 1e-8 is 1
                off, on = self._fill(torch.sigmoid(self._logits().to(uniform)))
            return follow(uniform < off, uniform < on).to(self._fields)

    def log_prob(self, value: Tensor) -> Tensor:
        """`(*sample, *batch)`. Multilinear in `value`, and so defined for a relaxed mask as well."""
        if self._validate_args:
            self._validate_sample(value)
        here, ahead = value[..., :-1], value[..., 1:]
        changes = torch.addcmul(here + ahead, here, ahead, value=-2)
        score = (self._fields * value).sum(-1) - (self._coupling * changes).sum(-1)
        return score - self._log_normalizer()
