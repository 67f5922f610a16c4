"""`MaskDistribution`, the base class of all distributions over word masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
import torch.nn.functional as F
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_rationale.distributions.scan.scan import softplus

if TYPE_CHECKING:
    from pyro_rationale.distributions.chain import LinearChain


class _MaskValues(constraints.Constraint):
    """Masks, and the relaxed masks between them that a reparameterised guide hands to the prior.

    Discrete all the same, so that no sampler for continuous sites takes `z` for one.
    """

    is_discrete = True
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return ((value >= 0) & (value <= 1)).all(-1)


mask_values = _MaskValues()


def length_mask(lengths: Tensor | None, size: int) -> Tensor | None:
    """Bool, `(*b, size)`: True on words. `None` where every row is full."""
    if lengths is None:
        return None
    return torch.arange(size, device=lengths.device) < lengths[..., None]


def is_wider(uniform: Tensor, parameters: Tensor) -> bool:
    """Whether numbers to draw with are of higher precision than a distribution's parameters."""
    return uniform.dtype == torch.float64 != parameters.dtype


class MaskDistribution(TorchDistribution):
    """A distribution over masks z in {0, 1}^T of words, of documents of differing lengths.

    Samples are floats `(*sample, *batch, T)`; padding, behind a document's length, is 0 in samples, `mean` and `mode`
    and plays no part in `log_prob` and `entropy`. Expanding copies nothing: all views of a distribution share one set
    of parameters and one store of values computed from them.

    Args:
        batch_shape: shape of the parameters' batch.
        size: words in the longest document, T.
        lengths: long, `(*batch,)` or broadcastable to it; `None` if no document is padded.
        validate_args: check parameters here and values in `log_prob`. `None` is the class's default for parameters
            on the CPU, and no for those on an accelerator: every look at a value there stops the program until the
            device has done all it was given.

    Attributes:
        has_exact_marginals: whether `mean`, `change` and `entropy` are closed forms with gradients for documents of any
            length. If not, KL and entropy are summed along sampled prefixes, from `conditional_logits`.
        has_independent_words: whether it is a product over words, with `logits` as its parameters.
        has_hard_rsample: whether its reparameterised samples can be 0/1 masks.
        has_sample_from: whether masks can be drawn from given numbers, so that a document's do not depend on the others
            of a batch.
        can_exclude: whether there is an `excluding`.

    Raises:
        ValueError: a length below 0 or above T.
    """

    has_exact_marginals: ClassVar[bool] = True
    has_independent_words: ClassVar[bool] = False
    has_hard_rsample: ClassVar[bool] = False
    has_sample_from: ClassVar[bool] = False
    can_exclude: ClassVar[bool] = False
    support = mask_values
    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def __init__(
        self,
        batch_shape: Sequence[int],
        size: int,
        lengths: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if size < 1:
            raise ValueError("a mask distribution needs at least one word, got T = 0")
        batch_shape = torch.Size(batch_shape)
        self._lengths = None if lengths is None else lengths.expand(batch_shape)
        self._mask = length_mask(self._lengths, size)
        self._own_shape = batch_shape
        self._store: dict[str, tuple[bool, Any]] = {}
        super().__init__(batch_shape, torch.Size([size]), validate_args=False)
        if validate_args is None:
            del self._validate_args  # back to the class's default, which pyro.enable_validation sets
        else:
            self._validate_args = validate_args

    def _check_parameters(self) -> None:
        """For the end of a subclass's `__init__`: torch would look at parameters that are not there yet."""
        if "_validate_args" not in self.__dict__ and self._device.type != "cpu":
            self._validate_args = False
        if not self._validate_args:
            return
        size = self._event_shape[0]
        if self._lengths is not None and self._lengths.numel():
            low, high = int(self._lengths.min()), int(self._lengths.max())
            if low < 0 or high > size:
                raise ValueError(f"expected lengths within [0, {size}], got lengths from {low} to {high}")
        for name in self.arg_constraints:
            if not bool(torch.isfinite(getattr(self, name)).all()):
                kind = type(self).__name__
                raise ValueError(f"{kind}: expected finite {name}, got NaN or infinity on a word")

    # Values computed from the parameters, at their own batch shape.

    def _cached(self, name: str, compute: Callable[[], Any]) -> Any:
        """`compute()`, once; again only when gradients are wanted now and were not then."""
        stored = self._store.get(name)
        if stored is None or (torch.is_grad_enabled() and not stored[0]):
            stored = self._store[name] = (torch.is_grad_enabled(), compute())
        return stored[1]

    def _spread(self, value: Tensor, event_dim: int = 1) -> Tensor:
        """A view of a parameter-shaped value at this distribution's batch shape."""
        event_shape = value.shape[value.dim() - event_dim :]
        return value.expand(self._batch_shape + event_shape)

    def _fill(self, value: Tensor) -> Tensor:
        """Zero behind the documents: words `(*, T)` that are padding, pairs `(*, T - 1)` whose second word is."""
        if self._mask is None:
            return value
        mask = self._mask if value.shape[-1] == self._mask.shape[-1] else self._mask[..., 1:]
        return torch.where(mask, value, 0.0)

    def __getstate__(self) -> dict[str, Any]:
        # Stored values can be computed again, and may hang on a graph that neither copies nor pickles.
        return {**self.__dict__, "_store": {}}

    def expand(self, batch_shape: Any, _instance: Distribution | None = None) -> Self:
        """A view at a larger batch shape that shares parameters and everything computed from them."""
        batch_shape = torch.Size(batch_shape)
        fits = len(batch_shape) >= len(self._batch_shape) and all(
            old in (1, new) for old, new in zip(reversed(self._batch_shape), reversed(batch_shape), strict=False)
        )
        if not fits:
            raise ValueError(f"cannot expand batch shape {tuple(self._batch_shape)} to {tuple(batch_shape)}")
        return self._viewed(batch_shape)

    @property
    def origin(self) -> Self:
        """The distribution as it was made, before any `expand`: its closed forms, without copies of each."""
        return self._viewed(self._own_shape)

    def _viewed(self, batch_shape: torch.Size) -> Self:
        if batch_shape == self._batch_shape:
            return self
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._batch_shape = batch_shape
        return new

    @property
    def lengths(self) -> Tensor | None:
        """Long, `(*batch,)`: words per document, or `None` if all have T."""
        return None if self._lengths is None else self._spread(self._lengths, 0)

    @property
    def word_mask(self) -> Tensor:
        """Bool, `(*batch, T)`, True on words; `mask` is a method of every Pyro distribution."""
        mask = self._mask
        if mask is None:
            mask = torch.ones(self._event_shape, dtype=torch.bool, device=self._device)
        return self._spread(mask)

    @property
    def _device(self) -> torch.device:
        """Device of the parameters."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        """`(*batch, T)`: P(z_t = 1)."""
        raise NotImplementedError

    @property
    def change(self) -> Tensor:
        """`(*batch, T - 1)`: P(z_{t+1} != z_t); 0 where either is padding."""
        raise NotImplementedError

    @property
    def variance(self) -> Tensor:
        """`(*batch, T)`: variance of each word's own choice."""
        return self.mean * (1 - self.mean)

    def weighted_variance(self, weights: Tensor) -> Tensor:
        """Variance of sum_t weights_t z_t, with the covariances of all pairs of words, in O(T).

        Args:
            weights: `(*s, *batch, T)`; what stands on padding plays no part.

        Returns:
            `(*s, *batch)`, differentiable in the parameters.

        Raises:
            NotImplementedError: there is no closed form.
        """
        raise NotImplementedError(f"{type(self).__name__} has no covariances in closed form")

    @property
    def mode(self) -> Tensor:
        """`(*batch, T)`: a most probable mask."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """Entropy in nats, `(*batch,)`."""
        raise NotImplementedError

    def responsibilities(self, value: Tensor) -> Tensor | None:
        """How likely each part of a mixture is to have drawn masks, `(M, *sample, *batch)`; `None` of no mixture."""
        return None

    def sample_from(self, uniform: Tensor) -> Tensor:
        """The masks that numbers in [0, 1) stand for, `(*sample, *batch, T)` both, in the precision of the numbers.

        Raises:
            NotImplementedError: there is no such way to draw them (`has_sample_from`).
        """
        raise NotImplementedError(f"{type(self).__name__} draws no masks from given numbers")

    def precise_sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """0/1 masks from uniform numbers in double precision, `(*sample_shape, *batch, T)`: for draws to be weighted.

        A uniform number in float32 is a multiple of 2^-24: a word of a smaller probability is kept as often as one of
        that probability, or never, and a weight p / q of its mask then estimates nothing.
        """
        shape = torch.Size(sample_shape) + self._batch_shape + self._event_shape
        return self.sample_from(torch.rand(shape, dtype=torch.float64, device=self._device))

    # Other views of the same distribution.

    def discrete(self) -> MaskDistribution:
        """The distribution over 0/1 masks that every reported figure is about; itself, unless samples are relaxed."""
        return self

    def as_chain(self) -> LinearChain | None:
        """This distribution as a linear chain, `None` if it is not one."""
        return None

    @property
    def unconditioned(self) -> MaskDistribution:
        """The distribution of which this one is a conditional, given that a word is kept; itself if it is none."""
        return self

    def condition_alike(self, other: MaskDistribution) -> MaskDistribution:
        """`other`, given that a word is kept if this distribution is so conditioned."""
        return other

    def tilt(self, delta: float | Tensor, coupling: float = 0.0) -> MaskDistribution:
        """q'(z) proportional to q(z) exp(-delta sum z_t - coupling sum |z_t - z_{t-1}|), in closed form.

        Args:
            delta: nats by which the price of every kept word rises, of all masks or of each, `(*batch, 1)`.
            coupling: nats by which the price of every change rises.

        Raises:
            NotImplementedError: there is no closed form.
        """
        chain = self.discrete().as_chain()
        if chain is None:
            raise NotImplementedError(f"{type(self).__name__} has no closed form under another prior")
        return chain.tilt(delta, coupling)

    def excluding(self, excluded: Tensor) -> MaskDistribution:
        """A distribution with these parameters of which (practically) no run of kept words ends on an excluded word.

        A chain may keep such words between others, see :mod:`pyro_rationale.distributions.exclusion`. Distributions
        that do not know what comes behind a word do not keep them at all.

        Args:
            excluded: bool, `(*batch, T)`, False on padding.

        Raises:
            NotImplementedError: there is none.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot leave words out")

    # What masks are chosen by: the word, unless a subclass says otherwise.

    @property
    def by_unit(self) -> MaskDistribution:
        """The distribution of the choices that masks are made of, one for each word or one for each sentence."""
        return self

    def over_words(self, value: Tensor) -> Tensor:
        """Numbers of the choices `(*s, U)` at each word, `(*s, T)`."""
        return value

    def unit_values(self, value: Tensor) -> Tensor:
        """Numbers of the words `(*s, T)`, equal within a unit, at each choice, `(*s, U)`; the inverse."""
        return value

    # Conditionals of each word given those before it.

    @property
    def transitions(self) -> Tensor:
        """`(*batch, T, 2)`: logit of p(z_t = 1 given z_{t-1} = i), if the distribution is a Markov chain.

        Both columns are that of p(z_0 = 1) at t = 0. Values on padding are finite and mean nothing.
        """
        raise NotImplementedError(f"{type(self).__name__} is not a Markov chain")

    def conditional_logits(self, value: Tensor) -> Tensor:
        """Logits of p(z_t = 1 given z_<t) along `value`, `(*sample, *batch, T)`; they mean nothing on padding."""
        off, on = self.transitions.unbind(-1)
        return torch.where(F.pad(value[..., :-1], (1, 0)) > 0, on, off)

    def word_log_probs(self, value: Tensor) -> Tensor:
        """Log probabilities p(z_t given z_<t) along `value`, `(*sample, *batch, T)`; 0 on padding."""
        logits = self.conditional_logits(value)
        return self._fill(value * logits - softplus(logits))

    def inclusion(self, value: Tensor) -> Tensor:
        """P(z_t = 1) if marginals are exact, else P(z_t = 1 given z_<t) along `value`; differentiable, 0 on padding."""
        return self.mean

    def approximate_mean(self) -> Tensor:
        """`(*batch, T)`: about P(z_t = 1), found without sampling and without gradients."""
        return self.mean.detach()
