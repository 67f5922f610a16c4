"""The ELBO beside the paper's expected cost: every term of equation (3), and their difference.

Equations are those of docs/explanation/mathematics.md:

    objective(kappa, tau) = E_q[ kappa log p(y | x, z) + log p(z) ] + tau H(q)                                     (2)
    E_q[cost] = ( -objective(kappa, 1) + H(q) - log Z - kappa D/2 log(2 pi sigma^2) ) / gain                       (3)

gain is kappa / (2 sigma^2) for ratings. For classes the cost is the cross entropy, gain is kappa, and the Gaussian
constant goes. D counts the rated aspects of each document.

Both equations hold for p(z), and as well with what training charges beside it (the constraint that holds the share of
kept words) in the place of p(z): inside `model.constrained()`, the functions below are about that.

The two sides are made of different things, so that a mistake in one of them shows:

- *directly*: errors of the encoder's outputs, and expected numbers of kept words and of changes;
- *from the ELBO*: log probabilities of the likelihood, KL(q || p) and H(q), and log Z.

What is exact and what is averaged. Both sides average the reconstruction over the same K masks, drawn from the
discrete guide. Independent, relaxed and chain guides: all that concerns masks alone is exact; counts come from
marginals, the KL from the transition probabilities of both chains, H(q) and log Z from themselves. (The KL of
`kl_divergence` is made of that same log Z and that same entropy: in (3) they would cancel, and be right whatever they
are.) Recurrent guide: everything is an average over the same K masks, counts against log q and log p at them, log p
again from transitions. `sequential_kl` and `sequential_entropy` have less noise, but see each word's alternatives
where the counts see its decision: with them (3) holds only in the mean. As it is, (3) is an identity for each document
and each set of draws, and its residual is rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import AspectPriors, ChainPrior, LinearChain, MaskDistribution, NonEmptyMask
from pyro_rationale.distributions.exclusion import COST, ends_on
from pyro_rationale.distributions.masks import changes_of, flips_of
from pyro_rationale.distributions.scan.scan import bernoulli_kl
from pyro_rationale.models import RationaleModel


@dataclass(frozen=True)
class Setting:
    """The numbers of a run that (2) and (3) need.

    Attributes:
        prior: p(z), by alpha and gamma in nats; or p(z) times the constraint, for the objective of training. Of several
            targets with masks of their own, one for each.
        kappa: weight of the log likelihood.
        gain: nats per unit of the paper's cost.
        sigma: noise of the likelihood, in scaled units; `None` for classes.
        constant: nats of a likelihood per known target that do not depend on the outputs, 1/2 log(2 pi sigma^2) for
            a Normal one; 0 for classes.
        tau: weight of the entropy in the run's own objective.
    """

    prior: ChainPrior | AspectPriors
    kappa: float
    gain: float
    sigma: float | None
    constant: float
    tau: float

    @classmethod
    def of(cls, model: RationaleModel, tau: float) -> Setting:
        """Setting of a model in its present state; within `model.constrained()`, with all that training charges."""
        likelihood = model.likelihood
        return cls(model.in_force, float(model.kappa), model.gain, likelihood.noise, likelihood.log_normalizer(), tau)

    @property
    def lambdas(self) -> tuple[float, float]:
        """The paper's penalties per kept word and per change; of several targets, means."""
        return self.prior.lambdas(self.gain)

    def lambdas_of(self, aspects: Tensor | None) -> tuple[float | Tensor, float | Tensor]:
        """The paper's penalties, of each row's own target where there are several, `(N,)` each."""
        return row_lambdas(self.prior, self.gain, aspects)


def row_lambdas(
    prior: ChainPrior | AspectPriors, gain: float, aspects: Tensor | None
) -> tuple[float | Tensor, float | Tensor]:
    """The paper's penalties under a prior, or under the priors of the targets that rows are about, `(N,)` each."""
    if not isinstance(prior, AspectPriors) or aspects is None:
        return prior.lambdas(gain)
    alpha, gamma = prior.rows(aspects)
    return alpha / gain, gamma / gain


