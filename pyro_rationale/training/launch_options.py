"""Options that spread a fit over processes: GPUs of one machine, and machines."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from pyro_rationale.errors import ConfigError
from pyro_rationale.options import check_fields, option
from pyro_rationale.training.options import RUN


@dataclass(frozen=True)
class LaunchOptions:
    """Over how many devices and machines a fit is spread."""

    GROUP: ClassVar[str] = RUN

    devices: int | None = option(None, "processes on this machine, a GPU each or sharing the CPU; default: 1",
                                 common=True, least=1, expected="at least 1")
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
        """Number of processes of the whole fit."""
        return (self.devices or 1) * self.nodes

    def must_launch(self) -> bool:
        """Whether this process has to start others.

        Raises:
            ConfigError: torchrun has started another number of them.
        """
        if not in_process_group():
            return self.processes > 1
        here, all_of_them = (int(os.environ.get(name, "1")) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
        if self.devices is not None and (self.devices, self.processes) != (here, all_of_them):
            raise ConfigError(
                f"--devices {self.devices}: torchrun has started {all_of_them} processes, {here} of them here; leave "
                "it out"
            )
        return False


def in_process_group() -> bool:
    """Whether torchrun, or `--devices`, started this process."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()
