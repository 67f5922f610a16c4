"""Rate and span of the prior as latent variables with hyperpriors, where the learned prior has one value for each.

    rate ~ Beta(a, b),  span ~ (1 + LogNormal(m, s)) / (1 - rate),  z_i ~ p(z | rate, span),  y_i ~ p(y | x_i, z_i)

Words kept at random, at this rate, stand in runs of 1 / (1 - rate); the LogNormal says by how much longer runs are. Any
pair that it draws is one that a chain has.
"""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import ChainPrior, TensorChainPrior
from pyro_rationale.models.likelihoods import Likelihood
from pyro_rationale.models.rationale import RationaleModel
from pyro_rationale.nn import Encoder


class LatentPriorModel(RationaleModel):
    """The generative program with the sites `rate` and `span`, both global, before `z` and `y`.

    It is for Pyro's own objectives, such as `TraceGraph_ELBO`, with a guide that has these sites as well; `MaskELBO`
    knows nothing of them. Sentences as units have no part in it.

    Args:
        encoder: reads the kept words.
        likelihood: turns its output into a distribution over targets.
        rate: a and b of the Beta distribution of the rate.
        longer: location and scale of the log of how much longer runs are than by chance, relatively.
        kappa: weight of the log likelihood; > 0.
        nonempty: give the empty mask no probability.
        documents: in all; a batch of fewer weighs as much as all of them. Default: those of the batch.
    """

    def __init__(
        self,
        encoder: Encoder,
        likelihood: Likelihood,
        rate: tuple[float, float] = (2.0, 10.0),
        longer: tuple[float, float] = (0.0, 1.0),
        kappa: float = 1.0,
        nonempty: bool = False,
        documents: int | None = None,
    ) -> None:
        mean = rate[0] / (rate[0] + rate[1])
        super().__init__(encoder, likelihood, ChainPrior.from_rate_span(mean, 2.0 / (1.0 - mean)), kappa)
        self.nonempty, self.documents = nonempty, documents
        self.hyperprior = (rate, longer)

    def forward(self, batch: Batch) -> Tensor:
        """The program; targets as for :class:`~pyro_rationale.models.rationale.RationaleModel`."""
        dtype, lengths = self.encoder.dtype, batch.lengths
        of_rate, of_longer = (lengths.new_tensor(pair, dtype=dtype) for pair in self.hyperprior)
        rate = pyro.sample("rate", dist.Beta(*of_rate))
        span = pyro.sample("span", longer_runs(rate, *of_longer))
        prior = TensorChainPrior.from_rate_span(rate, span, self.nonempty)
        with pyro.plate("documents", len(batch), dim=-1), self._all_documents(len(batch)):
            z = pyro.sample("z", prior.distribution(lengths, batch.tokens.shape[1], dtype, batch.excluded))
            return self._read_kept(batch, z)

    def _all_documents(self, here: int) -> pyro.poutine.scale_messenger.ScaleMessenger:
        return pyro.poutine.scale(scale=1.0 if self.documents is None else self.documents / here)


def longer_runs(rate: Tensor, location: Tensor, scale: Tensor) -> dist.TorchDistribution:
    """Spans of runs longer than by chance: (1 + x) / (1 - rate) with log x ~ Normal(location, scale)."""
    chance = 1.0 / (1.0 - rate)
    return dist.TransformedDistribution(
        dist.LogNormal(location, scale).expand(rate.shape), [dist.transforms.AffineTransform(chance, chance)]
    )
