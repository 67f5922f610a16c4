"""The referee: p(z | x, y) by Markov chains on masks that need no guide.

A sweep redraws every word twice, b words at a time and exactly from their full conditional: all 2^b settings of the
block are scored by p(y | x, z)^kappa p(z), in one call of the encoder for all chains and documents. The blocks of the
first pass are neighbours, which the prior couples; those of the second are words from anywhere, so that a kept word
can be exchanged for a dropped one without passing through a worse mask. A sweep ends on a leap, a Metropolis step
whose proposal is a whole new mask (Tierney 1994: an independence chain); from the prior, unless another is given.

Where masks are over sentences, a sentence is what a word is here.

Every step leaves the posterior as it is. What could go wrong is that chains stay where they started, and they start
far apart: nothing kept, everything kept, then draws of the prior and of the guide in turn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.inference.posterior.evidence import all_masks
from pyro_rationale.inference.posterior.log_joint import CachedLogJoint


@dataclass(frozen=True)
class MaskChains:
    """Draws of the chains after their warm-up.

    Attributes:
        masks: bool, `(C, D, B, T)`: chains, draws, documents, words.
        log_joint: of each, `(C, D, B)`.
        inclusion: P(z_t = 1 | x, y) by each chain, `(C, B, T)`: averages of the full conditionals that the words were
            redrawn from, which are less noisy than averages of the draws (Rao-Blackwell; Gelfand, Smith 1990).
        leaps: share of whole-mask proposals that were accepted, `(B,)`.
    """

    masks: Tensor
    log_joint: Tensor
    inclusion: Tensor
    leaps: Tensor

    @property
    def mean(self) -> Tensor:
        """P(z_t = 1 | x, y), `(B, T)`, all chains together."""
        return self.inclusion.mean(0)

    @property
    def error(self) -> Tensor:
        """Standard error of `mean` from the spread of the chains, `(B, T)`; crude with few chains."""
        return self.inclusion.std(0) / len(self.inclusion) ** 0.5


class BlockGibbs:
    """Chains on the masks of one batch.

    Args:
        scorer: the model on the batch; its kappa is the likelihood's weight.
        block: b, words redrawn together.
        proposal: of the leaps, discrete, batch shape `(B,)`; the prior by default.

    Raises:
        ValueError: a block of less than one word.
    """

    def __init__(self, scorer: CachedLogJoint, block: int = 3, proposal: MaskDistribution | None = None) -> None:
        if block < 1:
            raise ValueError(f"expected blocks of at least 1 word, got {block}")
        self.scorer = scorer
        self.block = block
        self.proposal = scorer.prior if proposal is None else proposal
        self._lengths = scorer.batch.unit_lengths
        places = torch.arange(scorer.prior.by_unit.event_shape[0], device=self._lengths.device)
        self._inside = places < self._lengths[:, None]

    @torch.no_grad()
    def run(self, start: Tensor, draws: int, warmup: int, thin: int = 1) -> MaskChains:
        """Run all chains side by side.

        Args:
            start: masks, `(C, B, T)`.
            draws: D, masks to keep of each chain.
            warmup: sweeps before the first of them.
            thin: sweeps from one to the next.
        """
        prior = self.scorer.prior
        z = prior.unit_values(start.to(self.scorer.dtype))
        total = torch.zeros(z.shape, dtype=torch.float64, device=z.device)
        accepted = torch.zeros(z.shape[1], dtype=torch.float64, device=z.device)
        masks, scores = [], []
        for sweep in range(warmup + draws * thin):
            z, inclusion, leapt = self.sweep(z)
            if sweep < warmup:
                continue
            total += inclusion
            accepted += leapt.double().mean(0)
            if (sweep - warmup + 1) % thin == 0:
                masks.append(prior.over_words(z) > 0.5)
                scores.append(self._score(z))
        kept = draws * thin
        inclusion = prior.over_words(total / kept)
        return MaskChains(torch.stack(masks, 1), torch.stack(scores, 1), inclusion, accepted / kept)

    def _score(self, z: Tensor) -> Tensor:
        return self.scorer(self.scorer.prior.over_words(z))

    def sweep(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both passes and a leap, from masks `(C, B, T)`, of sentences where masks are over them.

        Returns:
            The next masks, the words' conditional probabilities averaged over the passes `(C, B, T)`, and which
            chains leapt `(C, B)`.
        """
        z, near = self.redraw_all(z, self.neighbours())
        z, far = self.redraw_all(z, self.scattered())
        z, leapt = self.leap(z)
        return z, (near + far) / 2, leapt

    # Orders in which the words of each document are cut into blocks, long `(B, T)`; padding comes last.

    def neighbours(self) -> Tensor:
        """The text's own order from a random word on, and round to the word before it."""
        lengths = self._lengths[:, None]
        steps = torch.arange(self._inside.shape[1], device=lengths.device)
        first = (torch.rand(lengths.shape, device=lengths.device) * lengths).long()
        return torch.where(self._inside, (steps + first) % lengths, steps)

    def scattered(self) -> Tensor:
        """A random order."""
        keys = torch.rand(self._inside.shape, device=self._inside.device)
        return torch.where(self._inside, keys, 2.0).argsort(-1)

    # Moves, each of which leaves the posterior as it is.

    def redraw_all(self, z: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """Every word once, block after block; returns masks and the conditional probabilities, `(C, B, T)` each."""
        inclusion = torch.zeros(z.shape, dtype=torch.float64, device=z.device)
        for positions in order.split(self.block, dim=-1):
            z, on = self.redraw(z, positions)
            inclusion.scatter_(-1, positions.expand(*on.shape), on)
        return z, inclusion

    def redraw(self, z: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The words at `positions` `(B, b)` from their joint conditional given all others.

        Returns:
            The masks `(C, B, T)`, and P(z = 1 | others) at the positions, float64, `(C, B, b)`.
        """
        size = positions.shape[-1]
        patterns = all_masks(0, 2**size, size, z)  # (2^b, b)
        inside = self._inside.gather(-1, positions).to(z.dtype)
        values = patterns[:, None] * inside  # (2^b, B, b); on padding, settings repeat, each equally often
        index = positions.expand(len(patterns), *z.shape[:-1], -1)
        settings = z.expand(len(patterns), *z.shape).scatter(-1, index, values[:, None].expand(index.shape))
        probs = self._score(settings).double().softmax(0)  # (2^b, C, B)
        chosen = torch.multinomial(probs.flatten(1).T, 1).reshape(z.shape[:-1])
        redrawn = settings.gather(0, chosen[None, ..., None].expand(1, *z.shape))[0]
        return redrawn, torch.einsum("pcb,pbk->cbk", probs, values.double())

    def leap(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """To a mask of the proposal, or stay: accepted with probability min(1, w(new) / w(old)), w = joint / q."""
        new = self.proposal.unit_values(self.proposal.precise_sample(torch.Size([len(z)])).to(z.dtype))
        gain = self._log_weight(new) - self._log_weight(z)
        leapt = torch.rand_like(gain).log() < gain
        return torch.where(leapt[..., None], new, z), leapt

    def _log_weight(self, z: Tensor) -> Tensor:
        return (self._score(z) - self.proposal.log_prob(self.proposal.over_words(z))).double()


def dispersed(scorer: CachedLogJoint, chains: int, guide: MaskDistribution | None = None) -> Tensor:
    """Starting points far apart, `(C, B, T)`: nothing, everything, then draws of the prior and of the guide in turn."""
    inside = scorer.batch.mask.to(scorer.dtype)
    starts = [scorer.prior] if guide is None else [scorer.prior, guide]
    drawn = [starts[i % len(starts)].precise_sample().to(scorer.dtype) for i in range(max(0, chains - 2))]
    return torch.stack([torch.zeros_like(inside), inside, *drawn][:chains])


def gibbs_posterior(
    scorer: CachedLogJoint,
    chains: int = 4,
    draws: int = 1000,
    warmup: int = 200,
    thin: int = 1,
    block: int = 3,
    guide: MaskDistribution | None = None,
) -> MaskChains:
    """Dispersed chains on one batch; see `BlockGibbs` and `dispersed` for the arguments."""
    start = dispersed(scorer, chains, guide)
    return BlockGibbs(scorer, block).run(start, draws, warmup, thin)
