"""`nn.LSTM` on a GPU, replayed from a CUDA graph.

cuDNN computes an LSTM of 150 words by launching some 400 kernels, and its gradient by as many more, which takes a CPU
longer than the GPU needs for the work (`benchmarks/gpu_check.py`). The same calls, recorded, are launched at once.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pyro_rationale.nn.kernels import cuda_graph as replay

STRIDE = 16  # words are rounded up to multiples of it, and documents to multiples of 8, so that a few graphs serve all
TOLERANCE = 2e-3  # of the first results against nn.LSTM's, which may compute in tf32

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def run_lstm(lstm: nn.Module, inputs: Tensor) -> Tensor:
    """`lstm(inputs)[0]` of an `nn.LSTM` of one layer and direction, `(N, T, E)` -> `(N, T, H)`; states start at 0."""
    plain = type(inputs) is Tensor and inputs.is_cuda and inputs.dtype == torch.float32
    if not (replay.GRAPHS and plain) or torch.is_autocast_enabled("cuda") or not usable(inputs.device):
        states: Tensor = lstm(inputs)[0]
        return states
    return recorded_lstm(inputs, *(getattr(lstm, f"{name}_l0") for name in NAMES))


def recorded_lstm(inputs: Tensor, *weights: Tensor) -> Tensor:
    """The replayed pass of `run_lstm`; weights as `nn.LSTM` has them."""
    rows, length = inputs.shape[:2]
    more_rows, more_words = -rows % 8, -length % STRIDE  # behind what there is, where nothing looks at them
    if more_rows or more_words:
        inputs = F.pad(inputs, (0, 0, 0, more_words, 0, more_rows))
    states: Tensor = _Recorded.apply(inputs, *weights)
    return states[:rows, :length]


class _Recorded(torch.autograd.Function):
    """cuDNN's forward and backward calls, as two graphs."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, *weights: Tensor) -> Tensor:
        states, reserve, packed = replay.replayed(_run, inputs, *weights)
        ctx.save_for_backward(inputs, *weights, states, reserve, packed)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        return replay.replayed(_run_back, grad, *ctx.saved_tensors)


def _arguments(weight: Tensor) -> tuple[Any, ...]:
    """Arguments that cuDNN's two calls share: LSTM, its size, one layer, documents first, no dropout, one direction."""
    return 2, weight.shape[1], 0, 1, True, 0.0, True, False, [], None


def _run(inputs: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
    """States, and what the gradient will want: cuDNN's notes, and the weights as it lays them out."""
    start = inputs.new_zeros(1, len(inputs), weights[1].shape[1])
    made = torch.ops.aten._cudnn_rnn(inputs, list(weights), 4, None, start, start, *_arguments(weights[1]))
    states, _, _, reserve, packed = made
    return states, reserve, packed


def _run_back(grad: Tensor, inputs: Tensor, *saved: Tensor) -> tuple[Tensor, ...]:
    """Gradients of the inputs and of the four weights."""
    *weights, states, reserve, packed = saved
    start = inputs.new_zeros(1, len(inputs), weights[1].shape[1])
    d_inputs, _, _, d_weights = torch.ops.aten._cudnn_rnn_backward(
        inputs, weights, 4, packed, start, start, states, grad, None, None, *_arguments(weights[1]), reserve,
        [True, False, False, True],
    )
    return d_inputs, *d_weights


@lru_cache(maxsize=8)
def usable(device: torch.device) -> bool:
    """Whether these calls do here what `nn.LSTM` does; they are not part of what torch promises to keep."""
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
            lstm = nn.LSTM(6, 8, batch_first=True).to(device)
            inputs = torch.randn(5, 19, 6, device=device, requires_grad=True)
            requested = [inputs, *lstm.parameters()]
            results = []
            for states in (lstm(inputs)[0], recorded_lstm(inputs, *lstm.parameters())):
                gradients = torch.autograd.grad(states.square().mean(), requested)
                results.append([states.detach(), *gradients])
        if all(torch.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE) for a, b in zip(*results, strict=True)):
            return True
        problem = "they differ from nn.LSTM"
    except (RuntimeError, TypeError, AttributeError, ValueError, NotImplementedError) as error:
        problem = str(error).splitlines()[0]
    warnings.warn(f"LSTMs are not replayed from CUDA graphs, and slower: {problem}", stacklevel=2)
    return False
