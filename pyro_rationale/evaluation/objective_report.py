"""The objective's terms on held-out documents: ELBO, KL, entropy, and the paper's expected cost, each directly."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pyro_rationale.data.aspects import documents_of
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.cache.dataset import taken, target_rows
from pyro_rationale.data.corpus import Document
from pyro_rationale.distributions.exclusion import COST, ends_on
from pyro_rationale.distributions.masks import changes_of, flips_of
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.objectives.decomposition import Terms, batch_terms, row_lambdas
from pyro_rationale.inference.posterior.evidence import iwae
from pyro_rationale.inference.terms import best_terms
from pyro_rationale.training.fitted_ensemble import Ensemble

MOST = 500  # texts that figures of masks under p(z) are computed of


@torch.no_grad()
def objective_terms(fitted: FittedModel, batch: Batch, samples: int, see_target: bool = False) -> dict[str, Tensor]:
    """Terms of (2) and of the paper's cost, `(B,)` each.

    `log_likelihood` (kappa = 1), `kl`, `entropy` in nats, under p(z); `cost` is E_q of equation (1) in the units of the
    scaled rating squared (or nats of cross entropy), with lambda1 and lambda2 as training charged them, constraint
    included. KL and entropy are exact where they exist; expectations of the likelihood are averages over `samples`
    draws from the discrete guide. `see_target`: of q(z | x, y) instead of q(z | x), where the guide has both.
    """
    model = fitted.model
    q = (fitted.guide.posterior(batch, see_target=True) if see_target else fitted.guide.posterior(batch)).discrete()
    z = q.sample(torch.Size([samples]))
    p = model.mask_prior(batch, z.dtype)
    kl, entropy = best_terms(q, p, z)
    if not q.has_exact_marginals:
        kl, entropy = kl.sum(-1).mean(0), entropy.sum(-1).mean(0)
    outputs = model.encoder(batch.tokens, z, batch.lengths)
    assert batch.targets is not None
    distribution, targets = model.likelihood.observe(outputs, batch.targets)
    log_likelihood = distribution.log_prob(targets)
    error = model.likelihood.reported_loss(outputs, batch.targets).sum(-1)
    lambda1, lambda2 = row_lambdas(model.steering, model.gain, batch.aspects)
    cost = error + lambda1 * q.unit_values(z).sum(-1) + lambda2 * changes_of(z, batch.mask)
    if batch.excluded is not None:
        cost = cost + COST / model.gain * ends_on(batch.excluded, batch.mask, z, flips_of(z, batch.mask))
    return {"log_likelihood": log_likelihood.mean(0), "kl": kl, "entropy": entropy, "cost": cost.mean(0)}


@torch.no_grad()
def prior_masks(fitted: FittedModel, documents: Sequence[Document]) -> dict[str, float]:
    """Figures of masks under p(z), exact, for some texts.

    They are those of the prior's own `rate` and `span` in the middle of a long text; here ends of texts, excluded
    words and masks that must keep something count too.

    Args:
        fitted: a run.
        documents: texts, of which the first `MOST` are taken.

    Returns:
        `share` of words kept (of sentences, where masks are over them), and `run`, their mean number in a row; empty
        without texts.
    """
    kept = runs = words = 0.0
    if not len(documents):
        return {}
    for batch in fitted.device_batches(taken(documents, np.arange(min(MOST, len(documents)))), 64):
        p = fitted.model.mask_prior(batch, torch.float64).by_unit
        lengths = batch.unit_lengths.to(p.mean.device)
        ends = p.mean[:, 0] + p.mean.gather(1, (lengths - 1).clamp_min(0)[:, None])[:, 0]
        kept, words = kept + float(p.mean.sum()), words + float(lengths.sum())
        runs += float(ends.sum() + p.change.sum()) / 2.0
    return {"share": kept / words, "run": kept / max(runs, 1e-9)}


def objective_report(
    fitted: FittedModel, documents: Sequence[Document], samples: int = 16, batch_size: int = 64, seed: int = 0
) -> dict[str, float]:
    """Means over documents that have a target.

    Args:
        fitted: a run.
        documents: with targets; those without any are left out.
        samples: draws per document from the guide.
        batch_size: documents at once.
        seed: of the draws.

    Returns:
        `elbo` (kappa = tau = 1), `kl` and `entropy` in nats, and `expected_cost`, all under q(z | x); where the
        guide reads targets as well, `elbo_given_target` and so on under q(z | x, y). Empty if nothing has a target.
        Those of an ensemble are the means of its members': its ELBO bounds the evidence of their mixture.
    """
    if isinstance(fitted, Ensemble):
        reports = [objective_report(member, documents, samples, batch_size, seed) for member in fitted.members]
        return {name: sum(report[name] for report in reports) / len(reports) for name in reports[0]}
    known = ~np.isnan(target_rows(documents, len(fitted.spec.names))).all(axis=1)
    rated = taken(documents, np.flatnonzero(known))
    if not rated:
        return {}
    # Where targets have masks of their own, the terms of a document are the sums of its rows', wherever these are read.
    count = len(rated) if rated[0].aspect is None else documents_of(rated)
    report = _mean_terms(fitted, fitted.device_batches(rated, batch_size), count, samples, seed, see_target=False)
    if fitted.guide.target is not None:
        given = _mean_terms(fitted, fitted.device_batches(rated, batch_size), count, samples, seed, see_target=True)
        report |= {f"{name}_given_target": value for name, value in given.items()}
    return report


def _mean_terms(
    fitted: FittedModel, batches: Iterable[Batch], count: int, samples: int, seed: int, see_target: bool
) -> dict[str, float]:
    """Means of `objective_terms` over `count` documents, by the names of the report."""
    sums: dict[str, float] = {}
    with fitted.seeded(seed):
        for batch in batches:
            for name, values in objective_terms(fitted, batch, samples, see_target).items():
                sums[name] = sums.get(name, 0.0) + float(values.double().sum())
    means = {name: total / count for name, total in sums.items()}
    return {
        "elbo": means["log_likelihood"] - means["kl"],
        "expected_cost": means["cost"],
        "kl": means["kl"],
        "entropy": means["entropy"],
    }


def in_precision(fitted: FittedModel, dtype: torch.dtype) -> FittedModel:
    """The run with networks that compute in `dtype`; the given one is left as it is."""
    if fitted.model.encoder.dtype == dtype:
        return fitted
    model, guide = copy.deepcopy(fitted.model).to(dtype), copy.deepcopy(fitted.guide).to(dtype)
    for name in ("kappa", "prior_fields", "steering_fields"):  # float64 whatever the networks are
        setattr(model, name, getattr(fitted.model, name).clone())
    return replace(fitted, model=model, guide=guide)


def all_terms(
    fitted: FittedModel, documents: Sequence[Document], samples: int, batch_size: int = 64, seed: int = 0
) -> Terms:
    """Terms of all documents, from the shortest to the longest."""
    batches = fitted.device_batches(documents, batch_size)
    with fitted.seeded(seed), torch.no_grad():
        return Terms.joined([batch_terms(fitted.model, fitted.guide.posterior(b), b, samples) for b in batches])


def iwae_bound(
    fitted: FittedModel, documents: Sequence[Document], samples: int, batch_size: int = 64, seed: int = 0
) -> float:
    """Mean over documents of log 1/K sum_k w_k at kappa = 1, nats (Burda et al. 2016)."""
    total = 0.0
    with fitted.seeded(seed), torch.no_grad():
        for batch in fitted.device_batches(documents, batch_size):
            q = fitted.guide.posterior(batch)
            total += float(iwae(fitted.model, q, batch, (samples,), kappa=1.0)[samples].mean.sum())
    return total / len(documents)
