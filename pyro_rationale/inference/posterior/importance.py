"""p(z | x, y) by importance resampling: masks drawn from the guide, weighed by what they explain.

Short documents need no weights: `exact_draws` is there for them.

The guide has seen the text only; a draw z of it gets the weight w = p(y | x, z)^kappa p(z) / q(z | x), and weighted
draws are draws of the posterior (Rubin 1988; Owen 2013, chapter 9). How far to believe them is said by the Pareto
shape k-hat of the weights (Vehtari et al. 2024): below 0.7 the errors reported here can be trusted, above not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.errors import ConfigError
from pyro_rationale.inference.posterior.evidence import LONGEST, all_masks, effective_sample_size, enumerate_masks
from pyro_rationale.inference.posterior.log_joint import CachedLogJoint, draw_weighted


@dataclass(frozen=True)
class WeightedMasks:
    """Draws of a proposal and their weights.

    Attributes:
        masks: bool, `(S, B, T)`.
        log_weights: log w, unnormalised, float64, `(S, B)`.
    """

    masks: Tensor
    log_weights: Tensor

    @property
    def weights(self) -> Tensor:
        """Self-normalised, `(S, B)`: a document's sum to 1."""
        return torch.softmax(self.log_weights, 0)

    @property
    def ess(self) -> Tensor:
        """Effective sample size 1 / sum w^2 (Kong 1992), `(B,)`, from 1 to S; 0 where no draw has any weight."""
        return effective_sample_size(self.log_weights)

    @property
    def mean(self) -> Tensor:
        """Posterior word marginals, `(B, T)`."""
        return torch.stack([weights @ masks.double() for weights, masks in self._documents()])

    @property
    def error(self) -> Tensor:
        """Monte-Carlo standard error of `mean`, `(B, T)`: sqrt(sum w^2 (z - mean)^2) (Owen 2013, equation 9.9)."""
        pairs = zip(self._documents(), self.mean, strict=True)
        squares = [weights.square() @ (masks.double() - mean).square() for (weights, masks), mean in pairs]
        return torch.stack(squares).sqrt()

    def _documents(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Weights `(S,)` and masks `(S, T)`, one document at a time: as floats, all at once would fill the memory."""
        return zip(self.weights.unbind(1), self.masks.unbind(1), strict=True)

    @property
    def log_evidence(self) -> Tensor:
        """Log of the mean weight, `(B,)`: a lower bound of the log evidence in expectation (IWAE)."""
        return torch.logsumexp(self.log_weights, 0) - torch.log(torch.tensor(float(len(self.log_weights))))

    def resample(self, number: int) -> Tensor:
        """Masks of the posterior, `(number, B, T)` bool, drawn from the weighted ones with replacement."""
        rows = torch.multinomial(self.weights.T, number, replacement=True).T  # (number, B)
        return self.masks.gather(0, rows[..., None].expand(-1, -1, self.masks.shape[-1]))


@torch.no_grad()
def importance_posterior(
    scorer: CachedLogJoint, q: MaskDistribution, samples: int, rows: int = 65_536
) -> WeightedMasks:
    """Weighted draws of a batch.

    Args:
        scorer: the model on the batch; its kappa is the likelihood's weight.
        q: the discrete proposal (`guide.posterior(batch).discrete()`), batch shape `(B,)`.
        samples: S, per document.
        rows: most masks to draw at once.

    Raises:
        ValueError: no samples.
    """
    if samples < 1:
        raise ValueError(f"expected at least 1 sample, got {samples}")
    drawn = [(z > 0.5, weights.double()) for z, weights in draw_weighted(scorer, q, samples, rows)]
    return WeightedMasks(torch.cat([masks for masks, _ in drawn]), torch.cat([weights for _, weights in drawn]))


def exact_draws(scorer: CachedLogJoint, number: int) -> Tensor:
    """Independent masks of p(z | x, y) by enumeration, `(number, B, T)` bool.

    Raises:
        ConfigError: a document of more than 12 words.
    """
    batch = scorer.batch
    longest = int(batch.lengths.max())
    if longest > LONGEST:
        raise ConfigError(f"--words: all masks are enumerated up to {LONGEST} words, got a document of {longest}")
    table = enumerate_masks(scorer.model, batch, kappa=scorer.kappa)
    rows = torch.multinomial(table.log_posterior.exp().T, number, replacement=True).T  # (number, B)
    masks = all_masks(0, 2**longest, batch.tokens.shape[1], scorer.prior.fields)
    return masks[rows] > 0.5
