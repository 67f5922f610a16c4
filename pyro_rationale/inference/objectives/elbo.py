"""Objective (2) of the design as a Pyro `ELBO`, with everything that has a closed form in closed form.

    objective(kappa, tau) = E_q[ kappa log p(y | x, z) + log p(z) ] + tau H(q)

kappa is the model's own scale on the site `y`; tau belongs to the objective. kappa = tau = 1 is the ELBO, tau = 0
the expected cost of Lei et al. (2016, equation 2). Use it as any other Pyro objective: `SVI(model, guide, optim,
MaskELBO())`, or `MaskELBO()(model, guide)` with a torch optimiser.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.infer import ELBO
from pyro.poutine import Trace
from torch import Tensor

from pyro_rationale.distributions import IndependentMask, LinearChain, MaskDistribution
from pyro_rationale.errors import ConfigError
from pyro_rationale.inference.estimators._linear import slope
from pyro_rationale.inference.estimators._mask_set import Chosen, choose
from pyro_rationale.inference.estimators._score_function import (
    NeuralBaseline,
    antithetic_masks,
    antithetic_term,
    leave_one_out_advantage,
)
from pyro_rationale.inference.estimators.rules import LINEAR, PATHWISE, SCORE_FUNCTION, check_penalties, check_samples
from pyro_rationale.inference.terms import MaskTerms, best_terms, sampled_terms


@dataclass(frozen=True)
class Estimate:
    """One evaluation of the objective on a batch; all in nats, summed over nothing but words.

    Attributes:
        surrogate: scalar whose gradient is the estimate of minus the objective's gradient, summed over documents.
        reconstruction: kappa log p(y | x, z), averaged over samples, `(B,)`, detached.
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


@dataclass(frozen=True)
class Draws:
    """What an estimator has to work with.

    Attributes:
        q: the guide's distribution, batch shape `(K, B)`.
        z: its samples, `(K, B, T)`, detached.
        reconstruction: kappa log p(y | x, z), `(K, B)`, with gradients.
        terms: KL and entropy: exact `(B,)`, sampled `(K, B)`, or along prefixes `(K, B, T)`.
        slopes: d reconstruction / d z_t, `(B, T)`, for muprop and sum-and-sample.
        baseline: of the guide, for nvil.
        chosen: how sum-and-sample came by its masks, which are fewer or more than K.
    """

    q: MaskDistribution
    z: Tensor
    reconstruction: Tensor
    terms: MaskTerms
    slopes: Tensor | None = None
    baseline: NeuralBaseline | None = None
    chosen: Chosen | None = None


