"""`MixtureMask`: an equal mixture of distributions over masks, such as those of the members of an ensemble."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pyro_rationale.distributions.base import MaskDistribution


class MixtureMask(MaskDistribution):
    """q(z) = 1/M sum_m q_m(z): one of the parts, each as likely as the others, and a mask from it.

    Marginals, probabilities, samples and the conditionals of a word given those before it are exact. Entropy has no
    closed form and is summed along sampled prefixes, as that of a recurrent guide is. The mode is one of the parts'
    own modes, which need not be the most probable mask of the mixture.

    Args:
        parts: of one shape and of the same documents.
    """

    has_exact_marginals = False  # not of the entropy

    def __init__(self, parts: Sequence[MaskDistribution]) -> None:
        first = parts[0]
        if any((part.batch_shape, part.event_shape) != (first.batch_shape, first.event_shape) for part in parts):
            raise ValueError("expected distributions of the same documents, got several shapes")
        self.parts = tuple(part.origin for part in parts)
        self.__dict__["has_sample_from"] = all(part.has_sample_from for part in parts)
        origin, validate = self.parts[0], first.__dict__.get("_validate_args")
        super().__init__(origin.batch_shape, origin.event_shape[0], origin.lengths, validate)
        self._check_parameters()
        self._batch_shape = first.batch_shape

    @property
    def _device(self) -> torch.device:
        return self.parts[0]._device

    def _average(self, of: Callable[[MaskDistribution], Tensor]) -> Tensor:
        return torch.stack([of(part) for part in self.parts]).mean(0)

    # Moments.

    @property
    def mean(self) -> Tensor:
        """`(*batch, T)`: P(z_t = 1), the mean over the parts."""
        return self._spread(self._cached("mean", lambda: self._average(lambda part: part.mean)))

    @property
    def change(self) -> Tensor:
        """`(*batch, T - 1)`: P(z_{t+1} != z_t); 0 where either is padding."""
        return self._spread(self._cached("change", lambda: self._average(lambda part: part.change)))

    @property
    def mode(self) -> Tensor:
        """`(*batch, T)`: of the modes of the parts, the one that differs from the others in the fewest words.

        The most probable of the modes would be that of the surest part, mostly the shortest, however alone it is.
        """

        def compute() -> Tensor:
            modes = torch.stack([part.mode for part in self.parts])
            best = (modes * (2 * modes.mean(0) - 1)).sum(-1).argmax(0)  # words that most have, less those that few have
            return modes.gather(0, best[None, ..., None].expand(1, *modes.shape[1:]))[0]

        with torch.no_grad():
            return self._spread(self._cached("mode", compute))

    def approximate_mean(self) -> Tensor:
        """`(*batch, T)`: about P(z_t = 1), found without sampling and without gradients."""
        return self._spread(self._average(lambda part: part.approximate_mean()))

    # Samples and their probabilities.

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Independent masks, `(*sample_shape, *batch, T)`, each from a part of its own."""
        shape = torch.Size(sample_shape) + self._batch_shape
        with torch.no_grad():
            chosen = torch.randint(len(self.parts), shape, device=self._device)
            return _chosen([part.expand(self._batch_shape).sample(sample_shape) for part in self.parts], chosen)

    def sample_from(self, uniform: Tensor) -> Tensor:
        """The masks that numbers in [0, 1) stand for, `(*sample, *batch, T)` both.

        The first number of each mask says which part it is from, and what is left of it is the first word's.

        Raises:
            NotImplementedError: masks of a part cannot be drawn from given numbers.
        """
        scaled = uniform[..., 0] * len(self.parts)
        chosen = scaled.long().clamp_max(len(self.parts) - 1)
        rest = torch.cat([(scaled - chosen)[..., None], uniform[..., 1:]], dim=-1)
        return _chosen([part.sample_from(rest) for part in self.parts], chosen)

    def precise_sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """0/1 masks from uniform numbers in double precision, `(*sample_shape, *batch, T)`."""
        if self.has_sample_from:
            return super().precise_sample(sample_shape)
        chosen = torch.randint(len(self.parts), torch.Size(sample_shape) + self._batch_shape, device=self._device)
        return _chosen([part.expand(self._batch_shape).precise_sample(sample_shape) for part in self.parts], chosen)

    def log_prob(self, value: Tensor) -> Tensor:
        """`(*sample, *batch)`."""
        each = torch.stack([part.log_prob(value) for part in self.parts])
        return each.logsumexp(0) - math.log(len(self.parts))

    def responsibilities(self, value: Tensor) -> Tensor:
        """q(m | z), how likely each part is to have drawn masks; parts alike for masks that none can draw."""
        each = torch.stack([part.log_prob(value) for part in self.parts])
        return torch.where(each.isfinite().any(0), each, 0.0).softmax(0)

    def conditional_logits(self, value: Tensor) -> Tensor:
        """Logits of p(z_t = 1 given z_<t) along `value`, `(*sample, *batch, T)`; they mean nothing on padding."""
        logits = torch.stack([part.conditional_logits(value) for part in self.parts])
        words = torch.stack([part.word_log_probs(value) for part in self.parts])
        weights = F.pad(words[..., :-1].cumsum(-1), (1, 0))  # log p_m(z_<t): how much each part counts by then
        kept, dropped = ((weights + F.logsigmoid(sign * logits)).logsumexp(0) for sign in (1, -1))
        return kept - dropped

    # Other views.

    def discrete(self) -> MixtureMask:
        """The mixture of the distributions over 0/1 masks."""
        return MixtureMask([part.discrete() for part in self.parts])._viewed(self._batch_shape)

    @property
    def by_unit(self) -> MaskDistribution:
        """The mixture of the choices that masks are made of."""
        units = [part.by_unit for part in self.parts]
        return self if units[0] is self.parts[0] else MixtureMask(units)._viewed(self._batch_shape)

    def over_words(self, value: Tensor) -> Tensor:
        """Numbers of the choices `(*s, U)` at each word, `(*s, T)`."""
        return self.parts[0].over_words(value)

    def unit_values(self, value: Tensor) -> Tensor:
        """Numbers of the words `(*s, T)` at each choice, `(*s, U)`."""
        return self.parts[0].unit_values(value)

    def condition_alike(self, other: MaskDistribution) -> MaskDistribution:
        """`other`, given that a word is kept if the parts are so conditioned."""
        return self.parts[0].condition_alike(other)


def _chosen(values: Sequence[Tensor], chosen: Tensor) -> Tensor:
    """Masks of the chosen parts, out of `(M, *s, T)`, `(*s)` -> `(*s, T)`."""
    stacked = torch.stack(list(values))
    return stacked.gather(0, chosen[None, ..., None].expand(1, *stacked.shape[1:]))[0]
