"""`RelaxedMask`: the independent mask with samples that carry gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_rationale.distributions.independent import WeightedMask


class RelaxedMask(WeightedMask):
    """Independent Bernoullis whose *samples* are relaxed (Concrete: Maddison et al. 2017, Jang et al. 2017).

    Only what a sample looks like is relaxed. `mean`, `change`, `entropy`, `mode`, the KLs and `log_prob` are those
    of the discrete distribution; `log_prob` is the log pmf continued to relaxed masks, linear in each word. So a
    bound made of them is a bound on the discrete model, and the bias of the relaxation stays in the
    reconstruction's gradient.

    Args:
        logits: `(*batch, T)`.
        lengths: long, `(*batch,)`, or `None` if no document is padded.
        temperature: of the relaxation, > 0; lower is harder.
        straight_through: samples are 0/1, drawn exactly as the discrete mask is, and differentiate as if relaxed.
        validate_args: refuse logits that are not numbers, and values outside [0, 1].

    Raises:
        ValueError: a temperature that is not positive.
    """

    has_hard_rsample = True
    can_exclude = True

    def __init__(
        self,
        logits: Tensor,
        lengths: Tensor | None = None,
        temperature: float = 0.5,
        straight_through: bool = False,
        validate_args: bool | None = None,
    ) -> None:
        if not float(temperature) > 0.0:
            raise ValueError(f"expected a temperature above 0, got {temperature}")
        super().__init__(logits, lengths, validate_args)
        self.temperature = temperature
        self.straight_through = straight_through

    def excluding(self, excluded: Tensor) -> RelaxedMask:
        """The mask with logits lower by 30 on excluded words."""
        logits = self._without(excluded)
        return RelaxedMask(logits, self._lengths, self.temperature, self.straight_through, self._validate_args)

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Relaxed (or straight-through) masks, `(*sample_shape, *batch, T)`; exactly 0 on padding."""
        shape = torch.Size(sample_shape) + self._batch_shape + self._event_shape
        uniform = torch.rand(shape, dtype=self._logits.dtype, device=self._logits.device)
        # rand() may give 0, never 1. Minus infinity does no harm: the sample and its gradient are 0 there.
        score = self._logits + torch.logit(uniform)
        soft = torch.sigmoid(score / self.temperature)
        if self.straight_through:
            hard = (score > 0).to(soft.dtype)
            soft = hard + (soft - soft.detach())  # the bracket is exactly 0, but for its gradient
        return self._fill(soft)
