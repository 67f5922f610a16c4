"""Objective (2) of docs/explanation/mathematics.md as a Pyro `ELBO`, in closed form wherever there is one.

    objective(kappa, tau) = E_q[ kappa log p(y | x, z) + log p(z) ] + tau H(q)

kappa is the model's own scale on the site `y`; tau belongs to the objective. kappa = tau = 1 is the ELBO, tau = 0
the expected cost of Lei et al. (2016, equation 2). Use it as any other Pyro objective: `SVI(model, guide, optim,
MaskELBO())`, or `MaskELBO()(model, guide)` with a torch optimiser.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import pyro
import torch
from pyro import poutine
from pyro.infer import ELBO
from pyro.poutine import Trace
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.ranking_batch import RankingBatch
from pyro_rationale.distributions import LinearChain, MaskDistribution, NonEmptyMask, Prior
from pyro_rationale.distributions.masks import changes_of
from pyro_rationale.errors import ConfigError
from pyro_rationale.inference.estimators import ESTIMATORS
from pyro_rationale.inference.estimators._base import (
    Draws,
    Programs,
    check_coupled,
    check_family,
    check_penalties,
    check_samples,
)
from pyro_rationale.inference.objectives.judge import Judge
from pyro_rationale.inference.terms import MaskTerms, best_terms, sampled_terms
from pyro_rationale.models import RankingModel
from pyro_rationale.models.program import frozen, unregistered


@dataclass(frozen=True)
class Estimate:
    """One evaluation of the objective on a batch; all in nats, summed over nothing but words.

    Attributes:
        surrogate: scalar whose gradient is the estimate of minus the objective's gradient, summed over documents.
        reconstruction: kappa log p(y | x, z), averaged over samples, `(B,)`, detached; like the next two, times the
            document's weight (:attr:`~pyro_rationale.data.batch.Batch.weights`), where it has one.
        kl: KL(q || p) per document, `(B,)`, detached.
        entropy: H(q) per document, `(B,)`, detached.
        kept: words kept by the samples, `(B,)`, detached; expected words where the guide has marginals.
        changes: changes of the mask, likewise.
    """

    surrogate: Tensor
    reconstruction: Tensor
    kl: Tensor
    entropy: Tensor
    kept: Tensor
    changes: Tensor

    def objective(self, tau: float) -> Tensor:
        """Objective (2) per document, `(B,)`."""
        return self.reconstruction - self.kl - (1.0 - tau) * self.entropy


class Objective(Protocol):
    """An objective that a trainer can use; `tau` may change from step to step."""

    num_particles: int
    tau: float

    def estimate(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Estimate:
        """Run guide and model on the batch in `args`."""


def make_objective(
    estimator: str, samples: int, tau: float, penalties: str = "exact", norm: str = "l0", overlap: float = 0.0
) -> Objective:
    """Objective (2) with the estimator of that name; arguments as for `MaskELBO`, which most estimators belong to."""
    own = ESTIMATORS[estimator].objective
    if own is not None:
        made: Objective = own(samples, tau)
        return made
    result = MaskELBO(estimator, samples, tau, penalties, norm)
    result.overlap = overlap
    return result


class MaskELBO(ELBO):
    """Weighted ELBO over masks, equation (2) of docs/explanation/mathematics.md, for `pyro.infer.SVI`.

    The reconstruction term has a gradient estimator of choice; KL and entropy are exact if they can be.

    Estimators are the modules of :mod:`pyro_rationale.inference.estimators`. For an autoregressive guide KL and entropy
    are summed along the sampled prefixes, and each word is credited only with what comes after it.

    With another norm than `l0`, the prior's field charges for a norm of the sampled mask in place of the expected
    number of kept words, for the question which norm is right. On 0/1 masks the L0 norm, the L1 norm and the squared
    L2 norm are one number; they differ on relaxed masks, whose weights L1 sums, and at the L2 norm itself, under which
    the tenth word costs less than the first. The objective is then no bound on an evidence: p(z) with another norm has
    another normaliser, which depends on neither guide nor model and is left out.

    With a `judge` the guide is trained on it instead of the labels, and only the encoder is fitted to the labels;
    figures stay those of objective (2).

    Where targets have masks of their own, `overlap` is a price in nats for each word that is kept for two targets.
    Given the text the guide's masks are independent, so the expected number of such words is exactly the sum over words
    and pairs of targets of the products of marginals. It is not part of p(z); nor is
    the constraint that holds the share of kept words.

    Args:
        estimator: name of an estimator.
        num_particles: K, samples per document, drawn in one pass.
        tau: weight of the guide's entropy, >= 0.
        penalties: `exact`; `sampled` for log q - log p at the samples with their own score term, as the paper does;
            or `constant`, which reports them and leaves them out of the gradient (a comparison, no way to fit).
        norm: `l0`; `l1`, the sum of weights; `l2`, the root of the sum of their squares.

    Attributes:
        judge: what the guide follows instead of the labels; `None`, the default: nothing.
        overlap: nats per word kept for two targets, 0 by default. Both are set on the object.

    Raises:
        ConfigError: unknown names, a K that the estimator cannot use, tau < 0; later, a guide that does not fit.
    """

    def __init__(
        self,
        estimator: str = "rloo",
        num_particles: int = 4,
        tau: float = 1.0,
        penalties: str = "exact",
        norm: str = "l0",
    ) -> None:
        super().__init__(num_particles=num_particles, max_plate_nesting=1, vectorize_particles=True)
        self.judge: Judge | None = None
        self.overlap = 0.0
        kind = ESTIMATORS[estimator]
        if kind.objective is not None:
            names = ", ".join(name for name in ESTIMATORS if ESTIMATORS[name].objective is None)
            raise ConfigError(f"--estimator: expected one of {names}, got {estimator!r}")
        check_samples(estimator, kind, num_particles)
        if not 0.0 <= tau < math.inf:  # NaN fails as well
            raise ConfigError(f"--tau: expected a weight of 0 or more, got {tau}")
        check_penalties(estimator, kind, penalties, norm)
        self.estimator, self.method = estimator, kind()
        self.tau, self.penalties, self.norm = tau, penalties, norm

    def estimate(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Estimate:
        """Run guide and model once on the batch in `args`, K samples in one pass; of several targets, row by row."""
        if coupled := getattr(model, "couples_documents", False):
            check_coupled(self.estimator, type(self.method))
        aspects = getattr(guide, "aspects", 1)
        if aspects > 1 and args[0].aspects is None:
            args = (args[0].by_aspect(aspects), *args[1:])
        with pyro.plate("particles", self.method.guide_samples(self.num_particles), dim=-2):
            guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
            site = guide_trace.nodes["z"]
            check_family(self.estimator, type(self.method), type(site["fn"].by_unit))
            masks = self.method.draw(site["fn"], site["value"], self.num_particles)
        q, z = masks.q, masks.z
        site["value"] = z if self.judge is None else z.detach()
        with pyro.plate("particles", len(z), dim=-2):
            model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(*args, **kwargs)
        if coupled:
            reconstruction, reward = shared_terms(model, args[0], model_trace)
            programs = Programs(model, guide, guide_trace, partial(model.at_documents, args[0]), args, kwargs)
        else:
            reconstruction = observed_log_prob(model_trace)  # (K, B)
            reward, programs = self._reward(model, guide, guide_trace, model_trace, z, reconstruction, args, kwargs)
        prepared = self.method.prepare(programs, masks)
        # After that: an autoregressive q remembers one pass, and from now on that of z.
        terms = _weighted(self._terms(q, model_trace.nodes["z"]["fn"], z), model_trace.nodes["z"]["scale"])
        weights = masks.weights
        draws = Draws(masks, z.detach(), reward, terms, self.num_particles, weights, prepared)
        penalty = terms.penalty(self.tau)
        if self.penalties == "constant":
            penalty = torch.zeros_like(penalty)
        surrogate = self.method.surrogate(draws, penalty)
        if self.judge is not None:
            also = self.judge.also_fitted(model, args[0], model_trace)
            surrogate = surrogate + draws.total(reconstruction if also is None else reconstruction + also)
        if self.overlap:
            surrogate = surrogate - self.num_particles * self.overlap * shared_words(q, args[0])
        kept, changes = _counts(q, z, weights)
        return Estimate(
            surrogate=-surrogate / self.num_particles,
            reconstruction=_average(reconstruction.detach(), weights),
            kl=_per_document(terms.kl, weights),
            entropy=_per_document(terms.entropy, weights),
            kept=kept,
            changes=changes,
        )

    def _reward(
        self,
        model: Any,
        guide: Any,
        guide_trace: Trace,
        model_trace: Trace,
        z: Tensor,
        reconstruction: Tensor,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[Tensor, Programs]:
        """Rewards of the guide for its masks, `(K, B)`, and the programs that give its rewards for other masks."""
        judge = self.judge
        if judge is None:
            return reconstruction, Programs(model, guide, guide_trace, observed_log_prob, args, kwargs)
        judged = partial(judge.reward, model, args[0])
        programs = Programs(model, guide, guide_trace, judged, args, kwargs)
        if not z.requires_grad:
            return judged(model_trace).detach(), programs
        # The encoder was run on constant masks, for its own gradient; this is the guide's, through its samples.
        with frozen(model), unregistered(), pyro.plate("particles", len(z), dim=-2):
            return programs.reconstruction(z), programs

    def _terms(self, q: MaskDistribution, p: Prior, z: Tensor) -> MaskTerms:
        if self.penalties == "sampled":
            return sampled_terms(q, p, z)
        terms = best_terms(q, p, z.detach())
        if not q.has_exact_marginals:
            if self.norm != "l0":
                raise ConfigError(
                    f"--norm {self.norm}: a recurrent guide has no exact marginals; use --guide independent"
                )
            return terms
        terms = MaskTerms(terms.kl[0], terms.entropy[0])  # equal for all particles
        if self.norm == "l0":
            return terms
        q, choices, z = q.by_unit, p.by_unit, p.unit_values(z)
        assert isinstance(choices, LinearChain | NonEmptyMask)
        field = -choices.fields[..., :1].squeeze(-1)  # the prior's, the same on every word
        size = z.sum(-1) if self.norm == "l1" else z.square().sum(-1).clamp_min(1e-8).sqrt()
        excess = field * (size - q.mean.sum(-1))  # (K, B)
        return MaskTerms(terms.kl + excess, terms.entropy + torch.zeros_like(excess))

    def differentiable_loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Minus the objective, summed over documents; its gradient is the chosen estimator."""
        estimate = self.estimate(model, guide, *args, **kwargs)
        value = -estimate.objective(self.tau).sum()
        return value.detach() + estimate.surrogate - estimate.surrogate.detach()

    def loss_and_grads(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """For `pyro.infer.SVI.step`: accumulates gradients, returns the loss."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        loss.backward()
        return float(loss.detach())

    @torch.no_grad()
    def loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """For `pyro.infer.SVI.evaluate_loss`: minus the objective, summed over documents."""
        return float(-self.estimate(model, guide, *args, **kwargs).objective(self.tau).sum())

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        """Pyro's hook for objectives that share its own loop; this one does not."""
        raise TypeError("MaskELBO draws its particles itself; call estimate() or differentiable_loss()")


def shared_words(q: MaskDistribution, batch: Batch) -> Tensor:
    """Expected number of words that two masks of a document keep, over all pairs of them, summed by documents' weights.

    Args:
        q: batch shape `(*s, B)`, the same for all samples.
        batch: rows about one target each.

    Raises:
        ConfigError: the distribution has no exact marginals.
    """
    if not q.has_exact_marginals:
        raise ConfigError(f"--overlap: {type(q).__name__} has no exact marginals; leave it out, or take --guide chain")
    mean = q.origin.mean
    if batch.weights is not None:  # the rows of a document have one weight
        mean = mean * batch.weights.sqrt().to(mean.dtype)[:, None]
    owners = torch.arange(len(batch), device=mean.device) if batch.owners is None else batch.owners
    sums = mean.new_zeros(len(batch), mean.shape[-1]).index_add(0, owners, mean)
    return 0.5 * (sums.square().sum() - mean.square().sum())


def observed_log_prob(trace: Trace) -> Tensor:
    """Log probability of every observed site, scaled and masked as the model says, `(K, B)`.

    Raises:
        ValueError: there is none.
    """
    trace.compute_log_prob(site_filter=lambda name, site: site["is_observed"])
    sites = (site for site in trace.nodes.values() if site["type"] == "sample" and site["is_observed"])
    observed = [site["log_prob"] for site in sites]
    if not observed:
        raise ValueError("expected a batch with targets: the model observes nothing")
    return torch.stack(observed).sum(0) if len(observed) > 1 else observed[0]


def _weighted(terms: MaskTerms, scale: Any) -> MaskTerms:
    """KL and entropy times the scale of the site `z`, a number or `(B,)`: the weights of the documents."""
    if not isinstance(scale, Tensor):
        return terms if scale == 1.0 else MaskTerms(terms.kl * scale, terms.entropy * scale)
    factors = (scale[..., None] if term.dim() == 3 else scale for term in terms)
    return MaskTerms(*(term * factor.to(term.dtype) for term, factor in zip(terms, factors, strict=True)))


def shared_terms(model: RankingModel, batch: RankingBatch, trace: Trace) -> tuple[Tensor, Tensor]:
    """Reconstruction and reward of a model under which the masks of several documents meet in a query.

    Args:
        model: the model.
        batch: queries and candidates.
        trace: of the model, with K masks of each document.

    Returns:
        The terms of queries at the documents that ask, `(K, B)`, which add up to what the K draws say; and a tensor
        whose values are what each mask has a part in, for the score function, and whose gradient is that of the first.
    """
    terms = model.at_documents(batch, trace)
    return terms, model.credit(batch, trace) + (terms - terms.detach())


def _average(terms: Tensor, weights: Tensor | None) -> Tensor:
    """Over samples, `(K, B)` -> `(B,)`; weights, if they are not equal, sum to 1."""
    return terms.mean(0) if weights is None else (weights * terms).sum(0)


def _per_document(term: Tensor, weights: Tensor | None) -> Tensor:
    """`(B,)` from exact `(B,)`, sampled `(K, B)` or prefix `(K, B, T)` terms."""
    term = term.detach()
    if term.dim() == 3:
        term = term.sum(-1)
    return _average(term, weights) if term.dim() == 2 else term


def _counts(q: MaskDistribution, z: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Expected numbers of kept words and of changes, `(B,)` each; the samples' averages without exact marginals."""
    if q.has_exact_marginals:
        return q.mean[0].detach().sum(-1), q.change[0].detach().sum(-1)
    return _average(z.detach().sum(-1), weights), _average(changes_of(z.detach(), q.word_mask), weights)
