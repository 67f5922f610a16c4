"""`NonEmptyMask`: a Markov chain over masks, given that at least one word is kept."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pyro_rationale.distributions.base import MaskDistribution, is_wider
from pyro_rationale.distributions.chain import LinearChain
from pyro_rationale.distributions.scan.scan import bernoulli_entropy, best_logits, follow, linear_recurrence, softplus

CERTAIN = 1e4  # nats; logit of a word that must be kept because none before it was
NEVER = -1e30  # log of no chance at all, with gradients


class NonEmptyMask(MaskDistribution):
    """q(z | z != 0) = q(z) 1(z != 0) / (1 - q(0)) for a chain or independent words q.

    Marginals, entropy, mode, probabilities and samples are exact, and so is the KL to a chain, or to a chain that is
    conditioned in this way too. The first kept word F makes all of it computable: given that nothing was kept before
    word t, P(F = t) is a softmax over words, and behind F the chain goes on as it was. Everything stays in logarithms
    up to that softmax, so it holds where 1 - q(0) is far below the smallest float.

    Args:
        base: a linear chain, or independent words. A document without words keeps its one mask, the empty one.

    Raises:
        TypeError: a base that is no Markov chain with exact marginals.
    """

    has_sample_from = True

    def __init__(self, base: MaskDistribution) -> None:
        if not base.has_exact_marginals or base.has_rsample or base.as_chain() is None:
            raise TypeError(f"NonEmptyMask conditions chains and independent words, got {type(base).__name__}")
        self.base = base.origin
        validate = base.__dict__.get("_validate_args")
        super().__init__(self.base.batch_shape, base.event_shape[0], self.base.lengths, validate)
        self._batch_shape = base.batch_shape

    @property
    def _device(self) -> torch.device:
        return self.base._device

    # The distribution of the first kept word.

    def _logits(self) -> Tensor:
        """Logits of the base of z_t = 1 after a dropped word, and after a kept one, `(2, *b, T)`."""
        return self._cached("logits", lambda: self.base.transitions.movedim(-1, 0))

    def _log_first(self) -> Tensor:
        """Log of the base's P(F = t), `(*b, T)`; `NEVER` on padding."""

        def compute() -> Tensor:
            off = self._logits()[0]
            skipped = F.pad(softplus(off)[..., :-1].cumsum(-1), (1, 0))  # -log P(z_s = 0 for all s < t)
            log_first = -softplus(-off) - skipped
            return log_first if self._mask is None else log_first.masked_fill(~self._mask, NEVER)

        return self._cached("log_first", compute)

    def _log_nonempty(self) -> Tensor:
        def compute() -> Tensor:
            result = self._log_first().logsumexp(-1)
            return result if self._lengths is None else torch.where(self._lengths > 0, result, 0.0)

        return self._cached("log_nonempty", compute)

    @property
    def log_nonempty(self) -> Tensor:
        """log(1 - q(0)), `(*batch,)`: log probability of the base that anything is kept."""
        return self._spread(self._log_nonempty(), 0)

    def _as_chain(self) -> LinearChain:
        chain = self.base.as_chain()
        assert chain is not None  # checked when this was made
        return chain

    def _first(self) -> Tensor:
        """P(F = t), `(*b, T)`."""
        return self._cached("first", lambda: self._fill(self._log_first().softmax(-1)))

    def _hazard(self) -> Tensor:
        """Log P(F = t given F >= t), `(*b, T)`; 0 at the last word."""

        def compute() -> Tensor:
            log_first = self._log_first()
            rest = log_first.flip(-1).logcumsumexp(-1).flip(-1)
            hazard = (log_first - rest).clamp(max=0.0)
            return hazard if self._mask is None else torch.where(self._mask, hazard, -CERTAIN)

        return self._cached("hazard", compute)

    # Moments.

    @property
    def log_first(self) -> Tensor:
        """`(*batch, T)`: log probability that a word is the first kept; `NEVER` or less on padding."""
        return self._spread(self._log_first() - self._log_nonempty()[..., None])

    @property
    def dropped_behind(self) -> Tensor:
        """`(*batch, T)`: P(z_t = 0 and a word before it is kept); 0 on padding."""
        return self._spread(self._states()[1])

    def _states(self) -> tuple[Tensor, Tensor]:
        """P(z_t = 1), and P(z_t = 0 and a word before it is kept), `(*b, T)` each; 0 on padding."""

        def compute() -> tuple[Tensor, Tensor]:
            off, on = self._fill(torch.sigmoid(self._logits()))
            first = self._first()
            seen = first.cumsum(-1)
            kept = linear_recurrence(on - off, first + F.pad(seen[..., :-1], (1, 0)) * off)
            return kept, self._fill((seen - kept).clamp(min=0.0))

        return self._cached("states", compute)

    @property
    def mean(self) -> Tensor:
        """`(*batch, T)`: P(z_t = 1)."""
        return self._spread(self._states()[0])

    @property
    def change(self) -> Tensor:
        """`(*batch, T - 1)`: P(z_{t+1} != z_t); 0 where either is padding."""

        def compute() -> Tensor:
            kept, dropped = self._states()
            off, on = self._logits()[..., 1:]
            enter = self._first()[..., 1:] + dropped[..., :-1] * torch.sigmoid(off)
            return self._fill(enter + kept[..., :-1] * torch.sigmoid(-on))

        return self._spread(self._cached("change", compute))

    def weighted_variance(self, weights: Tensor) -> Tensor:
        """Variance of sum_t weights_t z_t, `(*s, *batch)`.

        Cov(z_s, z_t) = P(z_s = 1) D_st with D_st = P(z_t = 1 given z_s = 1) - P(z_t = 1). Behind a kept word the chain
        goes on as without the condition, so D_st = gain_t D_s(t-1) + P(no word before t is kept) off_t - P(F = t).
        """
        kept, first = self._states()[0], self._first()
        off, on = self._fill(torch.sigmoid(self._logits()))
        gain, seen = on - off, F.pad(first.cumsum(-1)[..., :-1], (1, 0))
        own = weights * (kept * (1 - kept))
        total = F.pad((weights * kept).cumsum(-1)[..., :-1], (1, 0))
        late = ((1 - seen).clamp(min=0.0) * off - first) * total
        before = linear_recurrence(gain, gain * F.pad(own[..., :-1], (1, 0)) + late)
        return (weights * (own + 2 * before)).sum(-1)

    def entropy(self) -> Tensor:
        """`(*batch,)`: entropy of the first kept word, and of each choice behind it."""

        def compute() -> Tensor:
            kept, dropped = (F.pad(state[..., :-1], (1, 0)) for state in self._states())
            off, on = bernoulli_entropy(self._logits())
            log_first = self._log_first() - self._log_nonempty()[..., None]
            surprise = self._fill(self._first() * log_first)
            return (self._fill(dropped * off + kept * on) - surprise).sum(-1)

        return self._spread(self._cached("entropy", compute), 0)

    @property
    def mode(self) -> Tensor:
        """`(*batch, T)`: a most probable mask with a word in it."""

        def compute() -> Tensor:
            chain = self._as_chain()
            best, coupling = best_logits(chain.fields, chain.coupling), F.pad(chain.coupling, (1, 0))
            inside = self._fill(best.new_ones(()).expand(best.shape)).bool()
            # By how much the best mask whose first word is t beats the empty one: entering at t, less than entering
            # later or never.
            gain = (best - coupling).clamp(min=0.0)
            later = self._fill(gain).flip(-1).cumsum(-1).flip(-1) - self._fill(gain)
            first = (best - coupling + later).masked_fill(~inside, -torch.inf).argmax(-1, keepdim=True)
            return self._from(first, best - coupling > 0, best + coupling > 0)

        with torch.no_grad():
            return self._spread(self._cached("mode", compute))

    def _from(self, first: Tensor, after_off: Tensor, after_on: Tensor) -> Tensor:
        """Masks whose first kept word is at `first (*, 1)`, and which go on by the two rules behind it."""
        positions = torch.arange(after_off.shape[-1], device=first.device)
        started, here = positions > first, positions == first
        inside = self._mask if self._mask is not None else positions >= 0
        mask = follow((after_off & started | here) & inside, (after_on | here) & inside)
        return mask.to(self._logits().dtype)

    # Samples and their probabilities.

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Exact and independent masks, `(*sample_shape, *batch, T)`."""
        shape = torch.Size(sample_shape) + self._batch_shape + self._event_shape
        return self.sample_from(torch.rand(shape, dtype=self._logits().dtype, device=self._device))

    def sample_from(self, uniform: Tensor) -> Tensor:
        """The masks that numbers in [0, 1) stand for, `(*sample, *batch, T)` both, in the precision of the numbers."""
        if is_wider(uniform, self._logits()):
            return self._wide(uniform.dtype).sample_from(uniform).to(self._logits().dtype)
        hazard, logits = self._hazard(), self._logits()  # outside of no_grad: moments will want some with gradients
        with torch.no_grad():
            last = (self._lengths if self._lengths is not None else uniform.new_tensor(uniform.shape[-1])).long() - 1
            starts = uniform < hazard.exp()
            positions = torch.arange(uniform.shape[-1], device=uniform.device)
            starts |= positions == last[..., None]  # whatever exp(0) rounds to
            first = starts.to(torch.uint8).argmax(-1, keepdim=True)
            off, on = torch.sigmoid(logits)
            return self._from(first, uniform < off, uniform < on)

    def _wide(self, dtype: torch.dtype) -> NonEmptyMask:
        """This distribution with parameters of another type, for draws."""

        def compute() -> NonEmptyMask:
            chain = self._as_chain().origin
            return NonEmptyMask(LinearChain(chain.fields.to(dtype), chain.coupling.to(dtype), chain.lengths))

        with torch.no_grad():
            wide: NonEmptyMask = self._cached("wide", compute)
            return wide

    def log_prob(self, value: Tensor) -> Tensor:
        """`(*sample, *batch)`; -inf for a mask without a word. Of a relaxed mask, the base's less `log_nonempty`."""
        if self._validate_args:
            self._validate_sample(value)
        log_prob = self.base.log_prob(value) - self._log_nonempty()
        return log_prob.masked_fill((self._fill(value).sum(-1) == 0) & self.word_mask.any(-1), -torch.inf)

    def conditional_logits(self, value: Tensor) -> Tensor:
        """Logits of p(z_t = 1 given z_<t) along `value`, `(*sample, *batch, T)`; they mean nothing on padding."""
        before = F.pad(value[..., :-1], (1, 0))
        off, on = self._logits()
        behind = torch.where(before > 0, on, off)
        hazard = self._hazard()
        start = hazard - torch.log(-torch.expm1(hazard.clamp(max=-1e-30)))
        return torch.where(before.cumsum(-1) > 0, behind, start.clamp(-CERTAIN, CERTAIN))

    # Other views.

    @property
    def unconditioned(self) -> MaskDistribution:
        """The base."""
        return self.base.expand(self._batch_shape)

    def condition_alike(self, other: MaskDistribution) -> NonEmptyMask:
        """`other`, given that a word is kept."""
        return NonEmptyMask(other)

    def tilt(self, delta: float | Tensor, coupling: float = 0.0) -> NonEmptyMask:
        """The tilted base, given that a word is kept."""
        return NonEmptyMask(self.base.tilt(delta, coupling).expand(self._batch_shape))

    # What a chain as prior has besides, for the cross energy.

    @property
    def fields(self) -> Tensor:
        """`(*batch, T)`: fields of the base; 0 on padding."""
        return self._spread(self._as_chain().fields)

    @property
    def coupling(self) -> Tensor:
        """`(*batch, T - 1)`: couplings of the base; 0 where either word is padding."""
        return self._spread(self._as_chain().coupling)

    @property
    def log_normalizer(self) -> Tensor:
        """Log of the summed weights of all masks with a word, `(*batch,)`."""
        return self._spread(self._as_chain().log_normalizer + self._log_nonempty(), 0)
