"""Loops of many small kernels, recorded once as a CUDA graph and then replayed.

A recurrence over a text's words launches a few kernels per word, each of which takes a GPU less time than a CPU needs
to launch it. A graph launches them all at once.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

GRAPHS = True  # off: every kernel is launched from here
LARGEST = 128 * 2**20  # bytes of the largest argument; with more to compute, launching is not what takes the time
SHARE = 0.2  # of the device's memory, for what graphs read and write

Outputs = tuple[Tensor, ...]


@dataclass
class Recording:
    """A graph, and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    outputs: Outputs

    @property
    def nbytes(self) -> int:
        """Size of inputs and outputs."""
        return sum(value.nbytes for value in (*self.inputs, *self.outputs))


_seen: set[Any] = set()
_refused: set[Any] = set()
_recordings: OrderedDict[Any, Recording] = OrderedDict()
_pool: list[Any] = []  # of memory, one for all: results are copied before another graph runs


def replayed(function: Callable[..., Outputs], *inputs: Tensor) -> Outputs:
    """`function(*inputs)`, from a graph if it was called with such inputs before, on a GPU.

    Args:
        function: computes tensors from tensors, with no choice that depends on their values and no random numbers; one
            object for all calls.
        inputs: all that it reads, without gradients.
    """
    if not (GRAPHS and inputs[0].is_cuda) or function in _refused or torch.is_inference_mode_enabled():
        return function(*inputs)
    if max(value.nbytes for value in inputs) > LARGEST:
        return function(*inputs)
    key = function, tuple((value.shape, value.stride(), value.dtype, value.device) for value in inputs)
    if key not in _seen:  # lengths that come once are not worth recording; and libraries want one run before
        if len(_seen) > 4096:
            _seen.clear()
        _seen.add(key)
        return function(*inputs)
    recording = _recordings.get(key)
    if recording is None:
        recording = _record(function, inputs)
        if recording is None:
            return function(*inputs)
        _recordings[key] = recording
        room = SHARE * torch.cuda.get_device_properties(inputs[0].device).total_memory
        while len(_recordings) > 1 and sum(known.nbytes for known in _recordings.values()) > room:
            _recordings.popitem(last=False)  # the one that was not used for longest
    _recordings.move_to_end(key)
    for own, value in zip(recording.inputs, inputs, strict=True):
        own.copy_(value)
    recording.graph.replay()
    return tuple(value.clone() for value in recording.outputs)


def _record(function: Callable[..., Outputs], inputs: tuple[Tensor, ...]) -> Recording | None:
    """Capture the graph; if that cannot be done with this function, say so once and give it up."""
    own = tuple(value.clone() for value in inputs)  # keeps the strides
    graph = torch.cuda.CUDAGraph()
    if not _pool:
        _pool.append(torch.cuda.graph_pool_handle())
    try:
        with torch.cuda.graph(graph, pool=_pool[0], capture_error_mode="thread_local"):
            outputs = function(*own)
    except RuntimeError as problem:
        _refused.add(function)
        reason = str(problem).splitlines()[0]
        warnings.warn(f"no CUDA graphs of {function.__module__}, which will be slower: {reason}", stacklevel=2)
        return None
    return Recording(graph, own, outputs)
