"""HardKuma: words whose weight is exactly 0, exactly 1 or something in between (Bastings, Aziz and Titov, ACL 2019).

A Kumaraswamy variable K on (0, 1), P(K <= k) = 1 - (1 - k^a)^b, is stretched to (l, r), which reaches beyond [0, 1]
on both sides, and rectified: H = min(1, max(0, l + (r - l) K)) (their equations 4 to 6). So H is 0 with probability
P(K <= -l / (r - l)), 1 with probability P(K >= (1 - l) / (r - l)), and has a density in between, all in closed form;
and a draw is a differentiable function of a uniform number.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_rationale.distributions.base import length_mask
from pyro_rationale.distributions.independent import WeightedMask

SUPPORT = (-0.1, 1.1)  # theirs
FAR = 35.0  # exp(-FAR) is below the rounding of float64 around 1
NODES = 24  # of the quadrature behind the moments: eight digits for a and b from 0.01 to 100


def log1mexp(x: Tensor) -> Tensor:
    """Compute log(1 - exp(-x)) for x > 0, in whichever form keeps its digits (Maechler 2012)."""
    near = x < math.log(2.0)
    # Each branch sees harmless values where the other is used: a gradient of infinity times 0 would not be 0.
    small = torch.log(-torch.expm1(-torch.where(near, x, 1.0)))
    large = torch.log1p(-torch.exp(-torch.where(near, 1.0, x)))
    return torch.where(near, small, large)


def log_neg_log1mexp(x: Tensor) -> Tensor:
    """Compute log(-log(1 - exp(-x))) for x > 0; where exp(-x) would be lost, it is -x to all digits."""
    far = x > FAR
    return torch.where(far, -x, torch.log(-log1mexp(torch.where(far, 1.0, x))))


class HardKumaraswamy(TorchDistribution):
    """The rectified, stretched Kumaraswamy distribution of one number in [0, 1]; a mixture of two atoms and a density.

    Args:
        a: first shape, > 0.
        b: second shape, > 0; broadcasts with `a`.
        support: (l, r), with l < 0 and r > 1.
        validate_args: refuse shapes that are not positive, and values outside [0, 1].

    Raises:
        ValueError: a support that does not reach beyond [0, 1].
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "a": constraints.positive, "b": constraints.positive
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self, a: Tensor, b: Tensor, support: tuple[float, float] = SUPPORT, validate_args: bool | None = None
    ) -> None:
        low, high = support
        if not low < 0.0 < 1.0 < high:
            raise ValueError(f"expected a support that reaches beyond [0, 1] on both sides, got {support}")
        self.a, self.b = torch.broadcast_tensors(a, b)
        self.low, self.high = low, high
        super().__init__(self.a.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Distribution | None = None) -> HardKumaraswamy:
        """A copy at a larger batch shape."""
        shape = torch.Size(batch_shape)
        return HardKumaraswamy(self.a.expand(shape), self.b.expand(shape), (self.low, self.high), False)

    def _position(self, value: float) -> float:
        """Value in (0, 1) of the Kumaraswamy variable where the stretched one is `value`."""
        return (value - self.low) / (self.high - self.low)

    def _log_above(self, position: Tensor | float) -> Tensor:
        """Log probability log P(K > position) = b log(1 - position^a), 0 < position < 1."""
        return self.b * log1mexp(self._exponent(position))

    def _exponent(self, position: Tensor | float) -> Tensor:
        """-log(position^a)."""
        # A number's logarithm is taken here: a tensor of it would be copied to the device, which is waited for.
        return -self.a * (position.log() if isinstance(position, Tensor) else math.log(position))

    # Atoms.

    @property
    def log_selected(self) -> Tensor:
        """Log probability of H != 0, `(*batch,)`."""
        return self._log_above(self._position(0.0))

    @property
    def log_zero(self) -> Tensor:
        """Log probability of H = 0, `(*batch,)`; finite even where the probability itself is no number in float32."""
        size = self.b.log() + log_neg_log1mexp(self._exponent(self._position(0.0)))  # log of -log P(H != 0)
        rare = size < -FAR
        return torch.where(rare, size, log1mexp(torch.where(rare, 0.0, size).exp()))

    @property
    def log_one(self) -> Tensor:
        """Log probability of H = 1, `(*batch,)`."""
        return self._log_above(self._position(1.0))

    # The whole.

    def log_prob(self, value: Tensor) -> Tensor:
        """Log of the probability at 0 and at 1, of the density in between; minus infinity elsewhere.

        That is with respect to Lebesgue's measure on (0, 1) plus an atom at each end.
        """
        if self._validate_args:
            self._validate_sample(value)
        inside = (value > 0) & (value < 1)
        log_position = torch.log((torch.where(inside, value, 0.5) - self.low) / (self.high - self.low))
        log_rest = log1mexp(-self.a * log_position)  # log(1 - k^a)
        density = self.a.log() + self.b.log() + (self.a - 1) * log_position + (self.b - 1) * log_rest
        log_p = torch.where(inside, density - math.log(self.high - self.low), -torch.inf)
        log_p = torch.where(value == 0, self.log_zero, log_p)
        return torch.where(value == 1, self.log_one, log_p)

    def cdf(self, value: Tensor) -> Tensor:
        """P(H <= value)."""
        inside = (value >= 0) & (value < 1)
        position = (torch.where(inside, value, 0.5) - self.low) / (self.high - self.low)
        below = -torch.expm1(self._log_above(position))
        return torch.where(inside, below, (value >= 1).to(below.dtype))

    @property
    def mean(self) -> Tensor:
        """E H, of the rectified variable: the integral of P(H > h) over [0, 1]."""
        return self._moment(1)

    @property
    def variance(self) -> Tensor:
        """E H^2 - (E H)^2."""
        return self._moment(2) - self._moment(1).square()

    def _moment(self, power: int) -> Tensor:
        """E H^power, by Gauss and Legendre: P(H > h) is smooth where it is integrated."""
        nodes, weights = _quadrature(NODES)
        nodes, weights = nodes.to(self.a), weights.to(self.a)
        position = (nodes - self.low) / (self.high - self.low)
        shape = (*self.a.shape, 1)
        above = (self.b.reshape(shape) * log1mexp(-self.a.reshape(shape) * position.log())).exp()
        return (above * weights * power * nodes ** (power - 1)).sum(-1)

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Draws `(*sample_shape, *batch)`; those at 0 and 1 carry a gradient of 0."""
        shape = torch.Size(sample_shape) + self.batch_shape
        uniform = torch.rand(shape, dtype=self.a.dtype, device=self.a.device)
        limits = torch.finfo(uniform.dtype)
        # K = (1 - u^(1/b))^(1/a) with u in position of 1 - u, in logarithms; rand() may give 0, never 1.
        log_k = log1mexp(-uniform.clamp_min(limits.tiny).log() / self.b) / self.a
        return (self.low + (self.high - self.low) * log_k.exp()).clamp(0.0, 1.0)


def _quadrature(count: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss and Legendre on [0, 1], float64, from Jacobi's matrix (Golub and Welsch 1969)."""
    order = torch.arange(1, count, dtype=torch.float64)
    beside = order / (4 * order**2 - 1).sqrt()
    values, vectors = torch.linalg.eigh(torch.diag(beside, 1) + torch.diag(beside, -1))
    return (values + 1) / 2, vectors[0].square()


