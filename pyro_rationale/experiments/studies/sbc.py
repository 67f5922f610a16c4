"""Simulation-based calibration of a run's posterior: `python -m pyro_rationale.study sbc --run RUN`.

The model makes its own data: texts of the corpus, masks of the prior, targets of the encoder. What is on
trial is a way to draw from p(z | x, y): enumeration, importance resampling from the guide, Markov chains, or a guide
that reads y.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain, count, islice

import torch
from torch import Tensor

from pyro_rationale.data.corpus import Document
from pyro_rationale.errors import ConfigError
from pyro_rationale.experiments.studies.common import Row
from pyro_rationale.experiments.studies.posterior import proposal
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.posterior.gibbs import gibbs_posterior
from pyro_rationale.inference.posterior.importance import exact_draws, importance_posterior
from pyro_rationale.inference.posterior.log_joint import CachedLogJoint
from pyro_rationale.inference.posterior.sbc import (
    FACTORS,
    Ranks,
    Sampler,
    judge,
    kappa_power,
    sbc_ranks,
    simulate,
)

KAPPA_FREE = ("guide", "prior")  # methods that do not look at kappa
SLEEP_BATCH, SLEEP_RATE = 256, 3e-3  # documents of a step, and Adam's learning rate at first


@dataclass(frozen=True)
class Budget:
    """Draws that are ranked among, and what each method spends on them.

    `wrong_kappa` is a factor by which a method errs in kappa, on purpose.
    """

    draws: int
    samples: int
    chains: int
    warmup: int
    thin: int
    block: int
    wrong_kappa: float = 1.0

    def __post_init__(self) -> None:
        if self.draws % self.chains:
            raise ConfigError(f"--draws: expected a multiple of --chains {self.chains}, got {self.draws}")


def check_methods(fitted: FittedModel, methods: Sequence[str], budget: Budget, sleep: int = 0) -> None:
    """Refuse what a method cannot do.

    Raises:
        ConfigError: draws of a guide that has not seen y, training of one that is not on trial, or a wrong kappa for a
            method that looks at none.
    """
    if "guide" in methods and fitted.guide.target is None:
        raise ConfigError(
            "--method guide: the guide of this run has not seen y, so its draws are none of p(z | x, y); fit with "
            "--condition-on-target, or choose importance, which weighs them"
        )
    if sleep and "guide" not in methods:
        raise ConfigError("--sleep: trains the guide, which is not on trial; add --method guide")
    if budget.wrong_kappa != 1.0 and (free := [method for method in methods if method in KAPPA_FREE]):
        raise ConfigError(f"--wrong-kappa: --method {free[0]} does not look at kappa; use exact, importance or mcmc")


def samplers(fitted: FittedModel, budget: Budget) -> dict[str, Sampler]:
    """The methods, by name."""

    def erring(draw: Sampler) -> Sampler:
        if budget.wrong_kappa == 1.0:
            return draw
        return lambda scorer: draw(CachedLogJoint(scorer.model, scorer.batch, scorer.kappa * budget.wrong_kappa))

    def by_guide(scorer: CachedLogJoint) -> Tensor:
        return proposal(fitted, scorer.batch).precise_sample(torch.Size([budget.draws]))

    def by_importance(scorer: CachedLogJoint) -> Tensor:
        return importance_posterior(scorer, proposal(fitted, scorer.batch), budget.samples).resample(budget.draws)

    def by_mcmc(scorer: CachedLogJoint) -> Tensor:
        draws = budget.draws // budget.chains
        q = proposal(fitted, scorer.batch)
        return gibbs_posterior(
            scorer, budget.chains, draws, budget.warmup, budget.thin, budget.block, guide=q
        ).masks.flatten(0, 1)

    return {
        "exact": erring(lambda scorer: exact_draws(scorer, budget.draws)),
        "importance": erring(by_importance),
        "mcmc": erring(by_mcmc),
        "guide": by_guide,
        "prior": lambda scorer: scorer.prior.precise_sample(torch.Size([budget.draws])),
    }


def learn_own_draws(
    fitted: FittedModel, texts: Sequence[Document], steps: int, kappa: float, batch_size: int = SLEEP_BATCH
) -> None:
    """Train the guide of a run in memory on masks and targets that the model draws: wake-sleep's sleep phase.

    A guide that reads targets has met those of real texts, while simulated ones are what the encoder makes of masks of
    the prior. Here it maximises log q(z | x, y) of simulated z and y, as the posterior does on average (Hinton, Dayan,
    Frey and Neal 1995). The model stays as it is.

    Args:
        fitted: its guide reads targets.
        texts: of the simulations.
        steps: of Adam, whose learning rate falls to 0 along a cosine.
        kappa: weight of the log likelihood.
        batch_size: documents of a step.
    """
    optimizer = torch.optim.Adam(fitted.guide.parameters(), SLEEP_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    batches = chain.from_iterable(fitted.device_batches(texts, batch_size) for _ in count())
    with fitted.model.constrained():
        for batch in islice(batches, steps):
            z, simulated = simulate(fitted.model, batch, kappa)
            optimizer.zero_grad()
            (-proposal(fitted, simulated).log_prob(z).mean()).backward()
            optimizer.step()
            schedule.step()


def ranks_by(
    fitted: FittedModel, texts: Sequence[Document], method: str, budget: Budget, kappa: float, batch_size: int
) -> Ranks:
    """Ranks of one simulation per text.

    A guide is fitted to the posterior under the steering chain, prior and constraint together, so that one is simulated
    from where the guide is on trial; p(z) elsewhere.
    """
    sampler = samplers(fitted, budget)[method]
    with fitted.model.constrained() if method == "guide" else nullcontext():
        parts = [sbc_ranks(fitted.model, batch, sampler, kappa) for batch in fitted.device_batches(texts, batch_size)]
    ranks = {name: torch.cat([part.ranks[name] for part in parts]).cpu() for name in parts[0].ranks}
    return Ranks(ranks, torch.cat([part.tilted for part in parts], 1).cpu())


def visible_error(method: str, ranks: Ranks, budget: Budget) -> Row:
    """The smallest error in kappa that these simulations would show, and the chance of each that was looked at."""
    power = kappa_power(ranks.tilted, budget.draws)
    chances = dict(zip((f"{factor:.4g}" for factor in FACTORS), power.chance.tolist(), strict=True))
    return {"method": method, "above": power.above, "below": power.below, "chance": chances}


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
