"""Asynchronous result of a training step, and the state needed to roll it back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.fitted import FittedModel
from pyro_rationale.training.checkpoint import random_states, set_random_states
from pyro_rationale.training.history import StepRecord


@dataclass(frozen=True)
class StateSnapshot:
    """State that a step changes before its loss is known.

    Attributes:
        random: random states.
        running: buffers of the guide (running statistics of a baseline), each with a copy.
        device: device of the random states.
    """

    random: dict[str, Tensor]
    running: list[tuple[Tensor, Tensor]]
    device: torch.device

    @classmethod
    def take(cls, fitted: FittedModel) -> StateSnapshot:
        """Snapshot the current state."""
        running = [(buffer, buffer.clone()) for buffer in fitted.guide.buffers()]
        return cls(random_states(fitted.device), running, fitted.device)

    def restore(self) -> None:
        """Restore the snapshot."""
        set_random_states(self.random, self.device)
        for buffer, value in self.running:
            buffer.copy_(value)


@dataclass(frozen=True)
class StepResult:
    """Figures of a step, on the CPU or being copied to it.

    Attributes:
        values: for a step on whole texts, the loss and the norm of the gradient; otherwise minus the objective
            (averaged over documents), the sums of kept words, entropy, changes and words, those of kept words, changes
            and words of each target that has masks of its own, and the norm.
        copied: event at the end of the copy; `None` if the values are on the CPU.
        full_text: whether the step was on whole texts, without the guide.
        batch: the batch of this process.
        before: the state to restore if the figures are not finite.
        is_global: whether the figures are sums over a group, and `batch` is a share. Then the number of documents, and
            the number of processes that were asked to end, stand before the norm.
    """

    values: Tensor
    copied: torch.cuda.Event | None
    full_text: bool
    batch: Batch
    before: StateSnapshot
    is_global: bool = False

    def record(self, scale: float) -> tuple[StepRecord, float, bool]:
        """Wait for the figures; the record (losses over `scale`), the norm of the gradient, and whether to end."""
        if self.copied is not None:
            self.copied.synchronize()
        loss, *sums, norm = self.values.tolist()
        documents, stop_requests = len(self.batch), 0.0
        if self.is_global:
            *sums, total, stop_requests = sums
            documents = round(total)
        if self.full_text:
            record = StepRecord(loss / (documents * scale), 1.0, 0.0, documents, warmup=1.0)
        else:
            kept, entropy, changes, words, *more = sums
            count = len(more) // 3
            own = [more[i * count : (i + 1) * count] for i in range(3)]
            rates, moves = (
                tuple(part / whole if whole else math.nan for part, whole in zip(parts, own[2], strict=True))
                for parts in own[:2]
            )
            record = StepRecord(
                loss / scale, kept / words, entropy / words, documents, changes / words, rates=rates, moves=moves
            )
        return record, norm, stop_requests > 0

    def documents(self, most: int = 5) -> str:
        """The first few document numbers of the batch."""
        index = self.batch.index
        if index is None:
            return "unknown"
        numbers = [str(i) for i in index[:most].tolist()]
        return ", ".join(numbers) + (", ..." if len(index) > most else "")


def copy_to_cpu_async(values: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """Start a copy to the CPU without waiting; the copy, and the event at its end (`None` for a tensor on the CPU)."""
    if not values.is_cuda:
        return values, None
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()
    return host, copied
