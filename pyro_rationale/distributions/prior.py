"""`ChainPrior`: p(z), a two-state Markov chain over words, by share of words and length of runs, or by penalties.

`AspectPriors` is a chain for each target that has masks of its own. `TensorChainPrior` is a chain with tensors for
parameters, for gradients and for hyperpriors; `fit_prior` finds the chain that masks of many documents come from
(empirical Bayes).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self, overload

import torch
from torch import Tensor

from pyro_rationale.distributions.chain import LinearChain
from pyro_rationale.distributions.nonempty import NonEmptyMask
from pyro_rationale.errors import ConfigError

LARGEST = 500.0  # nats; beyond it exp() of a penalty leaves float64, and nothing would ever be kept anyway
MOST_STEPS, CONVERGED = 100, 1e-9  # of the search for the best chain; nats
CLOSEST = 1e-6  # to 0 and 1, of probabilities that are made of averages


@dataclass(frozen=True)
class Constraint:
    """Nats that training charges beside p(z), so that the share of kept words is what it has to be.

    Attributes:
        word: per kept word; below 0 where words are paid for.
        change: per change between kept and dropped.
    """

    word: float = 0.0
    change: float = 0.0


@dataclass(frozen=True)
class ChainPrior:
    """p(z) = exp(-alpha sum z_t - gamma sum |z_t - z_{t-1}|) / Z(n).

    Args:
        alpha: nats per kept word.
        gamma: nats per change between kept and dropped.
        nonempty: give the empty mask no probability; Z(n) is then less by 1, its weight.

    Raises:
        ConfigError: a parameter that is not finite, or too large to compute with.
    """

    alpha: float
    gamma: float
    nonempty: bool = False

    def __post_init__(self) -> None:
        for name, value in (("alpha", self.alpha), ("gamma", self.gamma)):
            if not abs(value) <= LARGEST:  # NaN fails as well
                raise ConfigError(
                    f"the prior's {name} is {value:g} nats, expected at most {LARGEST:g} either way; "
                    "set smaller penalties (--lambda1, --lambda2) or a less extreme --rate and --span"
                )

    @overload
    @classmethod
    def from_rate_span(cls, rate: float, span: float) -> Self: ...

    @overload
    @classmethod
    def from_rate_span(cls, rate: Tensor, span: Tensor) -> TensorChainPrior: ...

    @classmethod
    def from_rate_span(cls, rate: Any, span: Any) -> Self | TensorChainPrior:
        """The chain that keeps the share `rate` of the words in runs of `span` words on average.

        Args:
            rate: share of words, a number or a tensor.
            span: words, likewise. Of tensors the chain is a :class:`TensorChainPrior`, which keeps their gradients.

        Raises:
            ConfigError: a rate outside (0, 1), a span of 1 or less, or a span too short for so high a rate.
        """
        if isinstance(rate, Tensor) or isinstance(span, Tensor):
            return TensorChainPrior.from_rate_span(torch.as_tensor(rate), torch.as_tensor(span))
        if not 0.0 < rate < 1.0:
            raise ConfigError(f"--rate: expected a share of words between 0 and 1, got {rate:g}")
        if not (span > 1.0 and math.isfinite(span)):
            raise ConfigError(f"--span: expected a mean run of more than 1 word, got {span:g}")
        leave = 1.0 / span
        enter = rate * leave / (1.0 - rate)
        if enter >= 1.0:
            raise ConfigError(
                f"--rate, --span: a share of {rate:g} needs runs of more than {rate / (1 - rate):.3g} words, "
                f"got {span:g}; lower --rate or raise --span"
            )
        stay, out = math.log1p(-leave), math.log1p(-enter)
        return cls(alpha=out - stay, gamma=0.5 * (stay + out - math.log(enter) - math.log(leave)))

    @classmethod
    def from_moments(cls, rate: float, changes: float) -> Self:
        """The chain whose long texts keep the share `rate` of the words, with so many changes per word.

        What no chain has, such as no changes at all, is brought within `CLOSEST` of what one has.
        """
        rate = min(1.0 - CLOSEST, max(CLOSEST, rate))
        most = 2.0 * min(rate, 1.0 - rate) * (1.0 - CLOSEST)  # more, and not even single words are enough
        changes = min(most, max(CLOSEST * most, changes))
        return cls.from_rate_span(rate, 2.0 * rate / changes)

    @classmethod
    def from_lambdas(cls, lambda1: float, lambda2: float, gain: float) -> Self:
        """The chain equivalent to the penalties of Lei et al. (2016), equation 2.

        Args:
            lambda1: penalty per kept word.
            lambda2: penalty per change.
            gain: nats per unit of the paper's cost, kappa / (2 sigma^2).

        Raises:
            ConfigError: a penalty that is negative or not finite, or that is too large for this gain.
        """
        for flag, value in (("--lambda1", lambda1), ("--lambda2", lambda2)):
            if not (value >= 0.0 and math.isfinite(value)):
                raise ConfigError(f"{flag}: expected a penalty of 0 or more, got {value:g}")
            if value * gain > LARGEST:
                raise ConfigError(
                    f"{flag}: {value:g} is {value * gain:.3g} nats at a gain of {gain:g}; set it to "
                    f"{LARGEST / gain:.3g} or less"
                )
        return cls(alpha=gain * lambda1, gamma=gain * lambda2)

    def lambdas(self, gain: float) -> tuple[float, float]:
        """The paper's (lambda1, lambda2) at this gain; lambda1 is negative if the prior favours words."""
        return self.alpha / gain, self.gamma / gain

    def describe(self, gain: float) -> dict[str, float]:
        """All its parameters: `rate`, `span`, `alpha`, `gamma`, and `lambda1`, `lambda2` at this gain."""
        lambda1, lambda2 = self.lambdas(gain)
        values = {"rate": self.rate, "span": self.span, "alpha": self.alpha, "gamma": self.gamma}
        return values | {"lambda1": lambda1, "lambda2": lambda2}

    def _switching(self) -> tuple[float, float]:
        """(enter, leave) = (P(1|0), P(0|1)) of the infinite chain, from the transfer matrix's leading eigenvector.

        Of e^{alpha/2} M = [[e^{alpha/2}, e^-gamma], [e^-gamma, e^{-alpha/2}]]; the smaller of the two is written
        as a product, where the textbook difference would cancel.
        """
        half = math.sinh(self.alpha / 2)
        root = math.hypot(half, math.exp(-self.gamma))
        large = root + abs(half)
        small = math.exp(-self.gamma) * (math.exp(-self.gamma) / large)
        eigenvalue = math.cosh(self.alpha / 2) + root
        enter, leave = (small, large) if half >= 0 else (large, small)
        return enter / eigenvalue, leave / eigenvalue

    @property
    def rate(self) -> float:
        """Share of words kept, far from the ends of a long text: the inverse of :meth:`from_rate_span`."""
        enter, leave = self._switching()
        return enter / (enter + leave)

    @property
    def span(self) -> float:
        """Mean length of a run of kept words, far from the ends of a long text."""
        leave = self._switching()[1]
        return 1.0 / leave if leave else math.inf

    def log_normalizers(self, max_len: int) -> Tensor:
        """Log normalisers log Z(n) for n = 0 ... max_len, float64, `(max_len + 1,)`; 0 where n = 0."""
        log_z = _tables(self.alpha, self.gamma, max_len)[1].clone()
        if self.nonempty:  # log(exp(log Z) - 1); a document without words has one mask all the same
            log_z[1:] += torch.log(-torch.expm1(-log_z[1:]))
        return log_z

    def distribution(
        self, lengths: Tensor, max_len: int, dtype: torch.dtype = torch.float32, excluded: Tensor | None = None
    ) -> LinearChain | NonEmptyMask:
        """p(z) for documents of these lengths, batch shape that of `lengths`, event shape `(max_len,)`.

        Args:
            lengths: words per document.
            max_len: those of the longest.
            dtype: of its parameters.
            excluded: kinds of excluded words, `(*batch, max_len)`, see
                :func:`pyro_rationale.distributions.exclusion.chain_terms`.
        """
        device = lengths.device
        to_end = lengths[..., None] - 1 - torch.arange(max_len, device=device)  # words behind; negative on padding
        fields = torch.full((max_len,), -self.alpha, dtype=dtype, device=device).expand(to_end.shape)
        messages, normalizers = _to_device(_tables(self.alpha, self.gamma, max_len), device)
        coupling = torch.full((), self.gamma, dtype=dtype, device=device)
        chain = LinearChain(fields, coupling, lengths, log_normalizer=normalizers[lengths].to(dtype))
        chain.adopt_messages(messages[to_end.clamp_min(0)].to(dtype))
        if excluded is not None:
            chain = chain.excluding(excluded)
        return NonEmptyMask(chain) if self.nonempty else chain


