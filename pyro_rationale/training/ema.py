"""A running average of the weights beside those that the optimiser moves (Polyak and Juditsky 1992).

Steps on a few masks of a few documents leave weights that tremble around where they would settle, the more so once
the training texts are known. Their average is scored, and is what a fit ends with.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


class RunningAverage:
    """An exponential moving average of parameters; a plain mean while it is young.

    Args:
        named: the parameters, by name.
        decay: share of the average that a step leaves as it is, 0 to 1; at 0 there is no average, and the
            parameters stand for it.
    """

    def __init__(self, named: Mapping[str, Tensor], decay: float) -> None:
        self.named, self.decay = named, decay
        self.steps = 0
        self.values: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self) -> None:
        """Let the parameters, as they are now, into the average."""
        if self.decay == 0.0:
            return
        if not self.values:
            self.values = {name: value.detach().clone() for name, value in self.named.items()}
        else:
            decay = min(self.decay, self.steps / (self.steps + 1))
            get_ema_multi_avg_fn(decay)(list(self.values.values()), [v.detach() for v in self.named.values()], None)
        self.steps += 1

    def reset(self) -> None:
        """Forget it."""
        self.steps, self.values = 0, {}

    @torch.no_grad()
    def swap(self) -> None:
        """Put the average, if there is one, in the parameters' place, and them in its own; twice is as if never."""
        for name, value in self.values.items():
            moving = self.named[name].detach().clone()
            self.named[name].copy_(value)
            value.copy_(moving)

    # For checkpoints.

    def state(self) -> dict[str, Tensor]:
        """The average as `average.NAME`; copies."""
        return {f"average.{name}": value.clone() for name, value in self.values.items()}

    def restore(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        """The inverse of `state`; other tensors may stand among them."""
        named = self.named if steps else {}
        self.values = {name: tensors[f"average.{name}"].to(value).clone() for name, value in named.items()}
        self.steps = steps
