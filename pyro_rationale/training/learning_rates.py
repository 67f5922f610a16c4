"""Learning rates of the parts of a model: new networks, the layers of a pretrained one, and the encoder by its share.

Encoders that learn as fast as generators settle on whatever few words they are given, and the guide has no reason to
look for others. Liu et al. (2023, "Decoupled Rationalization with Asymmetric Learning Rates", equation 12) let the
encoder learn at the generator's rate times the share of words that are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Adam, AdamW, Optimizer

ENCODER = "model.encoder."  # names of the encoder's parameters begin with it
SLOWEST = 0.05  # smallest share by which the encoder's rate is multiplied
LAYER_DECAY = 0.9  # a layer of a transformer learns at so much of the rate of the one above
WEIGHT_DECAY = 0.01  # of matrices of a transformer, not of its biases and norms
WARMUP = 0.06  # share of all steps over which the rates of a transformer rise


class LearningRates:
    """Groups of parameters, and the rate of each at a step.

    Args:
        named: the parameters by name.
        rate: learning rate of new networks.
        body_rate: that of the last layer of a pretrained transformer.
        encoder_factor: of the encoder's rates; `None` for the running share of kept words.
        steps: of the whole fit.

    Attributes:
        named: the parameters in the order of the groups, which is that of the optimiser's state.
    """

    def __init__(
        self, named: Mapping[str, nn.Parameter], rate: float, body_rate: float, encoder_factor: float | None, steps: int
    ) -> None:
        self.rate, self.encoder_factor = rate, encoder_factor
        self.warmup = max(1.0, WARMUP * steps)
        self._groups: dict[tuple[float, bool, bool, float], list[str]] = {}
        for name, parameter in named.items():
            layer = getattr(parameter, "pretrained_layer", None)
            pretrained = layer is not None
            factor = body_rate / rate * LAYER_DECAY**layer if layer is not None else 1.0
            decay = WEIGHT_DECAY if pretrained and parameter.dim() > 1 else 0.0
            encoder = name.startswith(ENCODER) and encoder_factor != 1.0
            self._groups.setdefault((factor, pretrained, encoder, decay), []).append(name)
        self.named = {name: named[name] for names in self._groups.values() for name in names}

    def make_optimizer(self, **options: Any) -> Optimizer:
        """Adam on the groups, with decoupled weight decay where a group has one."""
        groups = [
            {"params": [self.named[name] for name in names], "weight_decay": decay}
            for (_, _, _, decay), names in self._groups.items()
        ]
        decayed = any(decay for _, _, _, decay in self._groups)
        if not decayed:
            return Adam(groups, lr=self.rate, **options)
        return AdamW(groups, lr=self.rate, weight_decay=0.0, **options)

    def set(self, optimizer: Optimizer, rate: float, step: int, kept: float) -> None:
        """Set the rates of a step.

        Args:
            optimizer: made by `make_optimizer`.
            rate: that of new networks at this step.
            step: number of the step, from 0.
            kept: running share of kept words.
        """
        share = max(SLOWEST, kept) if self.encoder_factor is None else self.encoder_factor
        rise = min(1.0, (step + 1) / self.warmup)
        for group, (factor, pretrained, encoder, _) in zip(optimizer.param_groups, self._groups, strict=True):
            own = factor * (rise if pretrained else 1.0) * (share if encoder else 1.0)
            group["lr"] = rate * own