@dataclass(frozen=True)
class AspectPriors:
    """p(z) of texts that have a mask for each of several targets: a chain for each, independent of the others.

    Figures of all of them together (`alpha`, `gamma`, `rate`, `span`, `describe`) are means.

    Attributes:
        chains: one for each target, in their order.
    """

    chains: tuple[ChainPrior, ...]

    @property
    def alpha(self) -> float:
        """Mean of the nats per kept word."""
        return self._mean("alpha")

    @property
    def gamma(self) -> float:
        """Mean of the nats per change."""
        return self._mean("gamma")

    @property
    def rate(self) -> float:
        """Mean of the shares of words kept."""
        return self._mean("rate")

    @property
    def span(self) -> float:
        """Mean of the mean lengths of kept runs."""
        return self._mean("span")

    @property
    def nonempty(self) -> bool:
        """Whether the empty mask has no probability."""
        return self.chains[0].nonempty

    def _mean(self, name: str) -> float:
        return sum(getattr(chain, name) for chain in self.chains) / len(self.chains)

    def describe(self, gain: float) -> dict[str, float]:
        """Means of the parameters of all chains, by the names of :meth:`ChainPrior.describe`."""
        each = [chain.describe(gain) for chain in self.chains]
        return {name: sum(values[name] for values in each) / len(each) for name in each[0]}

    def lambdas(self, gain: float) -> tuple[float, float]:
        """Means of the paper's (lambda1, lambda2)."""
        return self.alpha / gain, self.gamma / gain

    def changed(self, **values: Any) -> AspectPriors:
        """The chains with some of their parameters replaced, in all of them alike."""
        return AspectPriors(tuple(replace(chain, **values) for chain in self.chains))

    def rows(self, aspects: Tensor) -> tuple[Tensor, Tensor]:
        """`alpha` and `gamma` of rows about these targets, float64, of the shape of `aspects`."""
        table = torch.tensor([[chain.alpha, chain.gamma] for chain in self.chains], dtype=torch.float64)
        alpha, gamma = table.to(aspects.device)[aspects].unbind(-1)
        return alpha, gamma

    def distribution(
        self,
        lengths: Tensor,
        max_len: int,
        dtype: torch.dtype = torch.float32,
        excluded: Tensor | None = None,
        aspects: Tensor | None = None,
    ) -> LinearChain | NonEmptyMask:
        """p(z) of rows about these targets, batch shape that of `aspects`; other arguments as for `ChainPrior`.

        Raises:
            ValueError: it is not said which target each row is about.
        """
        if aspects is None:
            raise ValueError("expected rows about one target each: every target has a prior of its own")
        tables = [_tables(chain.alpha, chain.gamma, max_len) for chain in self.chains]
        messages, normalizers = _to_device(torch.stack(tables, dim=1), lengths.device)  # (aspects, max_len + 1) each
        to_end = lengths[..., None] - 1 - torch.arange(max_len, device=lengths.device)
        alpha, gamma = (value.to(dtype)[..., None] for value in self.rows(aspects))
        fields = (-alpha).expand(*aspects.shape, max_len)
        coupling = gamma.expand(*aspects.shape, max(max_len - 1, 0))
        chain = LinearChain(fields, coupling, lengths, log_normalizer=normalizers[aspects, lengths].to(dtype))
        chain.adopt_messages(messages[aspects[..., None], to_end.clamp_min(0)].to(dtype))
        if excluded is not None:
            chain = chain.excluding(excluded)
        return NonEmptyMask(chain) if self.nonempty else chain

    def log_normalizers_of(self, lengths: Tensor, aspects: Tensor) -> Tensor:
        """Log normaliser log Z of each row's own chain for these lengths, float64, on the CPU."""
        lengths, aspects = lengths.cpu(), aspects.cpu()
        tables = torch.stack([chain.log_normalizers(int(lengths.max())) for chain in self.chains])
        return tables[aspects, lengths]


