"""The generative program: a mask from the Markov-chain prior, a target from the words it keeps.

z ~ p(z) = exp(-alpha sum z_t - gamma sum |z_t - z_{t-1}|) / Z, and y ~ p(y | x, z)^kappa, the power posterior of
docs/mathematics.md.
"""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import ChainPrior, Prior, UnitMask
from pyro_rationale.models.program import Program
from pyro_rationale.nn import Encoder
from pyro_rationale.tasks import Likelihood


class RationaleModel(Program):
    """p(z) p(y | x, z)^kappa as a Pyro program: `model(batch)` has the sites `z` (event_dim 1) and `y`.

    Args:
        encoder: reads the kept words.
        likelihood: turns its output into a distribution over targets.
        prior: the Markov chain on masks.
        kappa: weight of the log likelihood; > 0.
    """

    kappa: Tensor
    prior_fields: Tensor

    def __init__(self, encoder: Encoder, likelihood: Likelihood, prior: ChainPrior, kappa: float = 1.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.likelihood = likelihood
        self.register_buffer("kappa", torch.tensor(float(kappa), dtype=torch.float64))
        self.register_buffer("prior_fields", torch.tensor([prior.alpha, prior.gamma], dtype=torch.float64))
        self.nonempty = prior.nonempty
        self._read: dict[str, tuple[Tensor, int, list[float]]] = {}

    def _numbers(self, name: str) -> list[float]:
        """A buffer's values; they are fetched from the device only if it has changed since."""
        buffer: Tensor = getattr(self, name)
        if buffer.is_inference():
            return buffer.reshape(-1).tolist()
        known = self._read.get(name)
        if known is None or known[0] is not buffer or known[1] != buffer._version:
            known = self._read[name] = (buffer, buffer._version, buffer.reshape(-1).tolist())
        return known[2]

    @property
    def prior(self) -> ChainPrior:
        """The prior in force; training moves its field to hold the rate of kept words.

        It is state and no argument of the program, for guides take the same arguments, checkpoints keep it, and it is
        read long after the step. The trainer sets it between the guide's pass and the model's, in a hook on the
        model, since the field of a step follows from the step before, which may still be under way on a GPU.
        """
        alpha, gamma = self._numbers("prior_fields")
        return ChainPrior(alpha, gamma, self.nonempty)

    @prior.setter
    def prior(self, prior: ChainPrior) -> None:
        fields = self.prior_fields
        for field, value in zip(fields, (prior.alpha, prior.gamma), strict=True):
            field.fill_(value)  # unlike a copy from the CPU, this does not wait for the device
        if not fields.is_inference():
            self._read["prior_fields"] = (fields, fields._version, [prior.alpha, prior.gamma])

    def mask_prior(self, batch: Batch, dtype: torch.dtype = torch.float32) -> Prior:
        """p(z) of a batch under the prior in force, batch shape `(B,)`, event shape `(T,)`."""
        units, starts = batch.units, batch.unit_starts
        if units is None or starts is None:
            return self.prior.distribution(batch.lengths, batch.tokens.shape[1], dtype, batch.excluded)
        choices = self.prior.distribution(batch.unit_lengths, starts.shape[1], dtype)
        return UnitMask(choices, units, starts, batch.lengths)

    @property
    def gain(self) -> float:
        """Nats per unit of the paper's cost: kappa / (2 sigma^2) for ratings, kappa for classes."""
        return self.likelihood.gain(self._numbers("kappa")[0])

    def predictive(self, batch: Batch, z: Tensor) -> dist.TorchDistribution:
        """p(y | x, z) for masks `z` of shape `(*s, B, T)`, in scaled units, not raised to kappa."""
        return self.likelihood(self.encoder(batch.tokens, z, batch.lengths))

    def components(self, batch: Batch, z: Tensor) -> list[dist.TorchDistribution]:
        """The equally probable parts of :meth:`predictive`: one, or several where the model is an ensemble."""
        return [self.predictive(batch, z)]

    def forward(self, batch: Batch) -> Tensor:
        """The program. Targets that are `None` are sampled; NaN targets (unrated aspects) are masked out.

        Returns:
            `y`, observed or sampled.
        """
        with pyro.plate("documents", len(batch), dim=-1):
            z = pyro.sample("z", self.mask_prior(batch, self.encoder.dtype))
            outputs = self.encoder(batch.tokens, z, batch.lengths)
            if batch.targets is None:
                return pyro.sample("y", self.likelihood(outputs))
            likelihood, targets = self.likelihood.observe(outputs, batch.targets)
            with poutine.scale(scale=self._numbers("kappa")[0]):
                return pyro.sample("y", likelihood, obs=targets)
