"""The recurrences as Triton kernels for CUDA: one launch, one thread per chain, its state in a register.

A step of a chain is a handful of operations, and on a GPU a launch costs more than all of them; so the words are
walked through inside one kernel. Triton comes with torch's builds for CUDA, and without it `AVAILABLE` is False;
only `dispatch` imports this module, and only when a chain stands on a GPU. On a CPU the kernels run in Triton's
interpreter: `pip install triton`, then `TRITON_INTERPRET=1 python -m pytest tests/distributions/test_scan.py`
(minutes).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHAINS = 32  # per program: a warp, so that few chains still spread over many processors

try:
    import triton
    import triton.language as tl
except ImportError:
    AVAILABLE = False
else:
    AVAILABLE = True

    @triton.jit(do_not_specialize=["chains", "size"])  # one compilation for all shapes
    def _messages(fields, coupling, logits, chains, size, HARD: tl.constexpr, CHAINS: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        row = (tl.program_id(0) * CHAINS + tl.arange(0, CHAINS)).to(tl.int64)
        live = row < chains
        word = row * size + size - 1
        pair = row * (size - 1) + size - 2
        logit = tl.load(fields + word, mask=live, other=0.0)
        tl.store(logits + word, logit, mask=live)
        # What the next step needs is read one step early, so that the chain does not wait for memory.
        field = tl.load(fields + word - 1, mask=live, other=0.0)
        joint = tl.load(coupling + pair, mask=live, other=0.0)
        for t in range(1, size):
            ahead = tl.minimum(t + 1, size - 1)
            next_field = tl.load(fields + word - ahead, mask=live, other=0.0)
            next_joint = tl.load(coupling + pair - (ahead - 1), mask=live, other=0.0)
            plus, minus = logit + joint, logit - joint
            gain = tl.maximum(plus, 0.0) - tl.maximum(minus, 0.0)
            if not HARD:
                gain += tl.log(1.0 + tl.exp(-tl.abs(plus))) - tl.log(1.0 + tl.exp(-tl.abs(minus)))
            logit = (field - joint) + gain
            tl.store(logits + word - t, logit, mask=live)
            field, joint = next_field, next_joint

    @triton.jit(do_not_specialize=["chains", "size"])
    def _linear(offsets, gains, values, chains, size, REVERSE: tl.constexpr, CHAINS: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        row = (tl.program_id(0) * CHAINS + tl.arange(0, CHAINS)).to(tl.int64)
        live = row < chains
        step = -1 if REVERSE else 1
        word = row * size + (size - 1 if REVERSE else 0)
        value = tl.load(offsets + word, mask=live, other=0)
        tl.store(values + word, value, mask=live)
        gain = tl.load(gains + word + step, mask=live, other=0)
        offset = tl.load(offsets + word + step, mask=live, other=0)
        for t in range(1, size):
            ahead = tl.minimum(t + 1, size - 1)
            next_gain = tl.load(gains + word + step * ahead, mask=live, other=0)
            next_offset = tl.load(offsets + word + step * ahead, mask=live, other=0)
            value = gain * value + offset
            tl.store(values + word + step * t, value, mask=live)
            gain, offset = next_gain, next_offset


def messages_kernel(fields: Tensor, coupling: Tensor, hard: bool = False) -> Tensor:
    """Messages of :func:`~pyro_rationale.distributions.scan.reference.messages_serial`; float32 or float64."""
    return _launch(_messages, fields, coupling, HARD=hard)


def linear_kernel(gain: Tensor, offset: Tensor, reverse: bool = False) -> Tensor:
    """Values of :func:`~pyro_rationale.distributions.scan.reference.linear_serial`; float32, float64 or int8."""
    return _launch(_linear, offset, gain, REVERSE=reverse)


def _launch(kernel: Any, starts: Tensor, links: Tensor, **constants: bool) -> Tensor:
    """`starts` holds each chain's first value and has the shape of the result."""
    starts, links = starts.contiguous(), links.contiguous()
    size = starts.shape[-1]
    if size == 1 or starts.numel() == 0:
        return starts.clone()
    result = torch.empty_like(starts)
    chains = starts.numel() // size
    with torch.cuda.device_of(starts):  # which does nothing for a tensor on the CPU
        kernel[(triton.cdiv(chains, CHAINS),)](
            starts, links, result, chains, size, **constants, CHAINS=CHAINS, num_warps=1
        )
    return result
