"""Data-parallel training: each process takes its share of every batch, and all take the same step.

A step of several processes equals the step of one: the gradients of the shares are averaged, weighted by their
documents, and so are the figures on which the control of the rate depends. Weights, optimiser and control therefore
stay equal everywhere without being sent. Development texts are sharded, too; only the main process prints and writes.

The engine is torch.distributed: gloo on CPUs, NCCL between GPUs. Gradients and figures travel in one flat
all-reduce. `DistributedDataParallel` would hide a part of it behind the backward pass, but needs a module's `forward`
around Pyro's programs, a search for unused parameters (steps on whole texts leave the guide alone), and a second
all-reduce for the figures; the bulk of these gradients belongs to word vectors, which come last in the backward pass,
where nothing is left to hide behind.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from types import FrameType
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.nn  # its functions keep for good whatever group there is when they are first imported
from torch import Tensor

from pyro_rationale.errors import END_SIGNALS, ConfigError, RationaleError, reason_of

T = TypeVar("T")
Buffers = Sequence[tuple[Tensor, Tensor]]

TIMEOUT = timedelta(minutes=30)  # for a process that neither answers nor ends; reading a corpus takes some, too


class PeerError(RationaleError):
    """Another process of the fit has ended or does not answer."""


class Group:
    """Processes of a fit. The base class is the single-process default: all collectives are no-ops.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes of the fit.
        local: number of processes on this machine.
        is_single: whether this process was not started as one of a group.
    """

    rank = 0
    size = 1
    local = 1
    is_single = True

    @property
    def main(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """Documents of each batch that this process takes; batches are sorted by length, so shares are alike."""
        return slice(None)

    def device(self, device: torch.device) -> torch.device:
        """Device of this process, given the requested one."""
        return device

    def seed_step(self, seed: int, step: int) -> None:
        """Seed the random numbers of a step, different ones in each process."""

    def broadcast(self, make: Callable[[], T]) -> T:
        """Value that `make` returns in the main process; it is called nowhere else."""
        return make()

    def shard(self, items: Iterable[T]) -> Iterator[T]:
        """Items of this process: each item goes to exactly one process."""
        return iter(items)

    def all_gather(self, value: T) -> list[T]:
        """Values of all processes, by rank."""
        return [value]

    def all_reduce(
        self, parameters: Sequence[Tensor], buffers: Buffers, documents: int, sums: Tensor
    ) -> Tensor:
        """Turn gradients and figures of the shares into those of the whole batch.

        Args:
            parameters: parameters whose gradients, means over the documents of a share, become means over all; a
                missing gradient counts as 0.
            buffers: running statistics, now and before the step; they move by the mean of the shares' moves.
            documents: number of documents of this share.
            sums: figures to add up over the shares.

        Returns:
            The sums; after them the number of documents of the batch, and the number of processes that were asked to
            end: if there are any, all end after this step.

        Raises:
            PeerError: one of the processes is gone.
        """
        return torch.cat([sums, sums.new_tensor([documents, 0.0])])

    @contextmanager
    def defer_signals(self) -> Iterator[None]:
        """Context in which Ctrl-C, SIGTERM and SIGHUP are only noted, and passed on by the next `all_reduce`."""
        yield

    def close(self) -> None:
        """Leave the group; there are no more steps."""


class Processes(Group):
    """Group of this process and others, as torchrun or `--devices` started them.

    Args:
        cuda: whether gradients are on GPUs.

    Raises:
        PeerError: the others did not connect.
    """

    is_single = False

    def __init__(self, cuda: bool) -> None:
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        self.local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self.stop_requested = False
        self.broadcasts = 0
        self.parent = os.getppid()
        with _peer_errors():
            self.store, self.rank, self.size = next(dist.rendezvous("env://", timeout=TIMEOUT))
            backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
            prefixed = dist.PrefixStore("fit", self.store)
            dist.init_process_group(backend, timeout=TIMEOUT, world_size=self.size, rank=self.rank, store=prefixed)

    @property
    def share(self) -> slice:
        """Every `size`-th document."""
        return slice(self.rank, None, self.size)

    def device(self, device: torch.device) -> torch.device:
        """GPU of this process: one for each process of the machine."""
        if device.type != "cuda" or self.local == 1:
            return device
        return torch.device("cuda", self.local_rank)

    def seed_step(self, seed: int, step: int) -> None:
        """Seed by seed, step and rank alone, so that a checkpoint needs no random state of each process."""
        torch.manual_seed(int(np.random.SeedSequence([seed, step, self.rank]).generate_state(1, np.uint64)[0] >> 1))

    def broadcast(self, make: Callable[[], T]) -> T:
        """Value that `make` returns in the main process, sent to all.

        A broadcast waits `TIMEOUT` for its value and no longer; what takes hours to make, as the reader of `--judge`,
        is waited for outside of it, for as long as the store is there.
        """
        self.broadcasts += 1
        key = f"broadcast {self.broadcasts}"
        values: list[T | None] = [None]
        if self.main:
            try:
                values = [make()]
            except BaseException:
                self.store.set(key, "failed")
                raise
        with _peer_errors():
            if self.main:
                self.store.set(key, "made")
            self._await(key)
            dist.broadcast_object_list(values, src=0)
        return values[0]  # type: ignore[return-value]

    def _await(self, key: str) -> None:
        """Wait until the main process says in the store that it has made the value of a broadcast, or has failed."""
        pause = 0.001
        while not self.store.check([key]):
            if self._must_stop():
                raise KeyboardInterrupt
            time.sleep(pause)
            pause = min(0.5, 2.0 * pause)
        if self.store.get(key) != b"made":
            raise RuntimeError("the first process has failed")

    def shard(self, items: Iterable[T]) -> Iterator[T]:
        """Every `size`-th item."""
        return islice(items, self.rank, None, self.size)

    def all_gather(self, value: T) -> list[T]:
        """Values of all processes, by rank, sent by all to all."""
        values: list[T | None] = [None] * self.size
        with _peer_errors():
            dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def all_reduce(
        self, parameters: Sequence[Tensor], buffers: Buffers, documents: int, sums: Tensor
    ) -> Tensor:
        """One all-reduce; nothing waits for a GPU."""
        moved = [(now, now - before) for now, before in buffers if now.is_floating_point()]
        pieces = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters] + [move for _, move in moved]
        flat = torch.cat([piece.reshape(-1).to(parameters[0].dtype) for piece in pieces])
        tail = torch.tensor([documents, self._must_stop()], dtype=flat.dtype).to(flat.device, non_blocking=True)
        whole = torch.cat([flat.mul_(documents), sums.to(flat), tail])
        with _peer_errors():
            dist.all_reduce(whole)
        means = whole[: len(flat)].div_(whole[-2]).split([piece.numel() for piece in pieces])
        for parameter, mean in zip(parameters, means, strict=False):
            parameter.grad = mean.view_as(parameter)
        for (now, own), mean in zip(moved, means[len(parameters) :], strict=True):
            now.add_(mean.view_as(now).to(now.dtype) - own)
        return whole[len(flat) :]

    def _must_stop(self) -> bool:
        """Whether this process was asked to end: by a signal, or by the death of its parent."""
        return self.stop_requested or os.getppid() != self.parent

    @contextmanager
    def defer_signals(self) -> Iterator[None]:
        """Context in which signals are only noted: a process that left at once would leave the others in an all-reduce.

        After an error signals stay ignored: the launcher sends them to all processes that are still ending.
        """

        def note(number: int, frame: FrameType | None) -> None:
            self.stop_requested = True

        before = [(number, signal.signal(number, note)) for number in END_SIGNALS]
        yield
        for number, handler in before:
            signal.signal(number, handler)
        if self.stop_requested:
            raise KeyboardInterrupt

    def close(self) -> None:
        """Leave the group; called by all processes at the same time unless something is wrong.

        The threads of gloo end here. Were the group still held by anything, as by the functions of
        `torch.distributed.nn` when the optimiser's first step imports them, they would outlive the interpreter, and
        now and then one would be caught taking its lock: "terminate called without an active exception".
        """
        if dist.is_initialized():
            dist.destroy_process_group()

    def first(self) -> bool:
        """Whether this process is the first to report an error; only one does."""
        try:
            return self.store.add("told", 1) == 1
        except RuntimeError:
            return True


SINGLE_PROCESS = Group()


def check_shares(batch_size: int, documents: int, batches: int, size: int) -> None:
    """Make sure that every process gets a document of every batch.

    Raises:
        ConfigError: the smallest batch has fewer documents than there are processes.
    """
    if documents // batches < size:
        raise ConfigError(
            f"--batch-size {batch_size}: the smallest batch has {documents // batches} documents for {size} processes; "
            "raise it, or take fewer --devices"
        )


@contextmanager
def _peer_errors() -> Iterator[None]:
    """Context of collective operations; their errors become `PeerError`."""
    try:
        yield
    except RuntimeError as problem:  # torch.distributed's own errors are of this kind
        raise PeerError(f"another process of this fit has ended ({reason_of(problem)})") from problem
