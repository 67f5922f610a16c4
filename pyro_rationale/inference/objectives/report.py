"""The objective's terms on held-out documents: ELBO, KL, entropy, and the paper's expected cost, each directly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches
from pyro_rationale.data.cache.dataset import taken, target_rows
from pyro_rationale.data.corpus import Document
from pyro_rationale.inference.terms import best_terms

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel


@torch.no_grad()
def batch_terms(fitted: FittedModel, batch: Batch, samples: int, see_target: bool = False) -> dict[str, Tensor]:
    """Terms of (2) and of the paper's cost, `(B,)` each.

    `log_likelihood` (kappa = 1), `kl`, `entropy` in nats; `cost` is E_q of equation (1) in the units of the scaled
    rating squared (or nats of cross entropy), with lambda1 and lambda2 of the prior in force. KL and entropy are
    exact where they exist; expectations of the likelihood are averages over `samples` draws from the discrete
    guide. `see_target`: of q(z | x, y) instead of q(z | x), where the guide has both.
    """
    model = fitted.model
    q = (fitted.guide.posterior(batch, see_target=True) if see_target else fitted.guide.posterior(batch)).discrete()
    z = q.sample(torch.Size([samples]))
    p = model.prior.distribution(batch.lengths, batch.tokens.shape[1], z.dtype)
    kl, entropy = best_terms(q, p, z)
    if not q.has_exact_marginals:
        kl, entropy = kl.sum(-1).mean(0), entropy.sum(-1).mean(0)
    outputs = model.encoder(batch.tokens, z, batch.lengths)
    assert batch.targets is not None
    law, targets = model.likelihood.observe(outputs, batch.targets)
    log_likelihood = law.log_prob(targets)
    error = model.likelihood.reported_loss(outputs, batch.targets).sum(-1)
    lambda1, lambda2 = model.prior.lambdas(model.gain)
    changes = (z[..., 1:] - z[..., :-1]).abs().mul(batch.mask[:, 1:]).sum(-1)
    cost = error + lambda1 * z.sum(-1) + lambda2 * changes
    return {"log_likelihood": log_likelihood.mean(0), "kl": kl, "entropy": entropy, "cost": cost.mean(0)}


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
    """
    known = ~np.isnan(target_rows(documents, len(fitted.spec.names))).all(axis=1)
    rated = taken(documents, np.flatnonzero(known))
    if not rated:
        return {}
    batches = BucketedBatches(rated, fitted.vocabulary, fitted.spec, batch_size)
    report = _mean_terms(fitted, batches, samples, seed, see_target=False)
    if fitted.guide.target is not None:
        given = _mean_terms(fitted, batches, samples, seed, see_target=True)
        report |= {f"{name}_given_target": value for name, value in given.items()}
    return report


def _mean_terms(
    fitted: FittedModel, batches: BucketedBatches, samples: int, seed: int, see_target: bool
) -> dict[str, float]:
    """Means of `batch_terms` over documents, by the names of the report."""
    sums: dict[str, float] = {}
    count = 0
    with torch.random.fork_rng(devices=[fitted.device] if fitted.device.type == "cuda" else []):
        torch.manual_seed(seed)
        for batch in batches.ordered():
            count += len(batch)
            for name, values in batch_terms(fitted, batch.to(fitted.device), samples, see_target).items():
                sums[name] = sums.get(name, 0.0) + float(values.double().sum())
    means = {name: total / count for name, total in sums.items()}
    return {
        "elbo": means["log_likelihood"] - means["kl"],
        "expected_cost": means["cost"],
        "kl": means["kl"],
        "entropy": means["entropy"],
    }
