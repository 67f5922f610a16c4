"""`--devices` and `--nodes`: start the processes of a fit on this machine, and say what became of them.

The engine is torchrun's own (`torch.distributed.launcher`): it starts them, tells them of each other, passes signals
on, and ends all if one fails. What runs in each process is the same command; it finds out from the environment that it
is one of several (:mod:`pyro_rationale.training.distributed`), whoever started it.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch

from pyro_rationale.errors import BAD_INPUT, INTERRUPTED, ConfigError, RationaleError, TrainingError
from pyro_rationale.fitted import pick_device
from pyro_rationale.options import check_fields, option
from pyro_rationale.training.distributed import SIGNALS, SINGLE_PROCESS, Group, PeerError, Processes

LOST = 3  # exit status of a process whose companions have ended; whoever started it tells the user
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)  # by the engine, which leaves it at that


@dataclass(frozen=True)
class LaunchOptions:
    """Over how many devices and machines a fit is spread."""

    GROUP: ClassVar[str] = "Run"

    devices: int | None = option(None, "processes on this machine, a GPU each or sharing the CPU; default: 1",
                                 least=1, expected="at least 1")
    nodes: int = option(1, "machines; run the same command on each, with its --node-rank", least=1,
                        expected="at least 1")
    node_rank: int = option(0, "number of this machine, from 0; machine 0 writes the run folder")
    rendezvous: str | None = option(None, "where the machines meet: machine 0 and a free port", metavar="HOST:PORT")

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 <= self.node_rank < self.nodes:
            raise ConfigError(f"--node-rank: expected a number from 0 to {self.nodes - 1}, got {self.node_rank}")
        if (self.nodes > 1) != (self.rendezvous is not None):
            raise ConfigError("--nodes above 1 and --rendezvous HOST:PORT go together; give both or neither")
        if self.rendezvous is not None:
            host, colon, port = self.rendezvous.rpartition(":")
            if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
                raise ConfigError(f"--rendezvous: expected HOST:PORT, got {self.rendezvous!r}")

    @property
    def processes(self) -> int:
        """Of the whole fit."""
        return (self.devices or 1) * self.nodes

    def wanted(self) -> bool:
        """Whether this process has to start others.

        Raises:
            ConfigError: somebody else has started them already, in another number.
        """
        if not started():
            return self.processes > 1
        here, all_of_them = (int(os.environ.get(name, "1")) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
        if self.devices is not None and (self.devices, self.processes) != (here, all_of_them):
            raise ConfigError(
                f"--devices {self.devices}: torchrun has started {all_of_them} processes, {here} of them here; leave "
                "it out"
            )
        return False


def check_devices(options: LaunchOptions, device: str, batch_size: int) -> None:
    """Make sure that there is a device for every process, and a document.

    Raises:
        ConfigError: that is not so.
    """
    number, cuda = options.devices or 1, on_gpus(device)
    if not cuda:
        pick_device(device)
    if ":" in device and number > 1:
        raise ConfigError(f"--device {device} is one GPU, and --devices asks for {number}; take --device cuda")
    if cuda and number > torch.cuda.device_count():
        raise ConfigError(
            f"--devices {number}: there are {torch.cuda.device_count()} GPUs here; --device cpu takes any number"
        )
    if options.rendezvous is not None:
        host, _, port = options.rendezvous.rpartition(":")
        try:
            socket.getaddrinfo(host, int(port))
        except OSError as problem:
            raise ConfigError(f"--rendezvous {options.rendezvous}: {problem.strerror or problem}") from None
    if batch_size < options.processes:
        raise ConfigError(
            f"--batch-size {batch_size}: expected a document for each of {options.processes} processes; raise it, or "
            "take fewer --devices"
        )


def on_gpus(device: str) -> bool:
    """Whether `--device` means GPUs; found out without touching one: all processes would touch the same."""
    return device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())


def launch(options: LaunchOptions, words: Sequence[str]) -> int:
    """Run `python WORDS` in every process of this machine; its exit status.

    Raises:
        TrainingError: a process was killed, or the machines did not meet.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    several = options.nodes > 1
    config = LaunchConfig(
        min_nodes=options.nodes,
        max_nodes=options.nodes,
        nproc_per_node=options.devices or 1,
        run_id="pyro_rationale",
        rdzv_backend="static" if several else "c10d",
        rdzv_endpoint=options.rendezvous or "127.0.0.1:0",
        rdzv_configs={"rank": options.node_rank, "timeout": 900} if several else {},
        max_restarts=0,
        local_addr=None if several else "127.0.0.1",
    )
    handlers = {number: signal.getsignal(number) for number in HANDLED}
    logging.disable(logging.CRITICAL)  # the launcher reports in tables; the processes speak for themselves
    try:
        elastic_launch(config, sys.executable)(*words)
    except SignalException:
        return INTERRUPTED
    except ChildFailedError as failed:
        return _status([(rank, failure.exitcode) for rank, failure in failed.failures.items()], options.processes)
    except (RendezvousError, torch.distributed.DistError) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise TrainingError(f"--rendezvous {options.rendezvous}: the machines did not meet there ({reason})") from None
    finally:
        logging.disable(logging.NOTSET)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return 0


def _status(ends: list[tuple[int, int]], size: int) -> int:
    """From the exit codes of the processes that failed, in the order in which they were seen, to that of the cause.

    Raises:
        TrainingError: the cause was not able to speak.
    """
    causes = [(rank, code) for rank, code in ends if code != LOST]
    if causes and causes[0][1] > 0:
        return causes[0][1]
    what = "a process on another machine has ended"
    if causes:
        rank, code = causes[0]
        what = f"process {rank + 1} of {size} was ended by {signal.Signals(-code).name}"
    raise TrainingError(f"{what}; go on from the last checkpoint with --resume")


@contextmanager
def process_group(device: str) -> Iterator[Group]:
    """The group that the environment describes, left at the end.

    What goes wrong in all processes is told by one of them; those whose companions are gone are silent, and end
    with status `LOST`.

    Args:
        device: that the user asked for.
    """
    if not started():
        yield SINGLE_PROCESS
        return
    cuda, place = on_gpus(device), int(os.environ.get("LOCAL_RANK", "0"))
    if cuda and place >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ConfigError(f"--device {device}: process {place + 1} of this machine has no GPU, there are {count}")
    if cuda and ":" not in device:
        torch.cuda.set_device(place)  # before anything else: "cuda" is this one from now on
    try:
        group = Processes(cuda)
    except PeerError:
        raise SystemExit(LOST) from None
    try:
        yield group
    except KeyboardInterrupt:
        if not group.main:
            raise SystemExit(INTERRUPTED) from None
        raise
    except PeerError:
        raise SystemExit(LOST) from None
    except RationaleError as error:
        if not group.first():
            raise SystemExit(BAD_INPUT) from None
        where = f"{socket.gethostname()}: " if group.size > group.local else ""
        raise type(error)(f"{where}{error}") from None
    except Exception:
        if not group.first():
            raise SystemExit(1) from None
        raise
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        group.close()


def started() -> bool:
    """Whether torchrun, or `--devices`, started this process."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()
