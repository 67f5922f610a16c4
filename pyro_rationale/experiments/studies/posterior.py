"""p(z | x, y) of a run's documents twice, by importance resampling and by Markov chains, and the amortization gap.

Both methods share the model and nothing else: the chains' moves know the prior, not the guide. Where they agree the
proposal is as good as its k-hat says; k-hat knows nothing of masks that were never drawn, and the chains do. Networks
run in float64, for equal masks must have equal weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Document
from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.errors import DataError
from pyro_rationale.experiments.studies.common import Row
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.posterior.gibbs import gibbs_posterior
from pyro_rationale.inference.posterior.importance import importance_posterior
from pyro_rationale.inference.posterior.log_joint import CachedLogJoint
from pyro_rationale.inference.posterior.mcmc_diagnostics import mixing
from pyro_rationale.inference.posterior.psis import TRUSTED, psis
from pyro_rationale.inference.posterior.refinement import amortization_gap, refine

AGREE = 0.03  # largest difference of word marginals that counts as agreement
SHOWN = 10  # documents in the terminal's table


@dataclass(frozen=True)
class Budget:
    """How much to compute: draws of importance resampling, chains and sweeps, steps of refinement."""

    samples: int
    chains: int
    draws: int
    warmup: int
    block: int
    steps: int
    batch_size: int
    proposal: str


def proposal(fitted: FittedModel, batch: Batch) -> MaskDistribution:
    """The guide's masks, 0/1; a guide that can read targets reads them."""
    return fitted.guide.posterior(batch, see_target=fitted.guide.target is not None).discrete()


def compare(fitted: FittedModel, documents: Sequence[Document], number: int, budget: Budget) -> dict[str, Any]:
    """Everything about the first `number` documents that importance resampling serves; float64 afterwards.

    Where targets have masks of their own, each known target of a text counts as a document.

    Raises:
        DataError: it serves none.
    """
    fitted.model.double()
    fitted.guide.double()
    if several := fitted.aspects > 1:
        documents = [row for row in by_aspect(documents, fitted.aspects) if row.has_target]
    chosen: list[Document] = []
    found: list[Row] = []
    marginals: list[Tensor] = []
    seen = 0
    while len(chosen) < number and seen < len(documents):
        some = documents[seen : seen + budget.batch_size]
        for document, row, mean in zip(some, *by_resampling(fitted, some, budget), strict=True):
            seen += 1
            if row["k_hat"] < TRUSTED:
                chosen.append(document)
                target = {"target": fitted.spec.names[document.aspect or 0]} if several else {}
                found.append({"document": document.id, **target, "words": max(1, len(document.tokens)), **row})
                marginals.append(mean)
            if len(chosen) == number:
                break
    if not chosen:
        raise DataError(
            f"k-hat is {TRUSTED} or more on each of {seen} documents: the guide is too poor a proposal; try "
            "--proposal refined"
        )
    for row, more in zip(found, by_chains(fitted, chosen, marginals, budget), strict=True):
        row |= more
    return {"documents": len(chosen), "seen": seen, "summary": summary(found), "each": found}


def by_resampling(
    fitted: FittedModel, documents: Sequence[Document], budget: Budget
) -> tuple[list[Row], list[Tensor]]:
    """k-hat, effective sample size and largest Monte-Carlo error of each document, and its marginals `(n,)`."""
    rows: dict[int, Row] = {}
    marginals: dict[int, Tensor] = {}
    for batch in fitted.device_batches(documents, 16):
        assert batch.index is not None
        with torch.no_grad():
            q = proposal(fitted, batch)
        if budget.proposal == "refined":  # for the posterior itself, whatever entropy the guide was fitted with
            q = refine(fitted.model, q, batch, tau=1.0, steps=budget.steps)
        drawn = importance_posterior(CachedLogJoint(fitted.model, batch), q, budget.samples)
        k, ess, mean = psis(drawn.log_weights).k, drawn.ess, drawn.mean
        error, evidence = drawn.error.amax(-1), drawn.log_evidence
        for row, index in enumerate(batch.index.tolist()):
            rows[index] = {"k_hat": float(k[row]), "ess": float(ess[row]), "error": float(error[row])}
            rows[index]["log_evidence"] = float(evidence[row])
            marginals[index] = mean[row, : int(batch.lengths[row])].cpu()
    order = range(len(documents))
    return [rows[i] for i in order], [marginals[i] for i in order]


def by_chains(
    fitted: FittedModel, documents: Sequence[Document], marginals: Sequence[Tensor], budget: Budget
) -> list[Row]:
    """How far the chains' marginals are from those given, how the chains mix, and the amortization gap."""
    rows: dict[int, Row] = {}
    for batch in fitted.device_batches(documents, budget.batch_size):
        assert batch.index is not None
        scorer = CachedLogJoint(fitted.model, batch)
        with torch.no_grad():
            q = proposal(fitted, batch)
        chains = gibbs_posterior(scorer, budget.chains, budget.draws, budget.warmup, block=budget.block, guide=q)
        mixed = mixing(chains, batch.lengths)
        gap = None
        if budget.steps:
            tau = fitted.config.tau
            with fitted.model.constrained():  # p(z) times the constraint of training, which the guide was fitted to
                best = refine(fitted.model, q, batch, tau, steps=budget.steps)
                gap = amortization_gap(CachedLogJoint(fitted.model, batch), q, best, tau)
        for row, index in enumerate(batch.index.tolist()):
            mean = chains.mean[row, : len(marginals[index])].cpu()
            rows[index] = {
                "difference": float((mean - marginals[index]).abs().max()),
                "chain_error": float(chains.error[row].max()),
                "r_hat": float(mixed.r_hat[row]),
                "chain_ess": float(mixed.ess[row]),
                "leaps": float(chains.leaps[row]),
            }
            if gap is not None:
                rows[index] |= {"objective": float(gap.amortized[row]), "gap": float(gap.gap[row])}
                rows[index]["gap_error"] = float(gap.error[row])
    return [rows[i] for i in range(len(documents))]


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Figures over documents."""

    def column(name: str) -> Tensor:
        return torch.tensor([row[name] for row in rows], dtype=torch.float64)

    difference = column("difference")
    result: dict[str, Any] = {
        "largest_difference": float(difference.max()),
        "agree": int((difference < AGREE).sum()),
        "largest_r_hat": float(column("r_hat").max()),
        "smallest_chain_ess": float(column("chain_ess").min()),
        "smallest_ess": float(column("ess").min()),
        "median_ess": float(column("ess").median()),
        "largest_error": float(column("error").max()),
    }
    if "gap" in rows[0]:
        gap = column("gap")
        result |= {"mean_gap": float(gap.mean()), "median_gap": float(gap.median()), "largest_gap": float(gap.max())}
        result["gap_error"] = float(column("gap_error").square().sum().sqrt()) / len(rows)
        result["gaps_below_zero"] = int((gap < -4 * column("gap_error") - 1e-9).sum())
    return result
