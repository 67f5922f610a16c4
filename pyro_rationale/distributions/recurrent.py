"""`RecurrentMask`: each decision sees all earlier ones, as the dependent generator of Lei et al. (2016) does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map_only

from pyro_rationale.distributions.base import MaskDistribution
from pyro_rationale.distributions.scan import bernoulli_entropy, softplus

ENUMERABLE = 10  # words up to which all masks are enumerated
BEAMS = 16
SEED = 20160601  # of the estimates' own generator: the same distribution always reports the same figures


class Cell(Protocol):
    """What :class:`RecurrentMask` needs of a network; `state` is any nest of tensors with the batch in front."""

    def initial(self, features: Tensor) -> Any:
        """The state before the first word, from features `(*b, T, H)`."""

    def step(self, features: Tensor, previous: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One word: features `(*b, H)`, the decision before `(*b,)` -> its logit `(*b,)`, the next state."""

    def unroll(self, features: Tensor, previous: Tensor) -> Tensor:
        """All words, decisions given: `(*b, T, H)`, `(*b, T)` -> logits `(*b, T)`, equal to those of `step`."""


class _Moments(NamedTuple):
    mean: Tensor
    change: Tensor
    entropy: Tensor


class RecurrentMask(MaskDistribution):
    """p(z) = prod_t Bernoulli(z_t; sigmoid(cell(features_1..t, z_1..t-1))).

    `log_prob`, samples and conditionals are exact. `mean`, `change` and `entropy` have no closed form: where no
    document has more than 10 words they are exact sums over all masks, with gradients; otherwise Monte Carlo
    estimates without gradients, averages of the exact conditionals over `draws` prefixes (Rao-Blackwell) from a
    generator of their own, so that asking twice gives the same figures and leaves the global random state alone.
    For gradients use `prefix_kl` and `prefix_entropy`. `mode` is exact up to 10 words, and the best of a beam
    search beyond.

    Args:
        features: `(*batch, T, H)`.
        cell: the recurrence; it sees batches with one leading dimension.
        lengths: long, `(*batch,)`, or `None` if no document is padded.
        draws: prefixes behind each estimate; a marginal's standard error is at most 1 / (2 sqrt(draws)).
        validate_args: refuse features that are not numbers, and values outside [0, 1].
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(
        self,
        features: Tensor,
        cell: Cell,
        lengths: Tensor | None = None,
        draws: int = 64,
        validate_args: bool | None = None,
    ) -> None:
        batch_shape = features.shape[:-2]
        if lengths is not None:
            batch_shape = torch.broadcast_shapes(batch_shape, lengths.shape)
        super().__init__(batch_shape, features.shape[-2], lengths, validate_args)
        self._features = features.expand(*batch_shape, *features.shape[-2:])
        if self._mask is not None:
            self._features = torch.where(self._mask[..., None], self._features, features.new_zeros(()))
        self.cell = cell
        self.draws = draws
        if self._validate_args and not bool(torch.isfinite(self._features).all()):
            raise ValueError("expected finite features in RecurrentMask, got NaN or infinity on a word")

    @property
    def _device(self) -> torch.device:
        return self._features.device

    @property
    def features(self) -> Tensor:
        """`(*batch, T, H)`; 0 on padding."""
        return self._spread(self._features, 2)

    # Conditionals.

    def conditional_logits(self, value: Tensor) -> Tensor:
        """Logits of p(z_t = 1 given z_<t) along `value`, `(*sample, *batch, T)`.

        They mean nothing on padding. The last answer is kept: `log_prob`, `prefix_kl` and `prefix_entropy` of one
        sample cost one pass together.
        """
        last = self._store.get("unrolled")
        if last is not None and (last[0] or not torch.is_grad_enabled()):
            known, version, logits = last[1]
            if known is value and version == value._version:
                return logits
        previous = F.pad(value[..., :-1], (1, 0))
        shape = torch.broadcast_shapes(value.shape, self._own_shape + self._event_shape)
        features = self._features.expand(*shape, self._features.shape[-1])
        features = features.reshape(-1, *features.shape[-2:])
        logits = self.cell.unroll(features, previous.expand(shape).reshape(-1, shape[-1])).reshape(shape)
        self._store["unrolled"] = (torch.is_grad_enabled(), (value, value._version, logits))
        return logits

    def word_log_probs(self, value: Tensor) -> Tensor:
        """log p(z_t given z_<t) along `value`, `(*sample, *batch, T)`; 0 on padding."""
        logits = self.conditional_logits(value)
        return self._fill(value * logits - softplus(logits))

    def log_prob(self, value: Tensor) -> Tensor:
        """`(*sample, *batch)`."""
        if self._validate_args:
            self._validate_sample(value)
        return self.word_log_probs(value).sum(-1)

    # Sampling: word by word.

    def _words(self, shape: torch.Size) -> Iterator[Tensor]:
        """Word after word its features `(N, H)`, for the N documents of `shape` = `(*more, *own batch)`."""
        return (column.expand(*shape, -1).reshape(shape.numel(), -1) for column in self._features.unbind(-2))

    def _initial(self, shape: torch.Size) -> Any:
        """The cell's first state for the same N documents."""
        flat = self._features.reshape(-1, *self._features.shape[-2:])

        def widen(part: Tensor) -> Tensor:
            part = part.reshape(*self._own_shape, *part.shape[1:])
            rest = part.shape[len(self._own_shape) :]
            return part.expand(*shape, *rest).reshape(shape.numel(), *rest)

        return tree_map_only(Tensor, widen, self.cell.initial(flat))

    @torch.no_grad()
    def _draw(self, shape: torch.Size, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Masks and the logits they were drawn with, `(*shape, T)` each."""
        state = self._initial(shape)
        previous = self._features.new_zeros(shape.numel())
        masks, logits = [], []
        for t, features in enumerate(self._words(shape)):
            logit, state = self.cell.step(features, previous, state)
            uniform = torch.rand(logit.shape, dtype=logit.dtype, device=logit.device, generator=generator)
            previous = (uniform < torch.sigmoid(logit)).to(features.dtype)
            if self._mask is not None:
                previous = previous * self._mask[..., t].expand(shape).reshape(-1)
            masks.append(previous.reshape(shape))
            logits.append(logit.reshape(shape))
        return torch.stack(masks, dim=-1), torch.stack(logits, dim=-1)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Exact and independent masks, `(*sample_shape, *batch, T)`."""
        return self._draw(torch.Size(sample_shape) + self._batch_shape)[0]

    # Moments: exact for short documents, estimated for long ones.

    def _longest(self) -> int:
        size = self._event_shape[0]
        return size if self._lengths is None or not self._lengths.numel() else int(self._lengths.max())

    def _every_mask(self) -> tuple[Tensor, Tensor]:
        """All masks of the longest document's words, `(2^n, *own batch, T)`, and the log probability of each.

        Masks that reach into padding have probability 0; the probabilities of a document sum to 1.
        """
        longest, size = self._longest(), self._event_shape[0]
        bits = self._features.new_tensor(list(itertools.product((0.0, 1.0), repeat=longest)))
        masks = F.pad(bits, (0, size - longest)).reshape(-1, *(1,) * len(self._own_shape), size)
        masks = masks.expand(-1, *self._own_shape, size)
        log_probs = self.word_log_probs(masks).sum(-1)
        if self._mask is not None:
            log_probs = log_probs.masked_fill(((masks > 0) & ~self._mask).any(-1), -torch.inf)
        return masks, log_probs

    def _moments(self) -> _Moments:
        return self._cached("moments", self._exact if self._longest() <= ENUMERABLE else self._estimated)

    def _exact(self) -> _Moments:
        masks, log_probs = self._every_mask()
        weights = log_probs.exp()
        changes = self._fill((masks[..., 1:] != masks[..., :-1]).to(masks.dtype))
        entropies = self._fill(bernoulli_entropy(self.conditional_logits(masks))).sum(-1)
        mean, change = ((weights[..., None] * values).sum(0) for values in (masks, changes))
        return _Moments(mean, change, (weights * entropies).sum(0))

    @torch.no_grad()
    def _estimated(self) -> _Moments:
        generator = torch.Generator(device=self._device).manual_seed(SEED)
        masks, logits = self._draw(torch.Size([self.draws]) + self._own_shape, generator)
        chosen = torch.sigmoid(logits)
        changed = torch.where(masks[..., :-1] > 0, 1 - chosen[..., 1:], chosen[..., 1:])
        entropies = self._fill(bernoulli_entropy(logits)).sum(-1)
        return _Moments(self._fill(chosen.mean(0)), self._fill(changed.mean(0)), entropies.mean(0))

    @property
    def mean(self) -> Tensor:
        """`(*batch, T)`: P(z_t = 1), estimated if a document has more than 10 words."""
        return self._spread(self._moments().mean)

    @property
    def change(self) -> Tensor:
        """`(*batch, T - 1)`: P(z_{t+1} != z_t), 0 next to padding; estimated if a document has over 10 words."""
        return self._spread(self._moments().change)

    def entropy(self) -> Tensor:
        """`(*batch,)`, in nats, estimated if a document has more than 10 words."""
        return self._spread(self._moments().entropy, 0)

    @property
    def mode(self) -> Tensor:
        """`(*batch, T)`: a most probable mask, up to 10 words; beyond, the best that a beam search finds."""
        with torch.no_grad():
            search = self._best_of_all if self._longest() <= ENUMERABLE else self._beam
            return self._spread(self._cached("mode", search))

    def _best_of_all(self) -> Tensor:
        masks, log_probs = self._every_mask()
        best = log_probs.argmax(0, keepdim=True)[..., None]
        return masks.gather(0, best.expand(1, *masks.shape[1:]))[0]

    def _beam(self) -> Tensor:
        count = self._own_shape.numel()
        shape = torch.Size([BEAMS]) + self._own_shape
        state = self._initial(shape)
        documents = torch.arange(count, device=self._device)
        scores = self._features.new_full((BEAMS, count), -torch.inf)
        scores[0] = 0.0  # the other beams are copies of the first until they branch
        masks = self._features.new_zeros(BEAMS, count, 0)
        previous = self._features.new_zeros(BEAMS * count)
        for t, features in enumerate(self._words(shape)):
            logit, state = self.cell.step(features, previous, state)
            logit = logit.reshape(BEAMS, count)
            dropped, kept = scores - softplus(logit), scores - softplus(-logit)
            if self._mask is not None:
                alive = self._mask[..., t].reshape(count)
                dropped, kept = torch.where(alive, dropped, scores), kept.masked_fill(~alive, -torch.inf)
            scores, choice = torch.cat([dropped, kept]).topk(BEAMS, dim=0)
            parent, bit = choice % BEAMS, (choice >= BEAMS).to(features.dtype)
            rows = (parent * count + documents).reshape(-1)
            state = tree_map_only(Tensor, partial(_take, rows), state)
            masks = torch.cat([masks[parent, documents], bit[..., None]], dim=-1)
            previous = bit.reshape(-1)
        return masks[0].reshape(*self._own_shape, -1)


def _take(rows: Tensor, part: Tensor) -> Tensor:
    return part[rows]