@dataclass(frozen=True)
class Terms:
    """Per document, float64, `(N,)` each.

    Attributes:
        error: squared error of the scaled ratings, or cross entropy in nats; summed over what is rated.
        kept: E|z|, words, or sentences where masks are over them.
        changes: E|dz|, changes between neighbours.
        log_likelihood: E log p(y | x, z), nats, kappa = 1.
        kl: KL(q || p), nats.
        entropy: H(q), nats.
        log_normalizer: log Z of the prior, nats.
        rated: D, targets that are known.
        words: length of the document, in what `kept` counts.
        ends: ends of runs that stand on excluded words, expected; `None` where no words are excluded.
        excluded: which words are, `(N, T)`, or `None`.
        aspects: which target each row is about, `(N,)`, where targets have masks of their own.
    """

    error: Tensor
    kept: Tensor
    changes: Tensor
    log_likelihood: Tensor
    kl: Tensor
    entropy: Tensor
    log_normalizer: Tensor
    rated: Tensor
    words: Tensor
    ends: Tensor | None = None
    excluded: Tensor | None = None
    aspects: Tensor | None = None

    def cpu(self) -> Terms:
        """A copy on the CPU."""
        parts = {f.name: getattr(self, f.name) for f in fields(Terms)}
        moved: dict[str, Any] = {name: None if part is None else part.cpu() for name, part in parts.items()}
        return Terms(**moved)

    @staticmethod
    def joined(parts: Sequence[Terms]) -> Terms:
        """Terms of several batches as one."""
        joined: dict[str, Any] = {f.name: [getattr(part, f.name) for part in parts] for f in fields(Terms)}
        excluded = joined.pop("excluded")
        joined = {name: None if each[0] is None else torch.cat(each) for name, each in joined.items()}
        joined["excluded"] = None if excluded[0] is None else stacked(excluded)
        return Terms(**joined)

    def under(self, prior: ChainPrior | AspectPriors) -> Terms:
        """Terms of this guide and these draws under another prior."""
        lengths = self.words.long()
        alpha: float | Tensor = prior.alpha
        gamma: float | Tensor = prior.gamma
        own = {}
        if isinstance(prior, AspectPriors):
            assert self.aspects is not None
            (alpha, gamma), own = prior.rows(self.aspects), {"aspects": self.aspects}
        if self.ends is None or self.excluded is None:
            if isinstance(prior, AspectPriors):
                assert self.aspects is not None
                log_z = prior.log_normalizers_of(lengths, self.aspects).to(self.words.device)
            else:
                log_z = prior.log_normalizers(int(lengths.max()))[lengths.cpu()].to(self.words.device)
            energy = alpha * self.kept + gamma * self.changes + log_z
        else:
            excluded = self.excluded
            log_z = prior.distribution(lengths, excluded.shape[1], self.words.dtype, excluded, **own).log_normalizer
            energy = alpha * self.kept + gamma * self.changes + COST * self.ends + log_z
        return replace(self, kl=energy - self.entropy, log_normalizer=log_z)


def stacked(excluded: Sequence[Tensor]) -> Tensor:
    """Flags `(B, T)` of the words of several batches as those of one."""
    longest = max(each.shape[1] for each in excluded)
    return torch.cat([F.pad(each, (0, longest - each.shape[1])) for each in excluded])


def mask_counts(q: MaskDistribution, samples: int) -> tuple[Tensor, Tensor]:
    """Expected numbers of kept words (or sentences) and of changes under a guide, `(B,)` each.

    Args:
        q: the guide's distribution, batch shape `(B,)`; a relaxed one stands for its discrete twin.
        samples: masks per document to count on, where it has no exact marginals.
    """
    q = q.discrete()
    if q.has_exact_marginals:
        return q.by_unit.mean.sum(-1), q.by_unit.change.sum(-1)
    return _counts(q.by_unit, q.unit_values(q.sample(torch.Size([samples]))))


def objective(terms: Terms, kappa: float, tau: float) -> Tensor:
    """Objective (2) per document, nats, `(N,)`; kappa = tau = 1 is the ELBO."""
    return kappa * terms.log_likelihood - terms.kl - (1.0 - tau) * terms.entropy


def direct_cost(terms: Terms, setting: Setting) -> Tensor:
    """E_q of Lei et al. (2016), equation 2, in its units: errors and counts, of excluded words too. `(N,)`."""
    lambda1, lambda2 = setting.lambdas_of(terms.aspects)
    cost = terms.error + lambda1 * terms.kept + lambda2 * terms.changes
    return cost if terms.ends is None else cost + COST / setting.gain * terms.ends


def cost_from_objective(terms: Terms, setting: Setting) -> Tensor:
    """E_q of that cost by equation (3), from the ELBO's own terms, `(N,)`."""
    constant = setting.kappa * terms.rated * setting.constant
    nats = -objective(terms, setting.kappa, 1.0) + terms.entropy - terms.log_normalizer - constant
    return nats / setting.gain


@dataclass(frozen=True)
class Residual:
    """How far the two sides of (3) are apart: of the means over documents, and of the worst document.

    Both relative to the mean cost; the cost of one document may be 0.
    """

    mean: float
    worst: float


def residual(terms: Terms, setting: Setting) -> Residual:
    """Difference of the two sides of (3)."""
    direct, derived = direct_cost(terms, setting), cost_from_objective(terms, setting)
    scale = abs(float(direct.mean()))
    if scale == 0.0:
        scale = 1.0
    return Residual(abs(float(derived.mean() - direct.mean())) / scale, float((derived - direct).abs().max()) / scale)


# The terms of one batch.


