"""Networks in bfloat16, everything else in float32.

Inside `reduced(torch.bfloat16)` embeddings, LSTMs and convolutions run under torch's autocast, and hand back float32.
Heads, pooling and outputs, distributions, KL and losses are computed from there on as always: logits of a mask have to
tell 0.01 from 0.0101, which bfloat16 cannot. Weights and their gradients are float32 throughout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

import torch
from torch import Tensor, nn

from pyro_rationale.errors import ConfigError

_dtype: ContextVar[torch.dtype | None] = ContextVar("_dtype", default=None)


@contextmanager
def reduced(dtype: torch.dtype | None) -> Iterator[None]:
    """Networks called inside compute in `dtype`; `None`: as they are."""
    token = _dtype.set(dtype)
    try:
        yield
    finally:
        _dtype.reset(token)


def is_reduced() -> bool:
    """Whether networks compute in another type than their weights' here."""
    return _dtype.get() is not None


def arithmetic(where: Tensor) -> torch.autocast:
    """For the body of a network, on the device of `where`."""
    dtype = _dtype.get()
    return torch.autocast(where.device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def plain(where: Tensor) -> torch.autocast:
    """For the parts inside that are not to be reduced."""
    return torch.autocast(where.device.type, enabled=False)


def check_bfloat16(device: torch.device) -> None:
    """Refuse bfloat16 on a device whose LSTMs cannot compute in it; CPUs need AVX-512 for that, or the like.

    Raises:
        ConfigError: a small LSTM fails there.
    """
    problem = bfloat16_problem(device.type)
    if problem is not None:
        raise ConfigError(f"--precision bf16: not on this {device.type} ({problem}); use --precision float32")


@lru_cache(maxsize=4)
def bfloat16_problem(device: str) -> str | None:
    """Error message of an LSTM's forward and backward pass in bfloat16 on a type of device, `None` if they run."""
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            lstm = nn.LSTM(4, 4, batch_first=True).to(device)
            with torch.autocast(device, torch.bfloat16):
                states = lstm(torch.zeros(2, 3, 4, device=device))[0]
            states.float().sum().backward()
    except RuntimeError as problem:
        return str(problem).split(". ")[0].splitlines()[0]
    return None
