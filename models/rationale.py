"""The generative program: a mask from the Markov-chain prior, a target from the words it keeps.

z ~ p(z) = exp(-alpha sum z_t - gamma sum |z_t - z_{t-1}|) / Z, and y ~ p(y | x, z)^kappa, the power posterior of
docs/explanation/mathematics.md. Training holds the share of kept words by a constraint with multipliers of its own,
nats per kept word and per change, which are no part of p(z).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import AspectPriors, ChainPrior, Constraint, Prior, UnitMask, priors_of
from pyro_rationale.models.given_others import GivenOthers
from pyro_rationale.models.program import Program, weighted
from pyro_rationale.nn import Encoder
from pyro_rationale.nn.last_layer import LastLayer
from pyro_rationale.tasks import Likelihood


class RationaleModel(Program):
    """p(z) p(y | x, z)^kappa as a Pyro program: `model(batch)` has the sites `z` (event_dim 1) and `y`.

    Args:
        encoder: reads the kept words.
        likelihood: turns its output into a distribution over targets.
        prior: the Markov chain on masks.
        kappa: weight of the log likelihood; > 0.
        aspects: number of targets that have masks of their own, each with a prior of its own, which starts as `prior`;
            1 for one mask for all targets. The program of an ordinary batch then has a plate `aspects` around that of
            the documents, and `z` is `(aspects, B, T)`; a batch of rows about one target each has the one plate. Of
            the encoder's outputs, which are one for each target, a row's target is the only one that is observed.
    """

    couples_documents = False  # whether what is observed of one document depends on the masks of others
    kappa: Tensor
    prior_fields: Tensor
    steering_fields: Tensor

    def __init__(
        self, encoder: Encoder, likelihood: Likelihood, prior: ChainPrior, kappa: float = 1.0, aspects: int = 1
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.likelihood = likelihood
        self.register_buffer("kappa", torch.tensor(float(kappa), dtype=torch.float64))
        for name in ("prior_fields", "steering_fields"):
            fields = torch.tensor([prior.alpha, prior.gamma], dtype=torch.float64)
            self.register_buffer(name, fields if aspects == 1 else fields.repeat(aspects, 1))
        self.nonempty, self.aspects = prior.nonempty, aspects
        self._constrained = False
        self.word_dropout = 0.0
        self._missed: list[Tensor] | None = None  # words that all passes of a step miss, once they are drawn
        self.given_others: GivenOthers | None = None  # for a guide that is paid for what other targets do not say
        self.last_layer: LastLayer | None = None  # weights of the output layer that are not one number each
        self._read: dict[str, tuple[Tensor, int, list[float]]] = {}

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        # Older versions kept prior and constraint as one: then that is the prior, and there is no constraint.
        if prefix + "prior_fields" in state_dict:
            state_dict.setdefault(prefix + "steering_fields", state_dict[prefix + "prior_fields"])
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _numbers(self, name: str) -> list[float]:
        """A buffer's values; they are fetched from the device only if it has changed since."""
        buffer: Tensor = getattr(self, name)
        if buffer.is_inference():
            return buffer.reshape(-1).tolist()
        known = self._read.get(name)
        if known is None or known[0] is not buffer or known[1] != buffer._version:
            known = self._read[name] = (buffer, buffer._version, buffer.reshape(-1).tolist())
        return known[2]

    def _chain(self, name: str) -> ChainPrior | AspectPriors:
        numbers = self._numbers(name)
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return priors_of([ChainPrior(alpha, gamma, self.nonempty) for alpha, gamma in pairs])

    def _set_chain(self, name: str, prior: ChainPrior | AspectPriors) -> None:
        fields: Tensor = getattr(self, name)
        chains = prior.chains if isinstance(prior, AspectPriors) else (prior,) * self.aspects
        values = [value for chain in chains for value in (chain.alpha, chain.gamma)]
        for field, value in zip(fields.view(-1), values, strict=True):
            field.fill_(value)  # unlike a copy from the CPU, this does not wait for the device
        if not fields.is_inference():
            self._read[name] = (fields, fields._version, values)

    @property
    def prior(self) -> ChainPrior | AspectPriors:
        """p(z): asked for, or learned by maximum ELBO; where targets have masks of their own, that of each.

        It is state and no argument of the program, for guides take the same arguments, and checkpoints keep it.
        """
        return self._chain("prior_fields")

    @prior.setter
    def prior(self, prior: ChainPrior | AspectPriors) -> None:
        self._set_chain("prior_fields", prior)

    @property
    def steering(self) -> ChainPrior | AspectPriors:
        """The chain proportional to p(z) times the constraint, exp(-word sum z_t - change sum |z_t - z_{t-1}|).

        Guides are trained against it. The trainer sets it between the guide's pass and the model's, in a hook on the
        model, since what a step charges follows from the step before, which may still be under way on a GPU.
        """
        return self._chain("steering_fields")

    @steering.setter
    def steering(self, chain: ChainPrior | AspectPriors) -> None:
        self._set_chain("steering_fields", chain)

    @property
    def constraint(self) -> Constraint:
        """Nats that training charges beside the prior, the mean of all targets; 0 for a model without training."""
        steering, prior = self.steering, self.prior
        return Constraint(steering.alpha - prior.alpha, steering.gamma - prior.gamma)

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """The constraint of each target that has masks of its own; a single one for a mask of all."""
        chains = [
            chain.chains if isinstance(chain, AspectPriors) else (chain,) for chain in (self.steering, self.prior)
        ]
        pairs = zip(*chains, strict=True)
        return tuple(Constraint(held.alpha - own.alpha, held.gamma - own.gamma) for held, own in pairs)

    @contextmanager
    def constrained(self) -> Iterator[None]:
        """Context in which the program's masks are drawn from `steering` instead of p(z), as training wants them.

        KL(q || steering) is KL(q || p) plus what the constraint charges for q's masks plus log E_p[exp(-constraint)],
        which has nothing to do with q: its gradients are those of the ELBO less the constraint.
        """
        before, self._constrained = self._constrained, True
        try:
            yield
        finally:
            self._constrained = before

    @property
    def in_force(self) -> ChainPrior | AspectPriors:
        """The chain of the site `z`: p(z), or `steering` within :meth:`constrained`."""
        return self.steering if self._constrained else self.prior

    def mask_prior(self, batch: Batch, dtype: torch.dtype = torch.float32) -> Prior:
        """p(z) of a batch, batch shape `(B,)`, event shape `(T,)`; within :meth:`constrained`, the steering chain."""
        prior, units, starts = self.in_force, batch.units, batch.unit_starts
        own = {"aspects": batch.aspects} if isinstance(prior, AspectPriors) else {}
        if units is None or starts is None:
            return prior.distribution(batch.lengths, batch.tokens.shape[-1], dtype, batch.excluded, **own)
        choices = prior.distribution(batch.unit_lengths, starts.shape[-1], dtype, **own)
        return UnitMask(choices, units, starts, batch.lengths)

    @property
    def gain(self) -> float:
        """Nats per unit of the paper's cost: kappa / (2 sigma^2) for ratings, kappa for classes."""
        return self.likelihood.gain(self._numbers("kappa")[0])

    def predictive(self, batch: Batch, z: Tensor) -> dist.TorchDistribution:
        """p(y | x, z) for masks `z` of shape `(*s, B, T)`, in scaled units, not raised to kappa.

        With a posterior over the weights of the output layer (`--laplace`), these are integrated out; the program has
        the trained weights all the same.
        """
        return self.predictive_of(self.predictive_outputs(batch, z))

    def predictive_outputs(self, batch: Batch, z: Tensor) -> Tensor:
        """Outputs of the encoder for masks `z`, `(*s, B, *)`, with any variances behind; see :meth:`predictive_of`."""
        layer = self.last_layer
        head = {} if layer is None else {"head": partial(layer, self.encoder.output)}
        outputs: Tensor = self.encoder(batch.tokens, z, batch.lengths, **head)
        return outputs

    def predictive_of(self, outputs: Tensor, weights: Tensor | None = None) -> dist.TorchDistribution:
        """The distribution that :meth:`predictive` gives, from what was read `(*s, B, *)`.

        Args:
            outputs: from :meth:`predictive_outputs`.
            weights: of an ensemble's members, `(M, *s, B)`.
        """
        if self.last_layer is None:
            return self.likelihood(outputs)
        return self.likelihood.marginal(*outputs.chunk(2, dim=-1))

    def trained_outputs(self, outputs: Tensor) -> Tensor:
        """The outputs that the program has, with the trained weights, among those of :meth:`predictive_outputs`."""
        return outputs if self.last_layer is None else outputs.chunk(2, dim=-1)[0]

    def forward(self, batch: Batch) -> Tensor:
        """The program. Targets that are `None` are sampled; NaN targets (unrated aspects) are masked out.

        Returns:
            `y`, observed or sampled.
        """
        if self.aspects > 1 and batch.aspects is None:
            return self._about_aspects(batch)
        with pyro.plate("documents", len(batch), dim=-1), weighted(batch):
            return self._read_kept(batch, pyro.sample("z", self.mask_prior(batch, self.encoder.dtype)))

    def _about_aspects(self, batch: Batch) -> Tensor:
        """The program with a plate of aspects; documents play no part where an aspect is unrated."""
        grid = batch.aspect_grid(self.aspects)
        rated = torch.ones(()).bool() if grid.targets is None else (~grid.targets.isnan()).any(-1)
        documents = pyro.plate("documents", len(batch), dim=-1)
        aspects = pyro.plate("aspects", self.aspects, dim=-2)
        with aspects, documents, weighted(batch), poutine.mask(mask=cast(Any, rated)):
            z = pyro.sample("z", self.mask_prior(grid, self.encoder.dtype))
            return self._read_kept(replace(batch, targets=grid.targets), z)

    def thinned(self, z: Tensor) -> Tensor:
        """Masks `(*s, B, T)` as the program reads them: in training, it passes over each word with `word_dropout`.

        A word that says once more what another one says is then worth keeping. All masks of a row that are read
        together, or within :meth:`missing_words_once`, miss the same words, so that they differ by what they keep and
        not by luck.
        """
        if not self.training or not self.word_dropout:
            return z
        known = [] if self._missed is None else self._missed
        if not known:
            known.append(torch.rand(z.shape[-2:], device=z.device) >= self.word_dropout)
        return z * known[0].to(z.dtype)

    @contextmanager
    def missing_words_once(self) -> Iterator[None]:
        """Context in which every pass over one batch misses the same words: control variates fit what was sampled."""
        before, self._missed = self._missed, []
        try:
            yield
        finally:
            self._missed = before

    def _read_kept(self, batch: Batch, z: Tensor) -> Tensor:
        """The site `y` of masks `z`, inside the plate of documents."""
        if batch.targets is None:
            return pyro.sample("y", self.likelihood(self.encoder(batch.tokens, self.thinned(z), batch.lengths)))
        outputs, informed = self.read(batch, self.thinned(z))
        likelihood, targets = self.likelihood.observe(outputs, batch.targets)
        infer: Any = {} if informed is None else {"given_others": self.likelihood.observe(informed, batch.targets)[0]}
        with poutine.scale(scale=self._numbers("kappa")[0]):
            return pyro.sample("y", likelihood, obs=targets, infer=infer)

    def read(self, batch: Batch, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """The encoder's outputs for masks `(*s, B, T)`, and those that know the other targets of each row's document.

        The latter are there in training only, of a model that has :attr:`given_others`. Of rows about one target each,
        a mask `(U, T)` can be that of `batch.texts`: each text is then read once for all of its rows.
        """
        shared = batch.owners is not None and z.dim() == 2 and len(z) < len(batch)
        texts, informed = batch.texts if shared else batch, self.given_others
        if informed is None or batch.others is None or not self.training:
            plain = self.encoder(texts.tokens, z, texts.lengths)
            return plain[batch.owners] if shared else plain, None
        head = partial(informed.beside, self.encoder.output)
        both = self.encoder(texts.tokens, z, texts.lengths, head=head)
        result: tuple[Tensor, Tensor] = informed(both[batch.owners] if shared else both, batch.others)
        return result
