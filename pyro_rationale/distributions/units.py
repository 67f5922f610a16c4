"""`UnitMask`: masks that keep or drop whole units of several words, such as sentences."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pyro.distributions.util import broadcast_shape
from torch import Tensor

from pyro_rationale.distributions.base import MaskDistribution
from pyro_rationale.distributions.nonempty import CERTAIN

TRAITS = ("has_exact_marginals", "has_rsample", "has_hard_rsample", "has_sample_from")


class UnitMask(MaskDistribution):
    """A distribution over the masks of words in which all words of a unit are kept, or none of them.

    It is another distribution, with one choice for each unit, whose values are read word by word. So probabilities,
    entropy and every KL are those of the choices, and marginals, samples and modes are those of the words: whoever
    reads masks of words need not know of units. A mask that cuts a unit has no probability.

    Args:
        base: the choices, event shape `(U,)`, batch shape `(*batch,)`; its lengths are the numbers of units.
        units: long, `(*batch, T)`; which unit a word belongs to. Units are runs of words, numbered from 0 in their
            order; values on padding are not used, but must be numbers of units.
        starts: long, `(*batch, U)`; the first word of each unit, any word for units that a document has not.
        lengths: long, `(*batch,)`; words per document, or `None` if no document is padded.
    """

    def __init__(self, base: MaskDistribution, units: Tensor, starts: Tensor, lengths: Tensor | None = None) -> None:
        if starts.shape[-1:] != base.event_shape:
            raise ValueError(f"expected first words of {base.event_shape[0]} units, got {starts.shape[-1]}")
        self.base = base.origin
        self._units, self._starts = units, starts
        self.__dict__.update({trait: getattr(base, trait) for trait in TRAITS})
        validate = base.__dict__.get("_validate_args")
        super().__init__(self.base.batch_shape, units.shape[-1], lengths, validate)
        self._check_parameters()
        self._batch_shape = base.batch_shape

    @property
    def _device(self) -> torch.device:
        return self.base._device

    # Between units and words.

    @property
    def by_unit(self) -> MaskDistribution:
        """The distribution of the choices, event shape `(U,)`."""
        return self.base.expand(self._batch_shape)

    def over_words(self, value: Tensor) -> Tensor:
        """Numbers of units `(*s, U)` at each of their words, `(*s, T)`; 0 on padding."""
        return self._fill(_gathered(value, self._units))

    def unit_values(self, value: Tensor) -> Tensor:
        """Numbers of words `(*s, T)` at the first word of each unit, `(*s, U)`; 0 for units that are not there."""
        return self.base._fill(_gathered(value, self._starts))

    def _is_start(self) -> Tensor:
        """Bool, `(*b, T)`: True on the first word of each unit."""
        return F.pad(self._units[..., 1:] != self._units[..., :-1], (1, 0), value=True)

    # Moments.

    @property
    def mean(self) -> Tensor:
        """`(*batch, T)`: P(z_t = 1)."""
        return self._spread(self._cached("mean", lambda: self.over_words(self.base.mean)))

    @property
    def change(self) -> Tensor:
        """`(*batch, T - 1)`: P(z_{t+1} != z_t); 0 inside a unit, and where either word is padding."""

        def compute() -> Tensor:
            ahead = _gathered(F.pad(self.base.change, (0, 1)), self._units[..., :-1])  # a last unit has no next one
            return self._fill(torch.where(self._is_start()[..., 1:], ahead, 0.0))

        return self._spread(self._cached("change", compute))

    def weighted_variance(self, weights: Tensor) -> Tensor:
        """Variance of sum_t weights_t z_t, `(*s, *batch)`: the words of a unit weigh together."""
        weights = self._fill(weights)
        index = self._units.expand(weights.shape)
        totals = weights.new_zeros(*weights.shape[:-1], self._starts.shape[-1]).scatter_add(-1, index, weights)
        return self.base.weighted_variance(totals)

    def entropy(self) -> Tensor:
        """`(*batch,)`: entropy of the choices."""
        return self.by_unit.entropy()

    @property
    def mode(self) -> Tensor:
        """`(*batch, T)`: a most probable mask."""
        return self._spread(self._cached("mode", lambda: self.over_words(self.base.mode)))

    # Samples and their probabilities.

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Masks, `(*sample_shape, *batch, T)`."""
        return self.over_words(self.by_unit.sample(torch.Size(sample_shape)))

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Masks with gradients, `(*sample_shape, *batch, T)`, if the choices have such samples."""
        return self.over_words(self.by_unit.rsample(torch.Size(sample_shape)))

    def sample_from(self, uniform: Tensor) -> Tensor:
        """The masks that numbers in [0, 1) stand for, `(*sample, *batch, T)` both; a unit's is that of its first word.

        Raises:
            NotImplementedError: masks of this base cannot be drawn from given numbers.
        """
        return self.over_words(self.base.sample_from(self.unit_values(uniform)))

    def precise_sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """0/1 masks from uniform numbers in double precision, `(*sample_shape, *batch, T)`."""
        if self.has_sample_from:
            return super().precise_sample(sample_shape)
        return self.over_words(self.by_unit.precise_sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """`(*sample, *batch)`; -inf where the words of a unit differ."""
        if self._validate_args:
            self._validate_sample(value)
        choices = self.unit_values(value)
        whole = (self.over_words(choices) == self._fill(value)).all(-1)
        return self.base.log_prob(choices).masked_fill(~whole, -torch.inf)

    # Conditionals: of its first word the unit's own, of the others the word before.

    @property
    def transitions(self) -> Tensor:
        """`(*batch, T, 2)`: logit of p(z_t = 1 given z_{t-1} = i), if the choices are a Markov chain."""
        at_start = torch.stack([self.over_words(column) for column in self.by_unit.transitions.unbind(-1)], -1)
        return torch.where(self._is_start()[..., None], at_start, at_start.new_tensor([-CERTAIN, CERTAIN]))

    def conditional_logits(self, value: Tensor) -> Tensor:
        """Logits of p(z_t = 1 given z_<t) along `value`, `(*sample, *batch, T)`; they mean nothing on padding."""
        at_start = self.over_words(self.base.conditional_logits(self.unit_values(value)))
        before = F.pad(value[..., :-1], (1, 0))
        return torch.where(self._is_start(), at_start, torch.where(before > 0, CERTAIN, -CERTAIN).to(at_start))

    def inclusion(self, value: Tensor) -> Tensor:
        """P(z_t = 1), or P(z_t = 1 given the units before) along `value`; differentiable, 0 on padding."""
        return self.over_words(self.by_unit.inclusion(self.unit_values(value)))

    def approximate_mean(self) -> Tensor:
        """`(*batch, T)`: about P(z_t = 1), found without sampling and without gradients."""
        return self.over_words(self.by_unit.approximate_mean())

    # Other views.

    def _with(self, base: MaskDistribution) -> UnitMask:
        return UnitMask(base, self._units, self._starts, self._lengths)

    def discrete(self) -> UnitMask:
        """The distribution over 0/1 masks."""
        return self._with(self.by_unit.discrete())

    def condition_alike(self, other: MaskDistribution) -> UnitMask:
        """`other`, a distribution of choices, over these units and given that one is kept if this one is."""
        return self._with(self.base.condition_alike(other))

    def tilt(self, delta: float | Tensor, coupling: float = 0.0) -> UnitMask:
        """The distribution under which every kept unit is dearer by `delta` nats, every change by `coupling`."""
        return self._with(self.by_unit.tilt(delta, coupling))


def _gathered(value: Tensor, index: Tensor) -> Tensor:
    """Numbers of the last dimension at `index`, with all leading dimensions broadcast."""
    shape = broadcast_shape(value.shape[:-1], index.shape[:-1])
    return value.expand(*shape, value.shape[-1]).gather(-1, index.expand(*shape, index.shape[-1]))