def priors_of(chains: Sequence[ChainPrior]) -> ChainPrior | AspectPriors:
    """The chain itself, if there is one, or those of several targets."""
    return chains[0] if len(chains) == 1 else AspectPriors(tuple(chains))


class TensorChainPrior:
    """p(z) of :class:`ChainPrior` with tensors for parameters: :meth:`distribution` is differentiable in them.

    So rate and span can be drawn from hyperpriors in a Pyro program, or fitted by gradients. There are no tables: the
    messages of a batch are computed anew, so a prior that stays as it is should be a :class:`ChainPrior`.

    Args:
        alpha: nats per kept word; any shape that goes with the batch shape of `lengths`, say `(K, 1)` for K particles.
        gamma: nats per change between kept and dropped, likewise.
        nonempty: give the empty mask no probability.

    Raises:
        ConfigError: a parameter that is not finite, or too large to compute with.
    """

    def __init__(self, alpha: Tensor, gamma: Tensor, nonempty: bool = False) -> None:
        self.alpha, self.gamma = torch.broadcast_tensors(alpha, gamma)
        self.nonempty = nonempty
        for name, value in (("alpha", self.alpha), ("gamma", self.gamma)):
            if not bool((value.detach().abs() <= LARGEST).all()):  # NaN fails as well
                raise ConfigError(f"the prior's {name} is beyond {LARGEST:g} nats; take a less extreme rate and span")

    @classmethod
    def from_rate_span(cls, rate: Tensor, span: Tensor, nonempty: bool = False) -> Self:
        """The chain that keeps the share `rate` of the words in runs of `span` words on average.

        Raises:
            ConfigError: a rate outside (0, 1), a span of 1 or less, or a span too short for so high a rate.
        """
        leave = 1.0 / span
        enter = rate * leave / (1.0 - rate)
        if not bool(((rate > 0.0) & (rate < 1.0) & (leave > 0.0) & (leave < 1.0) & (enter < 1.0)).all()):
            raise ConfigError(
                "expected rates between 0 and 1, and spans above both 1 and rate / (1 - rate), got rates from "
                f"{float(rate.min()):g} to {float(rate.max()):g} and spans from {float(span.min()):g} to "
                f"{float(span.max()):g}; a span of (1 + x) / (1 - rate), x > 0, is always long enough"
            )
        stay, out = torch.log1p(-leave), torch.log1p(-enter)
        return cls(out - stay, 0.5 * (stay + out - enter.log() - leave.log()), nonempty)

    def distribution(
        self, lengths: Tensor, max_len: int, dtype: torch.dtype = torch.float32, excluded: Tensor | None = None
    ) -> LinearChain | NonEmptyMask:
        """p(z) for documents of these lengths; arguments as for :meth:`ChainPrior.distribution`."""
        alpha, gamma = (value.to(dtype)[..., None] for value in (self.alpha, self.gamma))
        fields = (-alpha).expand(*torch.broadcast_shapes(alpha.shape[:-1], lengths.shape), max_len)
        chain = LinearChain(fields, gamma.expand(*gamma.shape[:-1], max(max_len - 1, 0)), lengths)
        if excluded is not None:
            chain = chain.excluding(excluded)
        return NonEmptyMask(chain) if self.nonempty else chain


