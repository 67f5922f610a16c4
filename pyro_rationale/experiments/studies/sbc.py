"""Simulation-based calibration of a run's posterior: `python -m pyro_rationale.study sbc --run RUN`.

The model makes its own data: texts of the corpus, masks of the prior in force, targets of the encoder. What is on
trial is a way to draw from p(z | x, y): enumeration, importance resampling from the guide, or Markov chains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rationale.data.corpus import Document
from pyro_rationale.errors import ConfigError
from pyro_rationale.experiments.studies.common import Row, batches_of
from pyro_rationale.experiments.studies.posterior import proposal
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.posterior.gibbs import gibbs_posterior
from pyro_rationale.inference.posterior.importance import exact_draws, importance_posterior
from pyro_rationale.inference.posterior.log_joint import CachedLogJoint
from pyro_rationale.inference.posterior.sbc import Sampler, judge, sbc_ranks

METHODS = ("exact", "importance", "gibbs", "prior")


@dataclass(frozen=True)
class Budget:
    """Draws that are ranked among, and what each method spends on them."""

    draws: int
    samples: int
    chains: int
    warmup: int
    thin: int
    block: int

    def __post_init__(self) -> None:
        if self.draws % self.chains:
            raise ConfigError(f"--draws: expected a multiple of --chains {self.chains}, got {self.draws}")


def samplers(fitted: FittedModel, budget: Budget) -> dict[str, Sampler]:
    """The methods, by name."""

    def by_importance(scorer: CachedLogJoint) -> Tensor:
        return importance_posterior(scorer, proposal(fitted, scorer.batch), budget.samples).resample(budget.draws)

    def by_gibbs(scorer: CachedLogJoint) -> Tensor:
        draws = budget.draws // budget.chains
        q = proposal(fitted, scorer.batch)
        return gibbs_posterior(
            scorer, budget.chains, draws, budget.warmup, budget.thin, budget.block, guide=q
        ).masks.flatten(0, 1)

    known: dict[str, Callable[[CachedLogJoint], Tensor]] = {
        "exact": lambda scorer: exact_draws(scorer, budget.draws),
        "importance": by_importance,
        "gibbs": by_gibbs,
        "prior": lambda scorer: scorer.prior.sample(torch.Size([budget.draws])),
    }
    return known


def ranks_by(
    fitted: FittedModel, texts: Sequence[Document], method: str, budget: Budget, kappa: float, batch_size: int
) -> dict[str, Tensor]:
    """Ranks of one simulation per text, long `(N,)` for each statistic."""
    sampler = samplers(fitted, budget)[method]
    parts = [sbc_ranks(fitted.model, batch, sampler, kappa) for batch in batches_of(fitted, texts, batch_size)]
    return {name: torch.cat([part[name] for part in parts]).cpu() for name in parts[0]}


def assess(method: str, statistic: str, ranks: Tensor, draws: int) -> Row:
    """The verdict on one statistic, with its curve."""
    verdict = judge(ranks, draws)
    return {
        "method": method,
        "statistic": statistic,
        "uniform": verdict.uniform,
        "p": verdict.p,
        "mean_rank": float(ranks.double().mean()) / draws,
        "curve": {name: getattr(verdict, name).tolist() for name in ("difference", "low", "high")},
    }
