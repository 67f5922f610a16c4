"""`RationaleGuide`: q(z | x), or q(z | x, y), from a generator, as a Pyro program with the one site `z`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self, cast

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import MaskDistribution, NonEmptyMask, UnitMask
from pyro_rationale.errors import ConfigError
from pyro_rationale.guides._aspects import AspectRows
from pyro_rationale.guides._target import TargetContext
from pyro_rationale.models.program import Program, weighted
from pyro_rationale.nn import BiLSTM


class GuideConfig(Protocol):
    """The part of a configuration that guides read."""

    @property
    def model(self) -> Any:
        """Options of the networks, `temperature` among them."""

    @property
    def estimator(self) -> str:
        """Name of the gradient estimator."""

    @property
    def nonempty(self) -> bool:
        """Whether empty masks have no probability."""

    @property
    def whole_units(self) -> bool:
        """Whether masks keep or drop clauses or sentences, and not words."""


class RationaleGuide(Program):
    """An amortized guide: `guide(batch)` samples the site `z`; `guide.posterior(batch)` is its distribution.

    A subclass defines `distribution` and `start_rate`, and says by its attributes what goes with it.

    A guide with a `target` is two guides in one network. The program then reads the targets of a batch that has
    them, as the ELBO wants it: q(z | x, y). In training each document's target is hidden with probability 1/2, and
    what the network says then is q(z | x). `posterior` is that one, for it is what predictions are made from: it
    looks at no target unless `see_target`.

    Args:
        generator: features per word.
        baseline: predicts the downstream cost of a document from its (detached) mean features, `(B, H) -> (B, 1)`;
            used only by Pyro's own score-function objectives (NVIL), `None` for no baseline.
        target: how a target becomes the generator's context, `None` for a guide that reads the text alone.
        aspects: number of targets that have masks of their own, each with a head of its own on the features of the
            words, which are the same for all; 1 for one mask for all targets. The program of an ordinary batch then has
            a plate `aspects` around that of the documents, and `z` is `(aspects, B, T)`; a batch of rows about one
            target each, which `posterior` needs, has the one plate.

    Attributes:
        family: class of its distributions; what estimators and norms it goes with follows from that.
        default_estimator: estimator for `--estimator auto`.
        default_tau: weight of the entropy unless `--tau` says otherwise.
        default_entropy: its weight until the target rate is reached, unless `--entropy` says otherwise.
        default_control: what holds the rate for `--control auto`.
        penalties: values of `--penalties` that it knows.
        is_baseline: whether it stands for a method of others, to compare with.
        nonempty: whether its distributions are conditioned on keeping a word.
        whole_units: whether they keep or drop clauses or sentences, whose features are the means of their words'.
        head_width: numbers per word that a linear `head` makes of the features; 0 for no such head.
        has_aspects: whether there can be a head for each of several targets. Its constructor then takes `aspects`, and
            `distribution` the rows.
    """

    family: ClassVar[type[MaskDistribution]] = MaskDistribution
    default_estimator: ClassVar[str] = "muprop"
    default_tau: ClassVar[float] = 0.25
    default_entropy: ClassVar[float] = 0.25
    default_control: ClassVar[str] = "rate"
    penalties: ClassVar[tuple[str, ...]] = ("exact", "sampled", "constant")
    is_baseline: ClassVar[bool] = False
    head_width: ClassVar[int] = 0
    has_aspects: ClassVar[bool] = False
    head: nn.Linear
    nonempty: bool = False
    whole_units: bool = False

    def __init__(
        self,
        generator: BiLSTM,
        baseline: nn.Module | None = None,
        target: TargetContext | None = None,
        aspects: int = 1,
    ) -> None:
        super().__init__()
        self.aspects = aspects
        self.generator = generator
        self.baseline = baseline
        self.target = target
        if self.head_width:
            self.head = nn.Linear(generator.width, self.head_width * aspects)

    @classmethod
    def from_config(
        cls,
        config: GuideConfig,
        generator: BiLSTM,
        baseline: nn.Module | None = None,
        target: TargetContext | None = None,
        coupling: float = 0.5,
        aspects: int = 1,
    ) -> Self:
        """An untrained guide; where the constructor takes more, `own_options` says so.

        Args:
            config: options of the fit.
            generator: features per word.
            baseline: see the class.
            target: see the class.
            coupling: the prior's, in nats per change of the mask.
            aspects: see the class.

        Raises:
            ConfigError: it can have one head only.
        """
        if aspects > 1 and not cls.has_aspects:
            raise ConfigError(f"--masks per-target: {cls.__name__} has one mask for all targets; take --masks shared")
        heads = {"aspects": aspects} if aspects > 1 else {}
        guide = cls(generator, baseline, target=target, **heads, **cls.own_options(config, coupling))
        guide.nonempty, guide.whole_units = config.nonempty, config.whole_units
        return guide

    @classmethod
    def can_be_nonempty(cls) -> bool:
        """Whether its distributions have everything in closed form, given that a word is kept."""
        return cls.family.has_exact_marginals and not cls.family.has_rsample

    @classmethod
    def own_options(cls, config: GuideConfig, coupling: float) -> dict[str, Any]:
        """Arguments of the constructor that only this guide has; see `from_config`."""
        return {}

    def distribution(self, features: Tensor, lengths: Tensor, rows: AspectRows | None = None) -> MaskDistribution:
        """q(z | x) from features `(B, T, H)`; each guide's own part.

        Args:
            features: of the words of different texts.
            lengths: words of each text; with `rows`, of each row.
            rows: rows about one target each, which the masks are for; `None` for a mask of each text.
        """
        raise NotImplementedError(f"{type(self).__name__} must define distribution()")

    def start_rate(self, rate: float) -> None:
        """Set the head's bias so that an untrained guide keeps about the share `rate` of the words."""
        raise NotImplementedError(f"{type(self).__name__} must define start_rate()")

    @property
    def can_shift(self) -> bool:
        """Whether :meth:`shift` is defined: one bias of the head is the field on all words."""
        return self.head_width == 1

    def shift(self, nats: float | Sequence[float]) -> None:
        """Make every kept word dearer by so many nats: `q.tilt(nats)` of every text, by the head's bias.

        Args:
            nats: for all targets, or for each of those that have masks of their own.
        """
        with torch.no_grad():
            self.head.bias.sub_(self.head.bias.new_tensor(nats))

    def posterior(self, batch: Batch, see_target: bool = False) -> MaskDistribution:
        """The distribution over masks of a batch: batch shape `(B,)`, event shape `(T,)`. Samples nothing.

        Args:
            batch: texts; their targets make no difference unless `see_target`.
            see_target: q(z | x, y) instead of q(z | x); unknown targets (NaN) tell it nothing.

        Raises:
            ValueError: `see_target` of a guide that was not built for it, or of a batch without targets.
        """
        context = self._shown(batch) if see_target else None
        return self._masks(batch, *self._read(batch, context))

    def forward(self, batch: Batch) -> Tensor:
        """The Pyro program; a guide with a `target` reads those of the batch, half of them while it trains.

        Returns:
            The sampled mask, `(*s, B, T)`.
        """
        rows = self._rows(batch)
        context = None
        if self.target is not None and batch.targets is not None:
            context = self._shown(rows)
            if self.training:
                context = context * (torch.rand(*context.shape[:-1], 1, device=context.device) < 0.5)
        texts, features, heads = self._read(rows, context)
        q = self._masks(rows, texts, features, heads)
        return self._sample(batch, rows, q, self._baseline_hint(features, texts, heads))

    def _rows(self, batch: Batch) -> Batch:
        """A grid `(aspects, B)` of rows about one target each, if that is what masks are of; else the batch."""
        return batch.aspect_grid(self.aspects) if self.aspects > 1 and batch.aspects is None else batch

    def _sample(self, batch: Batch, rows: Batch, q: MaskDistribution, hint: dict[str, Any]) -> Tensor:
        """The site `z` in its plates; `rows` as `_rows` makes them of the batch, `hint` for Pyro's `infer`."""
        infer = cast(Any, hint)
        with pyro.plate("documents", len(batch), dim=-1), weighted(batch):
            if rows is batch:
                return pyro.sample("z", q, infer=infer)
            rated = torch.ones(()).bool() if rows.targets is None else (~rows.targets.isnan()).any(-1)
            with pyro.plate("aspects", self.aspects, dim=-2), poutine.mask(mask=cast(Any, rated)):
                return pyro.sample("z", q, infer=infer)

    def _read(self, batch: Batch, context: Tensor | None) -> tuple[Batch, Tensor, AspectRows | None]:
        """Texts and the features of their words: of each different text once, if it does not matter who asks.

        Args:
            batch: texts; rows about one target each, or a grid of them `(aspects, B)`, for a guide with aspects.
            context: of each row.
        """
        if self.aspects == 1:
            return batch, self._features(batch, context), None
        if batch.aspects is None:
            raise ValueError("expected rows about one target each: every target has a mask of its own")
        shape = batch.aspects.shape
        rows = batch if len(shape) == 1 else batch.flat
        owners = rows.owners
        if context is not None or owners is None:
            texts, owners = rows, torch.arange(len(rows), device=rows.tokens.device)
            context = None if context is None else context.flatten(0, -2)
        else:
            texts = rows.texts
        features = self._features(texts, context)
        return texts, features, AspectRows(owners.reshape(shape), batch.aspects, self.aspects)

    def _masks(
        self, batch: Batch, texts: Batch, features: Tensor, heads: AspectRows | None = None
    ) -> MaskDistribution:
        """The distribution from features of the words, with a choice for each of them or, pooled, for each sentence."""
        own = () if heads is None else (heads,)
        if not self.whole_units:
            q = self.distribution(features, batch.lengths, *own)
            return self._conditioned(q if batch.excluded is None else q.excluding(batch.excluded))
        units, starts = texts.units, texts.unit_starts
        if units is None or starts is None or batch.units is None or batch.unit_starts is None:
            raise ValueError('expected a batch with units for a guide that keeps them: encode(unit="sentence")')
        inside = (units[:, None] == torch.arange(starts.shape[1], device=units.device)[:, None]) & texts.mask[:, None]
        share = inside.to(features.dtype) / inside.sum(-1, keepdim=True).clamp_min(1)
        q = self.distribution(share @ features, batch.unit_lengths, *own)
        return UnitMask(self._conditioned(q), batch.units, batch.unit_starts, batch.lengths)

    def _conditioned(self, q: MaskDistribution) -> MaskDistribution:
        return NonEmptyMask(q) if self.nonempty else q

    def _features(self, batch: Batch, context: Tensor | None) -> Tensor:
        """Features that the heads are applied to, `(B, T, H)`."""
        if context is None:
            return self.generator(batch.tokens, batch.lengths)
        return self.generator(batch.tokens, batch.lengths, context)

    def _shown(self, batch: Batch) -> Tensor:
        """The targets of a batch as a context, `(B, C)`."""
        if self.target is None:
            raise ValueError("this guide reads the text alone; fit one with --condition-on-target for q(z | x, y)")
        return self.target(batch).to(self.generator.dtype)

    def _baseline_hint(self, features: Tensor, batch: Batch, heads: AspectRows | None = None) -> dict[str, Any]:
        """Pyro's `infer` entry for a neural baseline (its type leaves that out), or nothing."""
        if self.baseline is None:
            return {}
        mask = batch.mask[..., None].to(features.dtype)
        pooled = ((features * mask).sum(1) / mask.sum(1)).detach()
        pooled = pooled if heads is None else pooled[heads.owners]
        network = self.baseline

        def predict(inputs: Tensor) -> Tensor:
            """The baseline, of exactly the shape that Pyro gives the cost: `(B,)`, but `()` for a single document."""
            return network(inputs).squeeze()

        return {"baseline": {"nn_baseline": predict, "nn_baseline_input": pooled}}
