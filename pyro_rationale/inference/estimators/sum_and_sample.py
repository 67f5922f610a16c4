"""Sum-and-sample: MuProp whose most probable masks are summed, and only the others sampled.

A trained guide has most of its probability on a handful of masks, and draws them again and again; what its gradient
varies by are the rare ones. So a set C of masks with known probabilities is taken out of the sampling (Liang,
Norouzi, Berant, Le and Lao 2018, section 3; Liu, Regier, Tripuraneni, Jordan and McAuliffe 2019):

    E_q[h(z)] = sum_{z in C} q(z) h(z) + E_q[h(z) 1(z not in C)]

C is what pilot draws found, the most probable of it. The second expectation is an average over S fresh draws, of
which only those outside of C have to be read by the encoder, and equal ones once. S follows from q(C), such that about
K are outside: a guide that has not made up its mind draws K masks and sums none, which is muprop; a certain one draws
8 K and reads two. Unbiased, because C and S are fixed before the draws that are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.distributions.masks import mask_keys
from pyro_rationale.inference.estimators._base import Draws, Masks
from pyro_rationale.inference.estimators.muprop import MuProp

PILOTS = 4  # pilot draws for each mask that may be summed
DEPTH = 8  # at most so many draws for each that is expected to be read


@dataclass(frozen=True)
class MaskSet(Masks):
    """Masks to be read, N slots for each of B documents; where fewer are wanted the others repeat the first.

    Attributes:
        probability: q(z) of a mask that is summed, 0 of others, `(N, B)`.
        count: how often a mask was drawn, 0 of those that are summed, `(N, B)`.
        draws: S, `(B,)`.
    """

    probability: Tensor
    count: Tensor
    draws: Tensor

    @property
    def weights(self) -> Tensor:
        """Weight of each mask in an average of what carries gradients itself, `(N, B)`; they sum to 1 over the slots.

        The plain weights, q(z) in C and count / S outside, sum to 1 only on average. What the draws outside of C
        take more or less than their due is made up for by C in proportion, which is unbiased, and leaves no
        fluctuation in what all masks have in common.
        """
        share = self.count / self.draws
        mass = self.probability.sum(0)
        left = (1.0 - share.sum(0)) / torch.where(mass > 0, mass, 1.0)
        return self.probability * left + share

    def advantage(self, reward: Tensor) -> Tensor:
        """Factors of the score functions, from rewards `(N, B)` or, of each word, `(N, B, T)`.

        The baseline is an estimate of the mean reward: that of C, and the average over the draws of what those
        outside of C differ from it. A draw is compared with the estimate of the others, the masks of C, for which
        no draw matters, with that of all; both have the same expectation, as the sum over all masks wants it.
        """
        probability, count, draws = self.probability, self.count, self.draws
        if reward.dim() == 3:
            probability, count, draws = probability[..., None], count[..., None], draws[:, None]
        mass = probability.sum(0)
        centre = (probability * reward).sum(0) / torch.where(mass > 0, mass, 1.0)
        apart = reward - centre
        total = (count * apart).sum(0)
        return probability * (apart - total / draws) + count / draws * (apart - (total - apart) / (draws - 1))


@torch.no_grad()
def choose(q: MaskDistribution, samples: int) -> MaskSet:
    """Find the masks to sum, and draw the others.

    Args:
        q: the guide's, batch shape `(B,)`.
        samples: K, 2 or more: how many masks are summed at most, and drawn from the rest on average.
    """
    summed, log_q = _probable(q, samples, floor=1.0 / (DEPTH * samples))
    probability = log_q.exp()
    rest = (1.0 - probability.double().sum(0)).clamp_min(1e-9)
    draws = (samples / rest).ceil().clamp(samples, DEPTH * samples).long()
    most = int(draws.max())
    z = q.sample(torch.Size([most]))
    outside = torch.arange(most, device=z.device)[:, None] < draws
    # All of a kind are counted at the first of it; if that is a mask of C they are none of those outside.
    masks = torch.cat([summed, z])
    count = counts(mask_keys(masks), torch.cat([probability > 0, outside]))
    count[: len(summed)] = 0
    return _aligned(
        q,
        masks,
        torch.cat([probability, probability.new_zeros(z.shape[:-1])]),
        count.to(probability.dtype),
        draws.to(probability.dtype),
    )


def _probable(q: MaskDistribution, most: int, floor: float) -> tuple[Tensor, Tensor]:
    """The most probable masks among pilot draws, `(M, B, T)`, and log q, `(M, B)`; -inf: none in this place."""
    pilots = q.sample(torch.Size([PILOTS * most]))
    log_q = q.log_prob(pilots)
    first = counts(mask_keys(pilots), torch.ones_like(log_q, dtype=torch.bool)) > 0
    log_q = log_q.masked_fill(~first | (log_q.exp() < floor), -torch.inf)
    best, where = log_q.topk(most, dim=0)
    used = int((best > -torch.inf).sum(0).max()) if best.numel() else 0
    best, where = best[:used], where[:used]
    return pilots.gather(0, where[..., None].expand(*where.shape, pilots.shape[-1])), best


def counts(keys: Tensor, used: Tensor) -> Tensor:
    """How many there are of each kind of mask, at the first of the kind; 0 at the others, in O(N log N).

    Args:
        keys: long `(N, B)`, equal for equal masks of a document; that different ones share a key has a probability of
            2^-64 for each pair.
        used: bool `(N, B)`; which masks are there at all.

    Returns:
        Long, `(N, B)`.
    """
    keys = keys.masked_fill(~used, torch.iinfo(torch.long).max)
    ordered, order = keys.sort(dim=0, stable=True)  # the first of a kind stays the first
    heads = torch.ones_like(used)
    heads[1:] = ordered[1:] != ordered[:-1]
    places = torch.arange(len(keys), device=keys.device)[:, None]
    # The place of the next head, from behind: what lies between is of the kind.
    ends = torch.where(heads, places, len(keys)).flip(0).cummin(0).values.flip(0)
    ends = torch.cat([ends[1:], torch.full_like(ends[:1], len(keys))])
    return torch.zeros_like(keys).scatter_(0, order, (ends - places) * heads) * used


def _aligned(q: MaskDistribution, z: Tensor, probability: Tensor, count: Tensor, draws: Tensor) -> MaskSet:
    """Move what is used to the front, and let the first fill the places of a document that has fewer."""
    used = (probability > 0) | (count > 0)
    order = (~used).to(torch.uint8).sort(dim=0, stable=True).indices[: int(used.sum(0).max())]
    order = torch.where(used.gather(0, order), order, order[:1])
    slots = torch.arange(len(order), device=z.device)[:, None]
    own = slots < used.sum(0)
    z = z.gather(0, order[..., None].expand(*order.shape, z.shape[-1]))
    return MaskSet(
        q.expand(z.shape[:-1]),
        z,
        probability.gather(0, order) * own,
        count.gather(0, order) * own,
        draws,
    )


class SumAndSample(MuProp):
    """Exact on the masks that a nearly certain guide has; unbiased for every guide, and of the lowest variance then."""

    default_samples = 8
    draws_together = False

    def guide_samples(self, samples: int) -> int:
        """One, which is not used: masks are drawn when it is known how many are to be summed."""
        return 1

    def draw(self, q: MaskDistribution, z: Tensor, samples: int) -> MaskSet:
        """Masks to sum and masks that were drawn from the rest."""
        return choose(q.origin, samples)

    def advantage(self, reward: Tensor, draws: Draws) -> Tensor:
        """Factors of the score functions from both kinds of masks, K times over."""
        assert isinstance(draws.masks, MaskSet)
        return draws.masks.advantage(reward) * draws.samples


REGISTERED = SumAndSample