def fit_prior(
    kept: Tensor,
    changes: Tensor,
    lengths: Tensor,
    start: ChainPrior,
    excluded: Tensor | None = None,
    weight: float = 1.0,
) -> ChainPrior:
    """The chain that maximises E_q[log p(z)], and with it the ELBO: rate and span by empirical Bayes.

    Its gradient is E_p[sum z] - E_q[sum z] and E_p[changes] - E_q[changes], summed over documents, so the maximum has
    q's moments, ends of texts, empty masks and excluded words accounted for. It is the only one, log Z being convex.

    Args:
        kept: E_q of the kept words, `(N,)`, or sentences where masks are over them.
        changes: E_q of the changes, `(N,)`.
        lengths: words, or sentences, `(N,)`.
        start: where to begin; `nonempty` is taken from it.
        excluded: which words no run begins or ends with, `(N, T)`.
        weight: number of further texts, of mean length, whose masks are those of `start`. They keep the parameters
            finite where q never keeps a word, or never changes.
    """
    if not len(lengths):
        return start
    lengths = lengths.long().cpu()
    counts = torch.ones(len(lengths), dtype=torch.float64)
    if excluded is None:
        lengths, counts = lengths.unique(return_counts=True)
    else:
        excluded = excluded.cpu()
    longest, total = max(1, int(lengths.max())), counts.sum()
    extra = (lengths * counts).sum().div(total).ceil().long().clamp_min(1)[None]
    known = start.distribution(extra, int(extra), torch.float64)
    sums = torch.stack([
        kept.double().sum().cpu() + weight * known.mean.sum(),
        changes.double().sum().cpu() + weight * known.change.sum(),
    ])

    def loss(parameters: Tensor) -> Tensor:
        prior = TensorChainPrior(parameters[0], parameters[1], start.nonempty)
        log_z = (counts * prior.distribution(lengths, longest, torch.float64, excluded).log_normalizer).sum()
        log_z = log_z + weight * prior.distribution(extra, int(extra), torch.float64).log_normalizer.sum()
        return ((parameters * sums).sum() + log_z) / (total + weight)

    alpha, gamma = _minimum(loss, [start.alpha, start.gamma])
    return ChainPrior(alpha, gamma, start.nonempty)


