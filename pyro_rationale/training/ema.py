"""Exponential moving average (EMA) of the weights beside those that the optimiser moves (Polyak and Juditsky 1992).

Gradients from a few masks of a few documents leave weights that fluctuate around their limit, the more so once the
training texts are known. Their average is evaluated, and is what a fit ends with.

The averages stand beside the parameters and are swapped with them: `torch.optim.swa_utils.AveragedModel` would copy
model and guide, frozen word vectors and all, and only the copy would have the average.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


class RunningAverage:
    """EMA of parameters; a plain mean during the first steps.

    Args:
        named: the parameters, by name.
        decay: share of the average that an update keeps, 0 to 1; at 0 there is no average, and the parameters stand
            for it.
    """

    def __init__(self, named: Mapping[str, Tensor], decay: float) -> None:
        self.named, self.decay = named, decay
        self.steps = 0
        self.values: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self) -> None:
        """Add the current parameters to the average."""
        if self.decay == 0.0:
            return
        if not self.values:
            self.values = {name: value.detach().clone() for name, value in self.named.items()}
        else:
            decay = min(self.decay, self.steps / (self.steps + 1))
            get_ema_multi_avg_fn(decay)(list(self.values.values()), [v.detach() for v in self.named.values()], None)
        self.steps += 1

    def reset(self) -> None:
        """Drop the average."""
        self.steps, self.values = 0, {}

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the average, if there is one, with the parameters; a second swap undoes the first."""
        for name, value in self.values.items():
            moving = self.named[name].detach().clone()
            self.named[name].copy_(value)
            value.copy_(moving)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Context in which the parameters hold the average."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    # For checkpoints.

    def state(self) -> dict[str, Tensor]:
        """The average as `average.NAME`; copies."""
        return {f"average.{name}": value.clone() for name, value in self.values.items()}

    def restore(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        """Load the average from the tensors of :meth:`state`; others among them are ignored."""
        named = self.named if steps else {}
        self.values = {name: tensors[f"average.{name}"].to(value).clone() for name, value in named.items()}
        self.steps = steps
