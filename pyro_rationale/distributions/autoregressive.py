"""`RecurrentMask`: each decision sees all earlier ones, as the dependent generator of Lei et al. (2016) does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from pyro.distributions.util import broadcast_shape
from torch import Tensor
from torch.utils._pytree import tree_map_only

from pyro_rationale.distributions.base import MaskDistribution
from pyro_rationale.distributions.exclusion import COST, own_sake
from pyro_rationale.distributions.scan.scan import bernoulli_entropy, softplus

ENUMERABLE = 10  # words up to which all masks are enumerated
BEAMS = 4
SWEEPS = 3  # of `approximate_mean`
SEED = 20160601  # of the estimates' own generator: the same distribution always reports the same figures


class Cell(Protocol):
    """The network of a :class:`RecurrentMask`; `state` is any nest of tensors with the batch in front.

    A cell may have a faster way to sample, `draw(words, uniform, alive)`: from features `(T, B, H)`, uniform numbers
    `(T, S * B)` and 1 for a word and 0 for padding `(T, B)`, masks of 0 and 1 and their logits, `(T, S * B)` each; it
    is called without gradients. One that can leave words out has `shift(features, amount)`: features `(*b, T, H)` of
    which each logit is higher by `amount` `(*b, T)`.
    """

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
    For gradients use `sequential_kl` and `sequential_entropy`. `mode` is exact up to 10 words, and the best of a beam
    search beyond.

    Args:
        features: `(*batch, T, H)`.
        cell: the recurrence; it sees batches with one leading dimension.
        lengths: long, `(*batch,)`, or `None` if no document is padded.
        draws: prefixes behind each estimate; a marginal's standard error is at most 1 / (2 sqrt(draws)).
        validate_args: refuse features that are not numbers, and values outside [0, 1].
    """

    has_exact_marginals = False
    can_exclude = True
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
            batch_shape = broadcast_shape(batch_shape, lengths.shape)
        super().__init__(batch_shape, features.shape[-2], lengths, validate_args)
        self._features = features.expand(*batch_shape, *features.shape[-2:])
        if self._mask is not None:
            self._features = torch.where(self._mask[..., None], self._features, features.new_zeros(()))
        self.cell = cell
        self.draws = draws
        self._check_parameters()
        if self._validate_args and not bool(torch.isfinite(self._features).all()):
            raise ValueError("expected finite features in RecurrentMask, got NaN or infinity on a word")

    @property
    def _device(self) -> torch.device:
        return self._features.device

    @property
    def features(self) -> Tensor:
        """`(*batch, T, H)`; 0 on padding."""
        return self._spread(self._features, 2)

    def excluding(self, excluded: Tensor) -> RecurrentMask:
        """The mask with logits lower by 30 on excluded words.

        Raises:
            NotImplementedError: its cell has no `shift`.
        """
        if not hasattr(self.cell, "shift"):
            raise NotImplementedError(f"{type(self.cell).__name__} cannot leave words out: it has no shift()")
        features = self.cell.shift(self._features, -COST * (~own_sake(excluded)).to(self._features.dtype))
        return RecurrentMask(features, self.cell, self._lengths, self.draws, self._validate_args)

    # Conditionals.

    def conditional_logits(self, value: Tensor) -> Tensor:
        """Logits of p(z_t = 1 given z_<t) along `value`, `(*sample, *batch, T)`.

        They mean nothing on padding. The last answer is kept: `log_prob`, `sequential_kl` and `sequential_entropy` of
        one sample cost one pass together.
        """
        last = self._store.get("unrolled")
        if last is not None and (last[0] or not torch.is_grad_enabled()) and _same(value, *last[1][:2]):
            return last[1][2]
        previous = F.pad(value[..., :-1], (1, 0))
        shape = broadcast_shape(value.shape, self._own_shape + self._event_shape)
        features = self._features.expand(*shape, self._features.shape[-1])
        features = features.reshape(-1, *features.shape[-2:])
        logits = self.cell.unroll(features, previous.expand(shape).reshape(-1, shape[-1])).reshape(shape)
        if not value.is_inference():
            self._store["unrolled"] = (torch.is_grad_enabled(), (value, value._version, logits))
        return logits

    def inclusion(self, value: Tensor) -> Tensor:
        """P(z_t = 1 given z_<t) along `value`, `(*sample, *batch, T)`; 0 on padding."""
        return torch.sigmoid(self.conditional_logits(value)) * self.word_mask

    @torch.no_grad()
    def approximate_mean(self) -> Tensor:
        """`(*batch, T)`: about P(z_t = 1), by feeding each word's probability to the next in place of its decision.

        That is done three times over, starting from nothing kept.
        """
        mean = torch.zeros_like(self.features[..., 0])
        for _ in range(SWEEPS):
            mean = self.inclusion(mean)
        return mean

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
            rest = part.shape[1:]
            return part.reshape(self._own_shape + rest).expand(shape + rest).reshape(shape.numel(), *rest)

        return tree_map_only(Tensor, widen, self.cell.initial(flat))

    @torch.no_grad()
    def _draw(
        self, shape: torch.Size, generator: torch.Generator | None = None, precise: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Masks and the logits they were drawn with, `(*shape, T)` each; `precise` with numbers in double precision."""
        if hasattr(self.cell, "draw"):
            return self._draw_at_once(shape, generator, precise)
        state = self._initial(shape)
        previous = self._features.new_zeros(shape.numel())
        masks, logits = [], []
        for t, features in enumerate(self._words(shape)):
            logit, state = self.cell.step(features, previous, state)
            dtype = torch.float64 if precise else logit.dtype
            uniform = torch.rand(logit.shape, dtype=dtype, device=logit.device, generator=generator)
            previous = (uniform < torch.sigmoid(logit.to(dtype))).to(features.dtype)
            if self._mask is not None:
                previous = previous * self._mask[..., t].expand(shape).reshape(-1)
            masks.append(previous.reshape(shape))
            logits.append(logit.reshape(shape))
        return torch.stack(masks, dim=-1), torch.stack(logits, dim=-1)

    def _draw_at_once(
        self, shape: torch.Size, generator: torch.Generator | None, precise: bool
    ) -> tuple[Tensor, Tensor]:
        """Masks and logits by a cell with a loop of its own, from the random numbers that `_draw` would use."""
        size = self._event_shape[0]
        words = self._features.reshape(-1, size, self._features.shape[-1]).transpose(0, 1)  # (T, own documents, H)
        dtype = torch.float64 if precise else words.dtype
        uniform = torch.rand(size, shape.numel(), dtype=dtype, device=words.device, generator=generator)
        alive = words.new_ones(words.shape[:2]) if self._mask is None else self._mask.reshape(-1, size).t().to(words)
        masks, logits = (rows.t().contiguous() for rows in self.cell.draw(words, uniform, alive))  # type: ignore[attr-defined]
        return masks.reshape(*shape, size), logits.reshape(*shape, size)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Exact and independent masks, `(*sample_shape, *batch, T)`."""
        return self._draw(torch.Size(sample_shape) + self._batch_shape)[0]

    def precise_sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """0/1 masks from uniform numbers in double precision, `(*sample_shape, *batch, T)`."""
        return self._draw(torch.Size(sample_shape) + self._batch_shape, precise=True)[0]

    # Moments: exact for short documents, estimated for long ones.

    def _longest(self) -> int:
        size = self._event_shape[0]
        return size if self._lengths is None or not self._lengths.numel() else int(self._lengths.max())

    def _moments(self) -> _Moments:
        return self._cached("moments", self._exact if self._longest() <= ENUMERABLE else self._estimated)

    def _tree(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Per word, for all 2^t prefixes: their probabilities, last decisions and next logits, `(2^t, N)` each.

        In the order of the prefixes' bits, the first decision the lowest. One item more holds the 2^n whole masks;
        its logits mean nothing.
        """
        count = self._own_shape.numel()
        state = self._initial(self._own_shape)
        weights = self._features.new_ones(1, count)
        previous = self._features.new_zeros(1, count)
        for t in range(self._longest()):
            features = self._features[..., t, :].reshape(count, -1).expand(len(weights), count, -1)
            logits, state = self.cell.step(features.reshape(-1, features.shape[-1]), previous.reshape(-1), state)
            logits = logits.reshape(-1, count)
            yield weights, previous, logits
            kept = torch.sigmoid(logits)
            if self._mask is not None:
                kept = kept * self._mask[..., t].reshape(count)
            weights = torch.cat([weights * (1 - kept), weights * kept])
            previous = torch.cat([torch.zeros_like(kept), torch.ones_like(kept)])
            state = tree_map_only(Tensor, lambda part: torch.cat([part, part]), state)
        yield weights, previous, weights

    def _exact(self) -> _Moments:
        levels = list(self._tree())[:-1]
        size = self._event_shape[0]
        kept = [(weights * torch.sigmoid(logits)).sum(0) for weights, _, logits in levels]
        # A word differs from the last with probability p if that was 0, and 1 - p if it was 1.
        flips = [(weights * torch.sigmoid(torch.where(on > 0, -z, z))).sum(0) for weights, on, z in levels[1:]]
        nats = [(weights * bernoulli_entropy(logits)).sum(0) for weights, _, logits in levels]
        mean, change, entropy = (
            self._fill(F.pad(self._columns(terms), (0, width - len(terms))))
            for terms, width in ((kept, size), (flips, size - 1), (nats, size))
        )
        return _Moments(mean, change, entropy.sum(-1))

    def _columns(self, columns: list[Tensor]) -> Tensor:
        """`(N,)` per word -> `(*own batch, words)`; of no words as well."""
        if not columns:
            return self._features.new_zeros(*self._own_shape, 0)
        return torch.stack(columns, dim=-1).reshape(*self._own_shape, -1)

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
        *_, (weights, _, _) = self._tree()
        best = weights.argmax(0).reshape(*self._own_shape, 1)
        masks = (best >> torch.arange(self._longest(), device=self._device) & 1).to(self._features.dtype)
        return F.pad(masks, (0, self._event_shape[0] - masks.shape[-1]))

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
            state = tree_map_only(Tensor, partial(torch.index_select, dim=0, index=rows), state)
            masks = torch.cat([masks[parent, documents], bit[..., None]], dim=-1)
            previous = bit.reshape(-1)
        return masks[0].reshape(*self._own_shape, -1)


def _same(value: Tensor, known: Tensor, version: int) -> bool:
    """Whether `value` is the tensor seen before, unchanged; a detached view will do if no gradient is at stake."""
    if value.is_inference() or value._version != version:
        return False
    if value.requires_grad or known.requires_grad:
        return value is known
    return value.data_ptr() == known.data_ptr() and value.shape == known.shape and value.stride() == known.stride()
