"""Common parts of the benchmarks of time: taking turns, waiting for the device, results as a table and as JSON."""

from __future__ import annotations

import json
import platform
import re
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch

Action = Callable[[int], object]


def settle(device: torch.device) -> None:
    """Wait until the device has done all that it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def take_turns(
    actions: Mapping[str, Action],
    rounds: int,
    device: torch.device,
    chunk: int = 1,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each action, `rounds` numbers each.

    All actions go once, then all again: a machine whose speed drifts drifts for all of them. A GPU is waited for
    before and after each `chunk` and not within, as in training. On a CPU with one thread it is the process's own time
    that counts, so that others on the machine do not; anywhere else it is the time on the wall.

    Args:
        actions: each takes the number of times that it is to do its work.
        rounds: that count, after `warmup` that do not.
        device: to wait for.
        chunk: times that are measured together.
        warmup: rounds before; kernels are chosen and memory is taken then.
        clock: what tells seconds.
    """
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(rounds + warmup):
        for name, action in actions.items():
            settle(device)
            start = clock()
            action(chunk)
            settle(device)
            if number >= warmup:
                seconds[name].append((clock() - start) / chunk)
    return seconds


def ratios(values: list[float], floor: list[float]) -> dict[str, float]:
    """Median, lowest and highest quotient of what was measured in the same round, and the median milliseconds."""
    quotients = [value / base for value, base in zip(values, floor, strict=True)]
    found = {"ratio": median(quotients), "lowest": min(quotients), "highest": max(quotients)}
    return {**{k: round(v, 3) for k, v in found.items()}, "ms": round(1e3 * median(values), 2)}


def peak_memory() -> float:
    """Most megabytes that this process has had, the files that it maps included."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts what the parent had when it started this process
        found = re.search(r"VmHWM:\s+(\d+)", status.read_text())
        if found:
            return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine(device: torch.device) -> dict[str, Any]:
    """Where it was measured."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"device": name, "type": device.type, "torch": torch.__version__, "threads": torch.get_num_threads()}


def write(path: Path | None, facts: dict[str, Any]) -> None:
    """Write the results as JSON, if a path was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
