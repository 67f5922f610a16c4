"""Neural baseline of a score function: a prediction of its learning signal from the text alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DECAY = 0.9  # of the running statistics, per step
FLOOR = 1e-2  # nats; below it the signal is as good as constant and there is nothing to standardise


class StandardisedBaseline(nn.Module):
    """baseline(x) = mean + sd * network(x), with running mean and standard deviation of the learning signal.

    NVIL (Mnih and Gregor 2014, section 2.3) takes the mean off the learning signal and divides it by the standard
    deviation. Divided like that, the score function's part of a gradient would no longer fit the part that is known
    exactly, and their sum would be the gradient of nothing. So the same statistics put the *network* on the scale of
    the signal instead: it always learns targets of mean 0 and variance 1, whatever the signal has become, and the
    signal stays as it is. The statistics are buffers, so that checkpoints and device moves take them along.

    Args:
        inputs: size of the pooled features.
        hidden: of the network.
    """

    mean: Tensor
    variance: Tensor
    seen: Tensor

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        last = nn.Linear(hidden, 1)
        nn.init.zeros_(last.weight)  # it starts as the running mean
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), last)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    @property
    def sd(self) -> Tensor:
        """Standard deviation of the learning signal, never below a floor."""
        return self.variance.sqrt().clamp_min(FLOOR)

    def forward(self, pooled: Tensor) -> Tensor:
        """Pooled features `(B, H)` -> the expected signal `(B, 1)`, in nats."""
        return self.mean.clone() + self.sd * self.network(pooled)

    @torch.no_grad()
    def observe(self, signal: Tensor) -> None:
        """Update the running statistics with the signals of one step, of any shape."""
        signal = signal.to(self.mean.dtype)
        self.seen += 1
        weight = max(1.0 - DECAY, 1.0 / int(self.seen))  # plain averages until there is something to forget
        shift = signal.mean() - self.mean
        spread = signal.var(correction=0)
        self.variance.lerp_(spread, weight).add_(weight * (1.0 - weight) * shift.square())
        self.mean.add_(weight * shift)

    def loss(self, pooled: Tensor, signal: Tensor) -> Tensor:
        """Half the squared error of the network in standard deviations, summed; signals `(*s, B)`."""
        target = (signal.detach() - self.mean) / self.sd
        return 0.5 * (self.network(pooled).squeeze(-1) - target).square().sum()
