"""Dropout whose random bits are cheap."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 256  # of a random byte
_LOWEST = torch.iinfo(torch.int64).min


def byte_dropout(values: Tensor, share: float, training: bool) -> Tensor:
    """Dropout of a share that is rounded to 1/256, on a CPU.

    Torch draws a random number for each value on a CPU, which takes longer than a linear map of 384 numbers to 100;
    eight values share one here. Elsewhere, and for shares below 1/512, this is torch's dropout.
    """
    dropped = round(share * LEVELS)
    if not training or share == 0.0:
        return values
    if values.device.type != "cpu" or not 0 < dropped < LEVELS:
        return F.dropout(values, share)
    count = values.numel()
    words = torch.empty(-(-count // 8), dtype=torch.int64, device=values.device).random_(_LOWEST, None)
    keep = words.view(torch.uint8)[:count].view(values.shape) >= dropped
    return (values * keep) * (LEVELS / (LEVELS - dropped))
