"""`--devices` and `--nodes`: start the processes of a fit on this machine, and report how they ended.

The launcher is torchrun's (`torch.distributed.launcher`): it starts the processes, connects them, passes signals on,
and ends all if one fails. Each process runs the same command, and learns from the environment that it is one of several
(:mod:`pyro_rationale.training.distributed`).
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from pyro_rationale.errors import (
    BAD_INPUT,
    END_SIGNALS,
    INTERRUPTED,
    ConfigError,
    RationaleError,
    TrainingError,
    reason_of,
)
from pyro_rationale.fitted import pick_device
from pyro_rationale.training.distributed import SINGLE_PROCESS, Group, PeerError, Processes
from pyro_rationale.training.launch_options import LaunchOptions, in_process_group

LOST = 4  # exit status of a process whose peers have ended; the launcher tells the user
HANDLED = (*END_SIGNALS, signal.SIGQUIT)  # the launcher does not restore these


def check_devices(options: LaunchOptions, device: str, batch_size: int) -> None:
    """Make sure that there is a device and a document for every process.

    Raises:
        ConfigError: there are too few, or the machines' meeting point has no address.
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
    """Whether `--device` means GPUs, without initialising one: all processes would initialise the same."""
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
    logging.disable(logging.CRITICAL)  # the launcher reports in tables; the processes print their own errors
    try:
        elastic_launch(config, sys.executable)(*words)
    except SignalException:
        return INTERRUPTED
    except ChildFailedError as failed:
        return _status([(rank, failure.exitcode) for rank, failure in failed.failures.items()], options.processes)
    except (RendezvousError, torch.distributed.DistError) as problem:
        reason = reason_of(problem)
        raise TrainingError(f"--rendezvous {options.rendezvous}: the machines did not meet there ({reason})") from None
    finally:
        logging.disable(logging.NOTSET)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return 0


def _status(ends: list[tuple[int, int]], size: int) -> int:
    """Exit code of the process that caused the failure, from those of all failed ones in the order of their ends.

    Raises:
        TrainingError: that process was killed, and could not report it.
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
    """The group that the environment describes; it is left at the end.

    An error of all processes is reported by one of them; those whose peers are gone end silently with status `LOST`.

    Args:
        device: the requested device.
    """
    if not in_process_group():
        yield SINGLE_PROCESS
        return
    cuda, local_rank = on_gpus(device), int(os.environ.get("LOCAL_RANK", "0"))
    if cuda and local_rank >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ConfigError(f"--device {device}: process {local_rank + 1} of this machine has no GPU, there are {count}")
    if cuda and ":" not in device:
        torch.cuda.set_device(local_rank)  # first of all: "cuda" means this one from now on
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
        for number in END_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        group.close()
