"""The amortization gap: the loss of one network for all texts against the best chain for each.

For every document a linear chain with a field on each word and a coupling on each pair is set free and improved by
Adam on the same objective (2) that the guide was trained on (Cremer, Li, Duvenaud 2018, section 3: the amortization
gap is the refined bound minus the amortized one). It starts from the guide: from its own fields and couplings if it is
a chain, from its words' log-odds, uncoupled, if it is not. For an independent guide the gap therefore holds what the
couplings bring as well, and for a recurrent one, whose family is another, it can be negative.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyro
import torch
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import LinearChain, MaskDistribution
from pyro_rationale.inference.objectives.elbo import MaskELBO
from pyro_rationale.inference.posterior.evidence import LONGEST, enumerate_masks
from pyro_rationale.inference.posterior.log_joint import CachedLogJoint
from pyro_rationale.inference.terms import best_terms
from pyro_rationale.models import RationaleModel
from pyro_rationale.models.program import frozen
from pyro_rationale.nn.seeding import seeded

LARGEST = 12.0  # log-odds that a start may have; beyond it there is no gradient to come back by


class FreeChain(nn.Module):
    """A guide without a network: one chain per document of one batch.

    A plain module: Pyro's own would put the parameters into its global store, where the next batch's find them.

    Args:
        q: where it starts, discrete, batch shape `(B,)`.
    """

    def __init__(self, q: MaskDistribution) -> None:
        super().__init__()
        fields, coupling = chain_parameters(q)
        self.fields = nn.Parameter(fields)
        self.coupling = nn.Parameter(coupling)
        self.lengths, self._alike = q.by_unit.lengths, q.condition_alike

    def posterior(self, batch: Batch | None = None) -> MaskDistribution:
        """The chains, batch shape `(B,)`, without empty masks if `q` has none."""
        return self._alike(LinearChain(self.fields, self.coupling, self.lengths))

    def forward(self, batch: Batch) -> Tensor:
        """The Pyro program."""
        with pyro.plate("documents", len(batch), dim=-1):
            return pyro.sample("z", self.posterior())


@torch.no_grad()
def chain_parameters(q: MaskDistribution) -> tuple[Tensor, Tensor]:
    """Fields `(B, U)` and couplings `(B, U - 1)`: a chain's own; otherwise log-odds of the words, and zeros.

    Of sentences, where they are what is kept or dropped, and not of words.
    """
    q = q.by_unit.unconditioned
    chain = q.as_chain()
    if chain is q:
        return chain.fields.clone(), chain.coupling.clone()
    fields = torch.logit(q.mean).clamp(-LARGEST, LARGEST)
    return torch.where(q.word_mask, fields, 0.0), torch.zeros_like(fields[:, 1:])


def refine(
    model: RationaleModel,
    q: MaskDistribution,
    batch: Batch,
    tau: float = 1.0,
    kappa: float | None = None,
    steps: int = 300,
    samples: int = 8,
    learning_rate: float = 0.1,
) -> MaskDistribution:
    """The best chain for each document that some hundred steps of Adam find, batch shape `(B,)`, without gradients.

    Args:
        model: the generative program; it is not trained.
        q: the amortized guide's discrete distribution on the batch.
        batch: with targets.
        tau: weight of the entropy.
        kappa: weight of the log likelihood; the model's own by default.
        steps: of Adam; its learning rate falls to 0 along half a cosine, which averages the noise away.
        samples: masks per document and step, at least 2 (muprop).
        learning_rate: nats per step at first.
    """
    chain = FreeChain(q)
    objective = MaskELBO("muprop", samples, tau)
    optimiser = torch.optim.Adam(chain.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    with _weighing(model, kappa), frozen(model), torch.enable_grad():
        for _ in range(steps):
            optimiser.zero_grad()
            objective.differentiable_loss(model, chain, batch).backward()
            optimiser.step()
            schedule.step()
    return q.condition_alike(LinearChain(chain.fields.detach(), chain.coupling.detach(), chain.lengths))


@dataclass(frozen=True)
class Gap:
    """Objective (2) per document, in nats, `(B,)` each, float64.

    Attributes:
        amortized: of the guide.
        refined: of the refined chain.
        gap: refined - amortized.
        error: standard error of `gap`; 0 where it was summed over all masks.
    """

    amortized: Tensor
    refined: Tensor
    gap: Tensor
    error: Tensor


@torch.no_grad()
def amortization_gap(
    scorer: CachedLogJoint, q: MaskDistribution, refined: MaskDistribution, tau: float = 1.0, samples: int = 2000
) -> Gap:
    """How much better the refined chains are.

    Summed over all masks where no document has more than 12 words. Otherwise KL and entropy are exact, and the
    expected log likelihoods are averages over draws that both distributions make of the same uniform numbers.

    Args:
        scorer: the model on the batch; its kappa is the likelihood's weight.
        q: the guide's discrete distribution.
        refined: the result of `refine`.
        tau: weight of the entropy.
        samples: draws per document.
    """
    if int(scorer.batch.lengths.max()) <= LONGEST:
        tables = (enumerate_masks(scorer.model, scorer.batch, dist, scorer.kappa) for dist in (q, refined))
        before, after = (table.objective(tau) for table in tables)
        return Gap(before, after, after - before, torch.zeros_like(before))
    q = q.as_chain() or q  # drawn by the refined one's sampler wherever that is possible
    seed = int(torch.randint(2**62, ()))
    before, after = (_drawn(scorer, dist, tau, samples, seed) for dist in (q, refined))
    difference = after - before
    return Gap(before.mean(0), after.mean(0), difference.mean(0), difference.std(0) / samples**0.5)


def _drawn(scorer: CachedLogJoint, dist: MaskDistribution, tau: float, samples: int, seed: int) -> Tensor:
    """One unbiased value per draw, `(S, B)`: only the likelihood is noisy, and the penalties of a recurrent guide."""
    with seeded(seed):
        z = dist.precise_sample(torch.Size([samples]))
    likelihood = scorer.kappa * scorer.log_likelihood(z)
    penalty = best_terms(dist, scorer.prior, z).penalty(tau)
    if not dist.has_exact_marginals:
        penalty = penalty.sum(-1)
    return likelihood.double() - penalty.double()


@contextmanager
def _weighing(model: RationaleModel, kappa: float | None) -> Iterator[None]:
    """The model with another kappa, inside."""
    before = model.kappa.clone()
    if kappa is not None:
        model.kappa.fill_(kappa)
    try:
        yield
    finally:
        model.kappa.copy_(before)
