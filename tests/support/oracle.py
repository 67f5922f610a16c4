"""The oracle: mask distributions by enumeration of {0, 1}^n in float64. It shares no code with what it checks.

One document of n words at a time, no padding, no batches, no tricks: a table of all 2^n masks and log weights.
It is differentiable, so exact gradients come from autograd through the table.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def all_masks(n: int) -> Tensor:
    """All masks of n words, float64, `(2^n, n)`."""
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=n)), dtype=torch.float64).reshape(2**n, n)


def changes(masks: Tensor) -> Tensor:
    """Number of neighbours that differ, per mask."""
    return (masks[:, 1:] - masks[:, :-1]).abs().sum(-1)


def run_ends(masks: Tensor) -> Tensor:
    """How many ends of its run each word is, 0 to 2, for masks `(N, n)`."""
    rows = []
    for mask in masks.tolist():
        around = [0.0, *mask, 0.0]
        rows.append([float(on and not before) + float(on and not after)
                     for before, on, after in zip(around, around[1:], around[2:], strict=False)])
    return torch.tensor(rows, dtype=torch.float64).reshape(masks.shape)


def charges(masks: Tensor, excluded: Tensor) -> Tensor:
    """Nats that masks `(N, n)` are charged for excluded words of some kinds `(n,)`, `(N,)`."""
    padded = torch.nn.functional.pad(masks, (1, 1))
    begins, stops = masks * (1 - padded[:, :-2]), masks * (1 - padded[:, 2:])
    neither = (excluded == 1) | (excluded == 2) | (excluded == 5)
    first, last = begins[:, neither | (excluded == 3)].sum(-1), stops[:, neither | (excluded == 4)].sum(-1)
    return 30.0 * (first + last + masks[:, excluded == 2].sum(-1))


class Oracle:
    """A distribution over the masks of n words, as a table.

    Args:
        weights: unnormalised log weights of `all_masks(n)`, `(2^n,)`.
    """

    def __init__(self, weights: Tensor) -> None:
        self.n = weights.shape[0].bit_length() - 1
        self.masks = all_masks(self.n)
        self.weights = weights.to(torch.float64)
        self.log_z = torch.logsumexp(self.weights, 0)
        self.log_probs = self.weights - self.log_z
        self.probs = self.log_probs.exp()

    @classmethod
    def chain(cls, fields: Tensor, coupling: Tensor) -> Oracle:
        """sum a_t z_t - sum J_t |z_{t+1} - z_t|, from fields `(n,)` and couplings `(n - 1,)`."""
        masks = all_masks(len(fields))
        differ = (masks[:, 1:] - masks[:, :-1]).abs()
        return cls((masks * fields.double()).sum(-1) - (differ * coupling.double()).sum(-1))

    @classmethod
    def penalty(cls, alpha: float, gamma: float, n: int) -> Oracle:
        """The prior of docs/explanation/mathematics.md: -alpha sum z_t - gamma sum |z_t - z_{t-1}|."""
        masks = all_masks(n)
        return cls(-alpha * masks.sum(-1) - gamma * changes(masks))

    @classmethod
    def independent(cls, logits: Tensor) -> Oracle:
        """Each word for itself, from logits `(n,)`."""
        masks = all_masks(len(logits))
        on = torch.sigmoid(logits.double())
        return cls(torch.where(masks > 0, on.log(), (1 - on).log()).sum(-1))

    @classmethod
    def autoregressive(cls, logit: Callable[[Sequence[float]], Tensor], n: int) -> Oracle:
        """From a function that gives the logit of the next decision after a prefix of decisions."""

        def rows(prefix: tuple[float, ...], log_prob: Tensor) -> list[Tensor]:
            if len(prefix) == n:
                return [log_prob]
            on = torch.sigmoid(logit(prefix).double())
            branches = ((0.0, log_prob + (1 - on).log()), (1.0, log_prob + on.log()))
            return [row for bit, sofar in branches for row in rows((*prefix, bit), sofar)]

        return cls(torch.stack(rows((), torch.zeros((), dtype=torch.float64))))

    def charging(self, nats: Tensor) -> Oracle:
        """This table with each mask charged so much more, `(2^n,)`."""
        return Oracle(self.weights - nats)

    def nonempty(self) -> Oracle:
        """This table given that at least one word is kept."""
        return Oracle(self.weights.masked_fill(self.masks.sum(-1) == 0, -torch.inf))

    def over_words(self, units: Tensor) -> Oracle:
        """This table of choices about units as one of words, `units` `(n,)` being the unit of each word."""
        masks = all_masks(len(units))
        starts = [int((units == u).nonzero()[0]) for u in range(self.n)]
        choices = masks[:, starts]
        whole = (choices[:, units] == masks).all(-1)
        return Oracle(self.weights[self.index(choices)].masked_fill(~whole, -torch.inf))

    def expect(self, values: Tensor) -> Tensor:
        """E[values], from one row of values per mask, `(2^n, ...)`."""
        return torch.tensordot(self.probs, values.double(), dims=1)

    @property
    def mean(self) -> Tensor:
        """P(z_t = 1), `(n,)`."""
        return self.expect(self.masks)

    @property
    def change(self) -> Tensor:
        """P(z_{t+1} != z_t), `(n - 1,)`."""
        return self.expect((self.masks[:, 1:] != self.masks[:, :-1]).double())

    def conditional(self, t: int, before: int) -> float:
        """P(z_t = 1 given z_{t-1} = before)."""
        given = self.masks[:, t - 1] == before
        return float(self.probs[given & (self.masks[:, t] == 1)].sum() / self.probs[given].sum())

    @property
    def entropy(self) -> Tensor:
        """In nats; masks of probability 0 contribute nothing."""
        return -(self.probs * self._finite_log_probs).sum()

    @property
    def _finite_log_probs(self) -> Tensor:
        """Log probabilities with 0 for those of impossible masks, whose gradient would not be a number."""
        return torch.where(self.probs > 0, self.log_probs, 0.0)

    def kl(self, other: Oracle) -> Tensor:
        """KL(self || other)."""
        safe = torch.where(self.probs > 0, other.log_probs, 0.0)
        return (self.probs * (self._finite_log_probs - safe)).sum()

    def cross_energy(self, other: Oracle) -> Tensor:
        """E_self[-log other(z)]."""
        return -self.expect(torch.where(self.probs > 0, other.log_probs, 0.0))

    @property
    def mode(self) -> Tensor:
        """A most probable mask, `(n,)`."""
        return self.masks[self.weights.argmax()]

    def index(self, masks: Tensor) -> Tensor:
        """Where masks `(*, n)` stand in the table, long `(*)`."""
        powers = 2 ** torch.arange(self.n - 1, -1, -1)
        return (masks.long() * powers).sum(-1)

    def log_prob(self, masks: Tensor) -> Tensor:
        """log p of masks `(*, n)`."""
        return self.log_probs[self.index(masks)]

    def expected_cost(self, losses: Tensor, lambda1: float, lambda2: float) -> Tensor:
        """E[loss + lambda1 |z| + lambda2 |dz|], from one loss per mask `(2^n,)` (Lei et al. 2016, equation 2)."""
        return self.expect(losses + lambda1 * self.masks.sum(-1) + lambda2 * changes(self.masks))

    def log_evidence(self, log_likelihood: Callable[[Tensor], Tensor]) -> Tensor:
        """log sum_z p(z) p(y given z), from the log likelihood of masks `(2^n, n)` -> `(2^n,)`."""
        return torch.logsumexp(self.log_probs + log_likelihood(self.masks).double(), 0)

    def posterior(self, log_likelihood: Callable[[Tensor], Tensor]) -> Oracle:
        """p(z given y)."""
        return Oracle(self.log_probs + log_likelihood(self.masks).double())


def padded(row: Tensor, size: int) -> Tensor:
    """A document's `(n, ...)` result with zeros behind it, `(size, ...)`."""
    return torch.cat([row, row.new_zeros(size - len(row), *row.shape[1:])])


def chi_square_z(oracle: Oracle, samples: Tensor) -> float:
    """Pearson's chi-square of masks `(S, n)` against the table, as a z-score; cells below 5 expected are pooled.

    Wilson and Hilferty's cube-root transformation makes it normal under the table.
    """
    expected = oracle.probs.detach() * len(samples)
    found = torch.bincount(oracle.index(samples), minlength=len(expected)).double()
    if found[expected == 0].any():  # what cannot be was drawn
        return float("inf")
    rare = expected < 5
    cells = [(found[~rare], expected[~rare])]
    if float(expected[rare].sum()) > 5:
        cells.append((found[rare].sum()[None], expected[rare].sum()[None]))
    found, expected = (torch.cat(parts) for parts in zip(*cells, strict=True))
    freedom = len(expected) - 1
    if not freedom:  # one outcome only, and nothing else was drawn
        return 0.0
    statistic = float(((found - expected) ** 2 / expected).sum())
    return ((statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / (2 / (9 * freedom)) ** 0.5
