"""The prior by empirical Bayes: rate and span of p(z) by maximum ELBO, roughly on the way and exactly at the end.

What training charges per kept word and per change, to hold the share of kept words, moves masks, not the prior. The
prior follows the masks: of all chains it is the one to which KL(q || p), averaged over the training texts, is least.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from pyro_rationale.data.cache.dataset import taken
from pyro_rationale.data.corpus import Document
from pyro_rationale.distributions import AspectPriors, ChainPrior, fit_prior
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.objectives.decomposition import mask_counts, stacked
from pyro_rationale.training.history import StepRecord

MOST_TEXTS = 2048  # two parameters fitted to so many texts cost 1 / 2048 nats of ELBO per text
SAMPLES = 8  # masks per text of a guide without exact marginals
PACE = 0.02  # share of a step in the running averages


@dataclass
class RunningPrior:
    """The prior on the way: that of the share of kept words and of the changes, averaged over the last steps.

    It leaves aside the ends of texts, empty masks and excluded words, which `learn_prior` accounts for.

    Attributes:
        rate: running average of the share of words kept.
        changes: running average of the changes per word.
        steps: that were averaged.
    """

    rate: float = 0.0
    changes: float = 0.0
    steps: int = 0

    def update(self, record: StepRecord, before: ChainPrior | AspectPriors | None = None) -> ChainPrior:
        """Take a step; the prior that goes with the masks so far, whatever stood `before`."""
        self.steps += 1
        pace = max(PACE, 1.0 / self.steps)
        self.rate += pace * (record.rate - self.rate)
        self.changes += pace * (record.changes - self.changes)
        return ChainPrior.from_moments(self.rate, self.changes)


@dataclass
class RunningPriors:
    """The priors on the way of several targets that have masks of their own.

    Attributes:
        each: one for each target; what is no :class:`RunningPrior` is its fields, as a checkpoint has them.
    """

    each: list[Any]

    def __post_init__(self) -> None:
        self.each = [RunningPrior(**one) if isinstance(one, dict) else one for one in self.each]

    def update(self, record: StepRecord, before: ChainPrior | AspectPriors) -> AspectPriors:
        """Take a step; the priors that go with the masks so far.

        A target that no text of the step rates stays where it is, and has taken no step.

        Args:
            record: of the step.
            before: the priors so far.
        """
        assert isinstance(before, AspectPriors)
        parts = zip(self.each, before.chains, record.rates, record.moves, strict=True)
        return AspectPriors(
            tuple(
                chain if math.isnan(rate) else own.update(replace(record, rate=rate, changes=changes))
                for own, chain, rate, changes in parts
            )
        )


def running_prior(aspects: int) -> RunningPrior | RunningPriors:
    """A running prior that has seen no step, or one for each of several targets."""
    return RunningPrior() if aspects == 1 else RunningPriors([RunningPrior() for _ in range(aspects)])


@torch.no_grad()
def learn_prior(fitted: FittedModel, documents: Sequence[Document], requested: ChainPrior) -> None:
    """Set the prior of a fitted model to the chain with the largest ELBO on its training texts, `MOST_TEXTS` of them.

    Args:
        fitted: the model, with the weights that are kept.
        documents: the training texts.
        requested: the prior that was asked for; where to begin, and the masks of one further text.
    """
    fitted.eval()
    size = min(MOST_TEXTS, len(documents))
    chosen = np.linspace(0, len(documents) - 1, size).round().astype(int)  # evenly spaced, without a draw
    parts = []
    given = {} if fitted.guide.target is None else {"see_target": True}  # closer to p(z | x, y)
    with fitted.seeded(0):
        for batch in fitted.batches(taken(documents, chosen), 256).ordered(256):
            batch = batch.to(fitted.device)
            counts = mask_counts(fitted.guide.posterior(batch, **given), SAMPLES)
            target = torch.zeros_like(batch.lengths) if batch.aspects is None else batch.aspects
            parts.append([*(value.cpu() for value in (*counts, batch.unit_lengths, target)), batch.excluded])
    kept, changes, lengths, about, excluded = zip(*parts, strict=True)
    columns = torch.cat(kept), torch.cat(changes), torch.cat(lengths)
    flags, aspects = None if excluded[0] is None else stacked(excluded), torch.cat(about)
    if fitted.aspects == 1:
        fitted.model.prior = fit_prior(*columns, requested, flags)
        return
    chains = []
    for aspect in range(fitted.aspects):
        own = (aspects == aspect).nonzero()[:, 0]
        marked = None if flags is None else flags[own.to(flags.device)]
        kept_own, changes_own, lengths_own = (column[own] for column in columns)
        chains.append(fit_prior(kept_own, changes_own, lengths_own, requested, marked))
    fitted.model.prior = AspectPriors(tuple(chains))