def _minimum(loss: Callable[[Tensor], Tensor], start: list[float]) -> list[float]:
    """Where a convex function of two parameters is least, by Newton steps of at most 1 nat that are halved if need be.

    A parameter that makes no difference stays where it is.
    """
    here = torch.tensor(start, dtype=torch.float64)
    with torch.enable_grad():
        for _ in range(MOST_STEPS):
            here = here.detach().requires_grad_()
            value = loss(here)
            slope = torch.autograd.grad(value, here, create_graph=True)[0]
            curvature = torch.stack([torch.autograd.grad(part, here, retain_graph=True)[0] for part in slope])
            step = torch.linalg.solve(curvature + 1e-9 * torch.eye(2, dtype=torch.float64), slope.detach())
            step = step / max(1.0, float(step.abs().max()))
            with torch.no_grad():
                here = here.detach()
                while float(step.abs().max()) > CONVERGED and loss(here - step) > value:
                    step = step / 2
                here = (here - step).clamp(-LARGEST, LARGEST)
            if float(step.abs().max()) <= CONVERGED:
                break
    return [float(value) for value in here]


@lru_cache(maxsize=64)
def _tables(alpha: float, gamma: float, max_len: int) -> Tensor:
    """Per number of words behind (for log Z: in all): backward logits, log Z; `(2, max_len + 1)`.

    The recurrence is that of `scan.backward_logits`, once, in Python's floats.
    """
    logits, normalizers = [], [0.0]
    below = 0.0  # log of the summed weights of what follows a dropped word
    logit = -alpha
    for _ in range(max_len):
        logits.append(logit)
        normalizers.append(below + _softplus(logit))
        apart = _softplus(logit - gamma)
        below += apart
        before, logit = logit, -alpha + _softplus(logit + gamma) - gamma - apart
        if logit == before:  # far from the end nothing changes any more, and training needs a table at every step
            last = _softplus(logit)
            for _ in range(max_len + 1 - len(normalizers)):
                normalizers.append(below + last)
                below += apart
            logits += [logit] * (max_len - len(logits))
            break
    logits.append(logit)  # unused, so that both are of one size
    return torch.tensor([logits, normalizers], dtype=torch.float64)


def _to_device(table: Tensor, device: torch.device) -> Tensor:
    """Move a table to the device, from pinned memory: other copies wait until the device has done all its work."""
    if device.type != "cuda":
        return table.to(device)
    return table.pin_memory().to(device, non_blocking=True)


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