class HardKumaMask(WeightedMask):
    """Independent words with HardKuma weights.

    As with :class:`~pyro_rationale.distributions.relaxed.RelaxedMask`, only a *sample* is a weight in [0, 1].
    Everything else is that of the 0/1 mask 1[H_t != 0], the selected words, which is what counts as a rationale:
    `mean` is P(H_t != 0), so that its sum is the expected L0 of the paper (their equation 12); `change` is
    P(H_t = 0, H_t+1 != 0) + P(H_t != 0, H_t+1 = 0), their expected fused lasso (equation 13); `mode`, `entropy`,
    `log_prob` and every KL follow. The distribution of the weights themselves is `weights`.

    Args:
        a: shapes, > 0, `(*batch, T)`.
        b: shapes, > 0, `(*batch, T)`.
        lengths: long, `(*batch,)`, or `None` if no document is padded.
        support: (l, r), as for :class:`HardKumaraswamy`.
        validate_args: refuse shapes that are not numbers, and values outside [0, 1].
    """

    def __init__(
        self,
        a: Tensor,
        b: Tensor,
        lengths: Tensor | None = None,
        support: tuple[float, float] = SUPPORT,
        validate_args: bool | None = None,
    ) -> None:
        a, b = torch.broadcast_tensors(a, b)
        words = length_mask(lengths, a.shape[-1])
        if words is not None:  # padding is not even looked at: it may be no number
            a, b = torch.where(words, a, 1.0), torch.where(words, b, 1.0)
        self._word = HardKumaraswamy(a, b, support, False)
        super().__init__(self._word.log_selected - self._word.log_zero, lengths, validate_args)

    @property
    def weights(self) -> HardKumaraswamy:
        """The distribution of each word's weight, batch shape `(*batch, T)`; meaningless on padding."""
        return self._word.expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Weights in [0, 1], `(*sample_shape, *batch, T)`; exactly 0 on padding."""
        return self._fill(self.weights.rsample(sample_shape))