@torch.no_grad()
def batch_terms(model: RationaleModel, q: MaskDistribution, batch: Batch, samples: int) -> Terms:
    """All terms of a batch with targets, from `samples` masks per document (see above for what is averaged).

    Args:
        model: the generative program.
        q: the guide's distribution, batch shape `(B,)`; a relaxed one stands for its discrete twin.
        batch: with targets; NaN where an aspect is not rated.
        samples: K >= 1, from torch's current generator.

    Raises:
        ValueError: the batch has no targets.
    """
    if batch.targets is None:
        raise ValueError("expected a batch with targets, got none: a cost is a distance from them")
    q = q.discrete()
    z = q.sample(torch.Size([samples]))
    outputs = model.encoder(batch.tokens, z, batch.lengths)
    targets = batch.targets.to(outputs.dtype) if batch.targets.is_floating_point() else batch.targets
    likelihood, known = model.likelihood.observe(outputs, targets)
    p = model.mask_prior(batch, outputs.dtype)
    q, p, z = q.by_unit, p.by_unit, q.unit_values(z)  # from here on masks are no matter, choices are
    assert isinstance(p, LinearChain | NonEmptyMask)
    kept, changes = _counts(q, z)
    kl, entropy = _information(q, p, z)
    whole = {
        "error": model.likelihood.loss(outputs, targets).sum(-1).mean(0),
        "kept": kept,
        "changes": changes,
        "log_likelihood": likelihood.log_prob(known).mean(0),
        "kl": kl,
        "entropy": entropy,
        "log_normalizer": p.log_normalizer,
        "rated": (~targets.isnan()).sum(-1) if targets.dim() > 1 else torch.ones_like(targets),
        "words": batch.unit_lengths,
    }
    if batch.excluded is not None:
        whole["ends"] = _ends(q, z, batch.excluded)
    doubles = {name: value.double() for name, value in whole.items()}
    return Terms(**doubles, excluded=batch.excluded, aspects=batch.aspects)


def _counts(q: MaskDistribution, z: Tensor) -> tuple[Tensor, Tensor]:
    """E|z| and E|dz|, `(B,)`: from exact marginals, or counted on the draws `z (K, B, T)` of a recurrent guide."""
    if q.has_exact_marginals:
        return q.mean.sum(-1), q.change.sum(-1)
    return z.sum(-1).mean(0), changes_of(z, q.word_mask).mean(0)


def _ends(q: MaskDistribution, z: Tensor, excluded: Tensor) -> Tensor:
    """Ends of runs that stand on excluded words, `(B,)`, likewise."""
    if q.has_exact_marginals:
        return ends_on(excluded, q.word_mask, q.mean, q.change)
    return ends_on(excluded, q.word_mask, z, flips_of(z, q.word_mask)).mean(0)


def _information(q: MaskDistribution, p: LinearChain | NonEmptyMask, z: Tensor) -> tuple[Tensor, Tensor]:
    """KL(q || p) and H(q), `(B,)`: exact, or from log probabilities of the draws of a recurrent guide."""
    if q.has_exact_marginals:
        return stepwise_kl(q, p), q.entropy()
    entropy = _surprise(q, q.conditional_logits(z), z).mean(0)
    return (q.log_prob(z) + _surprise(q, p.conditional_logits(z), z)).mean(0), entropy


def _surprise(q: MaskDistribution, logits: Tensor, z: Tensor) -> Tensor:
    """-log probability of the masks `z (K, B, T)`, word by word from their logits, `(K, B)`."""
    losses = F.binary_cross_entropy_with_logits(logits, z, reduction="none")
    return torch.where(q.word_mask, losses, 0.0).sum(-1)


def stepwise_kl(q: MaskDistribution, p: LinearChain | NonEmptyMask) -> Tensor:
    """KL(q || p) by the chain rule, `(B,)`: sum_t E KL(q(z_t | z_{t-1}) || p(z_t | z_{t-1})), exact.

    Raises:
        NotImplementedError: q is not a Markov chain.
    """
    if isinstance(q, NonEmptyMask) and isinstance(p, NonEmptyMask):  # the first kept word, then every choice behind it
        first = torch.where(q.word_mask, q.log_first.exp() * (q.log_first - p.log_first), 0.0).sum(-1)
        off, on = bernoulli_kl(q.unconditioned.transitions, p.unconditioned.transitions).unbind(-1)
        dropped, kept = (F.pad(state[..., :-1], (1, 0)) for state in (q.dropped_behind, q.mean))
        return first + torch.where(q.word_mask, dropped * off + kept * on, 0.0).sum(-1)
    off, on = bernoulli_kl(q.transitions, p.transitions).unbind(-1)
    before = F.pad(q.mean[..., :-1], (1, 0))
    return torch.where(q.word_mask, (1.0 - before) * off + before * on, 0.0).sum(-1)