class MaskELBO(ELBO):
    """Objective (2) with one of eight gradient estimators for its reconstruction term.

    `sum-and-sample` (K >= 2): muprop whose most probable masks are summed and not sampled, as
    :mod:`pyro_rationale.inference.estimators._mask_set` says; unbiased for every guide, and of the lowest variance for
    one that is nearly certain. `muprop` (K >= 2): the linear part of the reconstruction in closed form, leave-one-out
    baselines for the rest; unbiased for every guide. `rloo` (K >= 2): leave-one-out baselines; unbiased for every
    guide. `disarm` (even K): antithetic pairs of masks; unbiased, for words that are independent. `nvil` (K >= 1): a
    neural baseline that the guide brings, with running statistics of the reward; unbiased for every guide.
    `reinforce` (K >= 1): no baseline; unbiased; the paper's with K = 1.
    `relaxed`: pathwise, for guides that can be reparameterised; biased by the relaxation. `straight-through`: hard
    samples whose gradient passes as if they were the word marginals (or, in the relaxed guide, the relaxed sample);
    biased, any guide. KL and entropy are exact wherever they exist; for the recurrent guide they are summed along the
    sampled prefixes and each word is credited only with what comes after it.

    Args:
        estimator: one of the above.
        num_particles: K, samples per document, drawn in one pass.
        tau: weight of the guide's entropy, >= 0.
        penalties: `exact`; `sampled` for log q - log p at the samples with their own score term, as the paper does;
            or `constant`, which reports them and leaves them out of the gradient (a comparison, no way to fit).

    Raises:
        ConfigError: unknown names, a K that the estimator cannot use, tau < 0; later, a guide that does not fit.
    """

    def __init__(
        self, estimator: str = "rloo", num_particles: int = 4, tau: float = 1.0, penalties: str = "exact"
    ) -> None:
        super().__init__(num_particles=num_particles, max_plate_nesting=1, vectorize_particles=True)
        if estimator not in (*SCORE_FUNCTION, *PATHWISE):
            names = ", ".join((*SCORE_FUNCTION, *PATHWISE))
            raise ConfigError(f"--estimator: expected one of {names}, got {estimator!r}")
        check_samples(estimator, num_particles)
        if not 0.0 <= tau < math.inf:  # NaN fails as well
            raise ConfigError(f"--tau: expected a weight of 0 or more, got {tau}")
        check_penalties(estimator, penalties)
        self.estimator = estimator
        self.tau = tau
        self.penalties = penalties

    def estimate(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Estimate:
        """Run guide and model once on the batch in `args`, K samples in one pass."""
        summing = self.estimator == "sum-and-sample"
        chosen: Chosen | None = None
        with pyro.plate("particles", 1 if summing else self.num_particles, dim=-2):
            guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
            site = guide_trace.nodes["z"]
            q = site["fn"]
            if self.estimator == "straight-through" and not q.has_rsample:
                site["value"] = _through_marginals(q, site["value"])
            elif (self.estimator in PATHWISE) != q.has_rsample:
                raise ConfigError(incompatibility_message(self.estimator, q))
            elif self.estimator == "disarm":
                if not isinstance(q, IndependentMask):
                    raise ConfigError(incompatibility_message(self.estimator, q))
                site["value"] = antithetic_masks(q)
            elif summing:
                chosen = choose(q.origin, self.num_particles)
                site["value"] = chosen.z
                q = q.origin.expand(chosen.z.shape[:-1])
        with pyro.plate("particles", len(site["value"]), dim=-2):
            model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(*args, **kwargs)
        z = site["value"]
        p = model_trace.nodes["z"]["fn"]
        reconstruction = observed_log_prob(model_trace)  # (K, B)
        slopes = None
        if self.estimator in LINEAR and torch.is_grad_enabled():
            slopes = slope(model, guide_trace, q.origin, observed_log_prob, *args, **kwargs)
        terms = self._terms(q, p, z)  # after the slope: an autoregressive q remembers one pass, and now that of z
        baseline = NeuralBaseline(guide, guide_trace) if self.estimator == "nvil" else None
        draws = Draws(q, z.detach(), reconstruction, terms, slopes, baseline, chosen)
        weights = None if chosen is None else chosen.weights
        return Estimate(
            surrogate=-self._surrogate(draws) / self.num_particles,
            reconstruction=_average(reconstruction.detach(), weights),
            kl=_per_document(terms.kl, weights),
            entropy=_per_document(terms.entropy, weights),
            kept=_kept(q, z, weights),
            changes=_changes(q, z, weights),
        )

    def _terms(self, q: MaskDistribution, p: LinearChain, z: Tensor) -> MaskTerms:
        if self.penalties == "sampled":
            return sampled_terms(q, p, z)
        terms = best_terms(q, p, z.detach())
        return MaskTerms(terms.kl[0], terms.entropy[0]) if q.has_exact_marginals else terms  # equal for all particles

    def _surrogate(self, draws: Draws) -> Tensor:
        """A scalar whose expected gradient is K times that of the objective, summed over documents."""
        weights = None if draws.chosen is None else draws.chosen.weights * self.num_particles
        q, z, reconstruction, slopes = draws.q, draws.z, draws.reconstruction, draws.slopes
        penalty = draws.terms.penalty(self.tau)
        if self.penalties == "constant":
            penalty = torch.zeros_like(penalty)
        reward = reconstruction
        if slopes is not None:  # the linear part is taken out of the reward, and its expectation put in directly
            reward = reconstruction - (slopes * z).sum(-1)
            linear = slopes * (q.mean[0] if q.has_exact_marginals else q.inclusion(z))
            penalty = penalty - (linear if penalty.dim() == 3 else linear.sum(-1))
        if penalty.dim() == 1:  # exact: the same for every sample
            direct = _total(reconstruction, weights) - self.num_particles * penalty.sum()
        elif penalty.dim() == 2:  # sampled, (K, B)
            direct = _total(reconstruction - penalty, weights)
            reward = reward - penalty
        else:  # along prefixes, (K, B, T): word t is to blame only for what comes after it
            direct = _total(reconstruction - penalty.sum(-1), weights)
            after = penalty.flip(-1).cumsum(-1).flip(-1) - penalty
            reward = reward[..., None] - after
        if self.estimator in PATHWISE:
            return direct
        return direct + self._score_term(reward.detach(), draws, per_word=penalty.dim() == 3)

    def _score_term(self, reward: Tensor, draws: Draws, per_word: bool) -> Tensor:
        """A scalar whose gradient is what the reward, `(K, B)` or `(K, B, T)`, says about the guide's choices."""
        q, z = draws.q, draws.z
        if self.estimator == "disarm":
            return antithetic_term(reward, z, q)
        loss: Tensor | float = 0.0
        if draws.baseline is not None:
            reward, loss = draws.baseline.subtract_baseline(reward, q)
        elif draws.chosen is not None:
            reward = draws.chosen.credit(reward) * self.num_particles
        elif self.estimator != "reinforce":
            reward = leave_one_out_advantage(reward)
        score = q.word_log_probs(z) if per_word else q.log_prob(z)
        return (reward * score).sum() - loss

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


def _through_marginals(q: MaskDistribution, z: Tensor) -> Tensor:
    """z going forward; going backward, P(z_t = 1), or P(z_t = 1 given its prefix) of an autoregressive guide."""
    inclusion = q.inclusion(z)
    return z + (inclusion - inclusion.detach())  # the bracket is exactly 0: encoders tell 1 from nearly 1


def incompatibility_message(estimator: str, q: MaskDistribution) -> str:
    """Why the estimator cannot be had with this guide, and which can."""
    if estimator in PATHWISE:
        return f"--estimator {estimator}: {type(q).__name__} has no reparameterised sample; use --estimator rloo"
    if estimator == "disarm" and not q.has_rsample:
        return (
            f"--estimator disarm: its pairs of masks are for independent words, not for {type(q).__name__}; use "
            "--estimator muprop, or --guide independent"
        )
    # A score function of relaxed samples would add to the gradient that these carry themselves.
    return (
        f"--estimator {estimator}: samples of {type(q).__name__} carry gradients themselves; use --estimator "
        "relaxed, or --guide independent, the same family without"
    )


def _total(terms: Tensor, weights: Tensor | None) -> Tensor:
    """Summed over samples and documents, `(K, B)` -> `()`."""
    return terms.sum() if weights is None else (weights * terms).sum()


def _average(terms: Tensor, weights: Tensor | None) -> Tensor:
    """Over samples, `(K, B)` -> `(B,)`; weights, if they are not equal, sum to 1."""
    return terms.mean(0) if weights is None else (weights * terms).sum(0)


def _per_document(term: Tensor, weights: Tensor | None) -> Tensor:
    """`(B,)` from exact `(B,)`, sampled `(K, B)` or prefix `(K, B, T)` terms."""
    term = term.detach()
    if term.dim() == 3:
        term = term.sum(-1)
    return _average(term, weights) if term.dim() == 2 else term


def _kept(q: MaskDistribution, z: Tensor, weights: Tensor | None) -> Tensor:
    """Expected number of kept words where marginals are exact, else the samples' average, `(B,)`."""
    return q.mean[0].detach().sum(-1) if q.has_exact_marginals else _average(z.detach().sum(-1), weights)


def _changes(q: MaskDistribution, z: Tensor, weights: Tensor | None) -> Tensor:
    """Expected number of changes between neighbours in the same sense, `(B,)`."""
    if q.has_exact_marginals:
        return q.change[0].detach().sum(-1)
    return _average(changes_of(z.detach(), q.word_mask), weights)


def changes_of(z: Tensor, words: Tensor) -> Tensor:
    """Changes between neighbouring words of masks `(*s, B, T)`, `(*s, B)`; that to the padding is none."""
    return ((z[..., 1:] - z[..., :-1]).abs() * words[..., 1:]).sum(-1)
