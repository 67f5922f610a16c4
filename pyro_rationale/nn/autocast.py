"""Networks in bfloat16, everything else in float32.

Inside `reduced(torch.bfloat16)` embeddings, LSTMs and convolutions run under torch's autocast, and hand back float32.
Heads, pooling and outputs, distributions, KL and losses are computed from there on as always: logits of a mask have to
tell .01 from .0101, which bfloat16 cannot. Weights and their gradients are float32 throughout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_dtype: ContextVar[torch.dtype | None] = ContextVar("_dtype", default=None)


@contextmanager
def reduced(dtype: torch.dtype | None) -> Iterator[None]:
    """Networks called inside compute in `dtype`; `None`: as they are."""
    token = _dtype.set(dtype)
    try:
        yield
    finally:
        _dtype.reset(token)


def arithmetic(where: Tensor) -> torch.autocast:
    """For the body of a network, on the device of `where`."""
    dtype = _dtype.get()
    return torch.autocast(where.device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def plain(where: Tensor) -> torch.autocast:
    """For the parts inside that are not to be reduced."""
    return torch.autocast(where.device.type, enabled=False)
