"""What a step has to say, while it may still be under way on the device, and what to go back to if it was a bad one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.fitted import FittedModel
from pyro_rationale.training.checkpoint import random_states, set_random_states
from pyro_rationale.training.history import StepRecord


@dataclass(frozen=True)
class StateSnapshot:
    """What a step changes before its loss is known.

    Attributes:
        random: random states.
        running: the running statistics of a baseline: the buffers, each with a copy.
        device: whose random states they are.
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
    """What a step has to say.

    Attributes:
        values: of a step on whole texts, the loss and the norm of the gradient; else minus the objective, averaged
            over documents, then, summed, the words kept, entropy, changes and words, and the norm. On the CPU, or on
            their way to it.
        arrival: the end of that way.
        reading: whether whole texts were read, and the guide rested.
        batch: as it came.
        before: what to go back to, should they not be finite.
        joined: whether the figures are those of a group's whole batch, `batch` being a share. Then its documents, and
            how many processes have been asked to end, stand before the norm.
    """

    values: Tensor
    arrival: torch.cuda.Event | None
    reading: bool
    batch: Batch
    before: StateSnapshot
    joined: bool = False

    def record(self, scale: float) -> tuple[StepRecord, float, bool]:
        """The record, losses over `scale`, the norm of the gradient, and whether to end; waits for them if need be."""
        if self.arrival is not None:
            self.arrival.synchronize()
        loss, *sums, norm = self.values.tolist()
        documents, asked = len(self.batch), 0.0
        if self.joined:
            *sums, total, asked = sums
            documents = round(total)
        if self.reading:
            return StepRecord(loss / (documents * scale), 1.0, 0.0, documents), norm, asked > 0
        kept, entropy, changes, words = sums
        return StepRecord(loss / scale, kept / words, entropy / words, documents, changes / words), norm, asked > 0

    def documents(self, most: int = 5) -> str:
        """The first few document numbers of the batch."""
        index = self.batch.index
        if index is None:
            return "unknown"
        numbers = [str(i) for i in index[:most].tolist()]
        return ", ".join(numbers) + (", ..." if len(index) > most else "")


def copy_to_cpu_async(values: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """Send figures on their way to the CPU, without waiting: where they will be, and when, unless they are there."""
    if not values.is_cuda:
        return values, None
    there = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    there.copy_(values, non_blocking=True)
    arrival = torch.cuda.Event()
    arrival.record()
    return there, arrival
