"""What all guides share: q(z | x) from a BiLSTM, as a Pyro program with the one site `z`."""

from __future__ import annotations

from typing import Any, cast

import pyro
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.nn import BiLSTM


class RationaleGuide(PyroModule):
    """An amortized guide: `guide(batch)` samples the site `z`; `guide.posterior(batch)` is its distribution.

    Args:
        generator: features per word.
        baseline: predicts the downstream cost of a document from its (detached) mean features, `(B, H) -> (B, 1)`;
            used only by Pyro's own score-function objectives (NVIL), `None` for no baseline.
    """

    def __init__(self, generator: BiLSTM, baseline: nn.Module | None = None) -> None:
        super().__init__()
        self.generator = generator
        self.baseline = baseline

    def distribution(self, features: Tensor, lengths: Tensor) -> MaskDistribution:
        """q(z | x) from features `(B, T, H)`; each guide's own part."""
        raise NotImplementedError(f"{type(self).__name__} must define distribution()")

    def start_rate(self, rate: float) -> None:
        """Set the head's bias so that an untrained guide keeps about the share `rate` of the words."""
        raise NotImplementedError(f"{type(self).__name__} must define start_rate()")

    def posterior(self, batch: Batch) -> MaskDistribution:
        """The distribution over masks of a batch: batch shape `(B,)`, event shape `(T,)`. Samples nothing."""
        return self.distribution(self.generator(batch.tokens, batch.lengths), batch.lengths)

    def forward(self, batch: Batch) -> Tensor:
        """The Pyro program.

        Returns:
            The sampled mask, `(*s, B, T)`.
        """
        features = self.generator(batch.tokens, batch.lengths)
        law = self.distribution(features, batch.lengths)
        with pyro.plate("documents", len(batch), dim=-1):
            return pyro.sample("z", law, infer=cast(Any, self._baseline_hint(features, batch)))

    def _baseline_hint(self, features: Tensor, batch: Batch) -> dict[str, Any]:
        """Pyro's `infer` entry for a neural baseline (its type leaves that out), or nothing."""
        if self.baseline is None:
            return {}
        mask = batch.mask[..., None].to(features.dtype)
        pooled = ((features * mask).sum(1) / mask.sum(1)).detach()
        network = self.baseline

        def predict(inputs: Tensor) -> Tensor:
            """Of exactly the shape that Pyro gives the cost: `(B,)`, but `()` for a single document."""
            return network(inputs).squeeze()

        return {"baseline": {"nn_baseline": predict, "nn_baseline_input": pooled}}
