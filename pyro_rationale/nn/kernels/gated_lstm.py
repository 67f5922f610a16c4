"""An LSTM whose state moves only as far as each word's weight, with its backward pass written out.

Recording every small operation of such a loop costs several times the operations themselves on a CPU; the
hand-written gradient needs a fifth of the time. On a GPU, where launching the operations is what costs, both loops
are replayed from graphs. Tests hold it against autograd and against `nn.LSTM`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import handle_torch_function, has_torch_function

from pyro_rationale.nn.kernels.cuda_graph import replayed

BLOCK = 2**16  # numbers of each kind that a CPU computes at once: half a dozen kinds of them stay in its cache
STRIDE = 16  # lengths are rounded up to multiples of it on a GPU, so that a few graphs serve all

_weights_alone = ContextVar("_weights_alone", default=False)


@contextmanager
def mask_gradient_only() -> Iterator[None]:
    """Inside, `gated_lstm` passes no gradient on but that of its `weights`: a third of the backward pass less."""
    token = _weights_alone.set(True)
    try:
        yield
    finally:
        _weights_alone.reset(token)


def gated_lstm(projected: Tensor, recurrent: Tensor, weights: Tensor) -> Tensor:
    """h_t = h_{t-1} + w_t (lstm(x_t, h_{t-1}, c_{t-1}) - h_{t-1}), and c_t likewise.

    Args:
        projected: W x_t + b for the four gates (input, forget, candidate, output), `(N, L, 4 H)`.
        recurrent: U, `(4 H, H)`, as `nn.LSTM` stores it.
        weights: `(N, L)`, in [0, 1].

    Returns:
        The states h, `(N, L, H)`.
    """
    arguments = (projected, recurrent, weights)
    if has_torch_function(arguments):
        # Tensors that watch what is done to them, as those in which Pyro tracks provenance, are to see one operation:
        # inside of an autograd.Function they would hide its output from autograd, and nothing would be learnt.
        watched: Tensor = handle_torch_function(gated_lstm, arguments, *arguments)
        return watched
    if _weights_alone.get():
        projected, recurrent = projected.detach(), recurrent.detach()
        arguments = (projected, recurrent, weights)
    length = weights.shape[-1]
    if weights.is_cuda and length % STRIDE:  # words of no weight change nothing
        more = STRIDE - length % STRIDE
        arguments = (F.pad(projected, (0, 0, 0, more)), recurrent, F.pad(weights, (0, more)))
    states: Tensor = GatedLSTM.apply(*arguments)
    return states[:, :length]


class GatedLSTM(torch.autograd.Function):
    """`gated_lstm` and its gradient."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, recurrent: Tensor, weights: Tensor) -> Tensor:
        """Run the recurrence."""
        steps = weights.t().unsqueeze(-1).contiguous()  # (L, N, 1)
        gates, hidden, cell, fresh, squashed = replayed(_run, projected, recurrent, steps)
        ctx.save_for_backward(gates, hidden, cell, fresh, squashed, steps, recurrent)
        return hidden[1:].transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Back through time."""
        gates, hidden, cell, fresh, squashed, steps, recurrent = ctx.saved_tensors
        needed = ctx.needs_input_grad
        run = _run_back if needed[0] or needed[1] else _run_back_to_states
        d_gates, d_hiddens, d_cells = replayed(run, grad, gates, cell, fresh, squashed, steps, recurrent)
        width = recurrent.shape[1]
        d_recurrent = d_gates.reshape(-1, 4 * width).t() @ hidden[:-1].reshape(-1, width) if needed[1] else None
        d_weights = None
        if needed[2]:
            parts = []
            for words in _blocks(fresh):
                out = gates[words, :, 3 * width :]
                by_hidden = d_hiddens[words] * (out * squashed[words] - hidden[words])
                parts.append((by_hidden + d_cells[words] * (fresh[words] - cell[words])).sum(-1))
            d_weights = torch.cat(parts).t()
        return d_gates.transpose(0, 1) if needed[0] else None, d_recurrent, d_weights


def _run(projected: Tensor, recurrent: Tensor, steps: Tensor) -> tuple[Tensor, ...]:
    """Activations of the gates `(L, N, 4 H)`, states h and c `(L + 1, N, H)`, c before it is weighed, and its tanh."""
    n, length, four = projected.shape
    width = four // 4
    # (L, N, 4H), overwritten by the activations; contiguous() would hand back the input itself where N or L is 1.
    gates = projected.transpose(0, 1).clone(memory_format=torch.contiguous_format)
    hidden = gates.new_empty(length + 1, n, width)
    cell = gates.new_empty(length + 1, n, width)
    hidden[0] = cell[0] = 0.0
    fresh = gates.new_empty(length, n, width)  # the cell before it is weighed
    squashed = gates.new_empty(length, n, width)
    transposed = recurrent.t()
    for t in range(length):
        now = gates[t].addmm_(hidden[t], transposed)
        now[:, : 2 * width].sigmoid_()
        now[:, 2 * width : 3 * width].tanh_()
        now[:, 3 * width :].sigmoid_()
        enter, forget, candidate, out = now.split(width, dim=-1)
        torch.mul(forget, cell[t], out=fresh[t]).addcmul_(enter, candidate)
        torch.tanh(fresh[t], out=squashed[t])
        torch.lerp(hidden[t], out * squashed[t], steps[t], out=hidden[t + 1])
        torch.lerp(cell[t], fresh[t], steps[t], out=cell[t + 1])
    return gates, hidden, cell, fresh, squashed


def _run_back(grad: Tensor, gates: Tensor, *saved: Tensor) -> tuple[Tensor, ...]:
    """Gradients of what the gates are made from, and of the states h and c after each word, `(L, N, ...)` each."""
    return _run_back_over(torch.empty_like(gates), grad, gates, *saved)


def _run_back_to_states(grad: Tensor, gates: Tensor, *saved: Tensor) -> tuple[Tensor, ...]:
    """The results of `_run_back`, but that the first is `(1, N, 4 H)` and of no use."""
    return _run_back_over(torch.empty_like(gates[:1]), grad, gates, *saved)


def _run_back_over(
    d_gates: Tensor,
    grad: Tensor,
    gates: Tensor,
    cell: Tensor,
    fresh: Tensor,
    squashed: Tensor,
    steps: Tensor,
    recurrent: Tensor,
) -> tuple[Tensor, ...]:
    """The results of `_run_back` in the memory of the first, which may have room for one word only."""
    n, width = fresh.shape[1:]
    d_hiddens = grad.transpose(0, 1).clone(memory_format=torch.contiguous_format)  # autograd's own must stay as it is
    d_cells = torch.empty_like(fresh)
    d_cells[-1] = 0.0
    keep = 1 - steps
    for words in reversed(_blocks(fresh)):
        # All that does not depend on what comes back from the next word, in one go; the loop keeps to the rest.
        enter, forget, candidate, out = gates[words].split(width, dim=-1)
        tanh = squashed[words]
        to_gates = torch.empty(*tanh.shape[:2], 3, width, dtype=gates.dtype, device=gates.device)
        torch.mul(candidate * enter, 1 - enter, out=to_gates[:, :, 0])
        torch.mul(cell[words] * forget, 1 - forget, out=to_gates[:, :, 1])
        torch.mul(enter, 1 - candidate.square(), out=to_gates[:, :, 2])
        to_out = tanh * out * (1 - out)
        to_fresh = out * (1 - tanh.square())
        for i in reversed(range(len(tanh))):
            t = words.start + i
            d_hidden, d_cell = d_hiddens[t], d_cells[t]
            d_state = d_hidden * steps[t]
            d_fresh = (d_cell * steps[t]).addcmul_(d_state, to_fresh[i])
            d_gate = d_gates[t % len(d_gates)]
            by_gate = d_gate.view(n, 4, width)
            torch.mul(to_gates[i], d_fresh.unsqueeze(1), out=by_gate[:, :3])
            torch.mul(d_state, to_out[i], out=by_gate[:, 3])
            if t:
                d_hiddens[t - 1].addmm_(d_gate, recurrent).addcmul_(d_hidden, keep[t])
                torch.mul(d_cell, keep[t], out=d_cells[t - 1]).addcmul_(d_fresh, forget[i])
    return d_gates, d_hiddens, d_cells


def _blocks(values: Tensor) -> list[slice]:
    """Words whose numbers `(L, N, H)` a CPU's cache holds several times over; a GPU takes all words together."""
    length, n, width = values.shape
    block = length if values.is_cuda else max(1, BLOCK // max(1, n * width))
    return [slice(start, min(start + block, length)) for start in range(0, length, block)]
