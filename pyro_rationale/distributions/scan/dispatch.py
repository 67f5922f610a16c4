"""Choice of the algorithm for a recurrence, by device, size and measured time.

`serial` is a loop over words; `log-depth` composes maps in 2 log2 T steps, three times the arithmetic; `kernel` is
one launch of a Triton kernel, for CUDA. They agree to rounding.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from pyro_rationale.distributions.scan import reference as recurrences

METHODS = ("serial", "log-depth", "kernel")
# On one core of a CPU, crossings of the two curves for float32 (benchmarks/chain.py, docs/research/performance.md): log
# depth takes a third of the loop's time at 64 chains of 150 words, a tenth at one of 500.
SHORT = 24  # words below which the loop is the faster
WIDE = 512  # chains from which it is again, for messages: its operations are large then, and it needs a third of them

KERNEL_TYPES = (torch.float32, torch.float64, torch.int8)

_forced: str | None = None


def choose(result: Tensor, linear: bool = False) -> str:
    """One of `METHODS` for a result `(*b, T)`, of messages or of a linear recurrence."""
    if _forced is not None:
        return _forced
    if result.device.type == "cuda" and result.dtype in KERNEL_TYPES and kernel_works():
        return "kernel"
    size = result.shape[-1]
    wide = result.numel() >= WIDE * size and not linear
    return "serial" if result.device.type == "cpu" and (size < SHORT or wide) else "log-depth"


@contextmanager
def using(method: str) -> Iterator[None]:
    """One method for everything inside, for tests and benchmarks.

    A plain global, not a context variable: on a GPU the backward pass runs in a thread of its own.
    """
    global _forced
    if method not in METHODS:
        raise ValueError(f"expected one of {', '.join(METHODS)}, got {method!r}")
    before, _forced = _forced, method
    try:
        yield
    finally:
        _forced = before


def messages(fields: Tensor, coupling: Tensor, hard: bool = False) -> Tensor:
    """Messages of :func:`~pyro_rationale.distributions.scan.reference.messages_serial` by the method of choice."""
    method = choose(fields)
    if method == "kernel":
        return _imported().messages_kernel(fields, coupling, hard)
    run = recurrences.messages_serial if method == "serial" else recurrences.messages_log_depth
    return run(fields, coupling, hard)


def linear(gain: Tensor, offset: Tensor, reverse: bool = False) -> Tensor:
    """Values of :func:`~pyro_rationale.distributions.scan.reference.linear_serial` by the method of choice."""
    method = choose(offset, linear=True)
    if method == "kernel":
        return _imported().linear_kernel(gain, offset, reverse)
    run = recurrences.linear_serial if method == "serial" else recurrences.linear_log_depth
    return run(gain, offset, reverse)


def _imported() -> ModuleType:
    from pyro_rationale.distributions.scan import triton_scan as kernels

    return kernels


@cache
def kernel_works() -> bool:
    """Whether the Triton kernels compile here and give, on a small problem, what the loop gives.

    Tried once, when a chain first stands on a GPU; takes about a second. Warns where triton is installed and fails.
    """
    fields, coupling = torch.linspace(-3.0, 3.0, 66).reshape(6, 11), torch.linspace(-2.0, 2.0, 60).reshape(6, 10)
    if not _imported().AVAILABLE:
        return False
    try:
        result = _imported().messages_kernel(fields.cuda(), coupling.cuda()).cpu()
    except Exception as problem:  # whatever a compiler or a driver may raise
        warnings.warn(f"chains run without their Triton kernel: {problem}", RuntimeWarning, stacklevel=2)
        return False
    return torch.allclose(result, recurrences.messages_serial(fields, coupling), atol=1e-5)
