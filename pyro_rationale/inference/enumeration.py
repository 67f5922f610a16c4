"""p(z | x, y) of short documents, exactly: every mask scored."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rationale.errors import ConfigError
from pyro_rationale.inference.scoring import Scorer

ENUMERABLE = 12  # words


def all_masks(size: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
    """All masks of `size` words, `(2^size, size)`; row i holds the binary digits of i."""
    bits = torch.arange(size - 1, -1, -1, device=device)
    return ((torch.arange(2**size, device=device)[:, None] >> bits) & 1).to(dtype)


@dataclass(frozen=True)
class ExactPosterior:
    """p(z | x, y) as a table, document by document.

    Attributes:
        masks: `(2^T, T)`.
        log_joint: kappa log p(y | x, z) + log p(z), `(2^T, B)`; minus infinity where a mask keeps padding.
    """

    masks: Tensor
    log_joint: Tensor

    @property
    def log_evidence(self) -> Tensor:
        """log sum_z p(z) p(y | x, z)^kappa, `(B,)`."""
        return torch.logsumexp(self.log_joint, 0)

    @property
    def probs(self) -> Tensor:
        """p(z | x, y), `(2^T, B)`."""
        return torch.softmax(self.log_joint, 0)

    @property
    def mean(self) -> Tensor:
        """P(z_t = 1 | x, y), `(B, T)`."""
        return self.probs.T @ self.masks.to(self.log_joint.dtype)

    def sample(self, number: int) -> Tensor:
        """Independent masks, `(number, B, T)`."""
        rows = torch.multinomial(self.probs.T, number, replacement=True)  # (B, number)
        return self.masks[rows.T]


@torch.no_grad()
def exact_posterior(scorer: Scorer, chunk: int = 512) -> ExactPosterior:
    """The table of a batch none of whose documents is longer than 12 words; float64.

    Raises:
        ConfigError: a longer document.
    """
    batch = scorer.batch
    size = batch.tokens.shape[1]
    if int(batch.lengths.max()) > ENUMERABLE:
        longest = int(batch.lengths.max())
        raise ConfigError(f"enumeration serves up to {ENUMERABLE} words, got a document of {longest}; set --max-words")
    size = int(batch.lengths.max())
    masks = all_masks(size, scorer.dtype, batch.tokens.device)
    wide = torch.nn.functional.pad(masks, (0, batch.tokens.shape[1] - size))
    inside = batch.mask.to(scorer.dtype)
    parts = []
    for some in wide.split(chunk):
        z = some[:, None] * inside
        fits = (z == some[:, None]).all(-1)
        parts.append(scorer(z).double().masked_fill(~fits, -torch.inf))
    return ExactPosterior(wide, torch.cat(parts))
