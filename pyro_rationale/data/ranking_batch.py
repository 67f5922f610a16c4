"""A padded batch of texts that are queries and their candidates, each once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch

_NONE = torch.zeros(0, dtype=torch.long)


@dataclass(frozen=True)
class RankingBatch(Batch):
    """A padded batch of `B` documents, `Q` of which are queries.

    Attributes:
        queries: long, `(Q,)`; position of each query among the documents.
        allowed: bool, `(Q, B)`; candidates of each query, its similar text among them.
        positive: long, `(Q,)`; position of the similar text that is to be found; `None` where it is not known.
    """

    queries: Tensor = _NONE
    allowed: Tensor = _NONE
    positive: Tensor | None = None

    def repeated(self, copies: int) -> RankingBatch:
        """The documents and queries so many times; copies are no candidates of each other."""
        many = super().repeated(copies)
        assert isinstance(many, RankingBatch)
        shift = len(self) * torch.arange(copies, device=self.queries.device).repeat_interleave(len(self.queries))
        return replace(
            many,
            queries=many.queries + shift,
            allowed=torch.block_diag(*[self.allowed] * copies).bool(),
            positive=None if many.positive is None else many.positive + shift,
        )
