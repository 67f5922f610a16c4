"""A training step on a GPU: whether it computes what the CPU does, when it is waited for, where time goes.

    python benchmarks/gpu_check.py --device cuda [--json check.json]

Three parts. Recurrences on the device against the same on the CPU, called four times, since from the third on they are
replayed from graphs. Every wait for the device within a step, with the line that waits, as torch's own debug mode
reports them. And the profiler's kernels and times of a step of each kind.
"""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.markup import escape
from step import BARS, Sizes, make_batches, make_trainer
from timing import machine, settle, write
from torch import Tensor

from pyro_rationale.fitted import pick_device
from pyro_rationale.nn.kernels.cudnn_graph import recorded_lstm, usable
from pyro_rationale.nn.kernels.gated_lstm import gated_lstm

STEPS = 3


def deviations(device: torch.device) -> dict[str, float]:
    """Largest relative deviation from the CPU of both LSTMs' states and gradients, call by call."""
    random = torch.Generator().manual_seed(0)
    found: dict[str, float] = {}
    allowed, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    for call in range(4):
        gated = [torch.rand(shape, generator=random) - 0.5 for shape in ((6, 21, 80), (80, 20))]
        gated.append(torch.rand(6, 21, generator=random))
        shapes = (6, 21, 12), (80, 12), (80, 20), (80,), (80,)
        plain = [torch.rand(shape, generator=random) - 0.5 for shape in shapes]
        for name, function, given in (("gated", gated_lstm, gated), ("lstm", lstm, plain)):
            on_device = results(function, [value.to(device) for value in given])
            for place, (ours, theirs) in enumerate(zip(on_device, results(function, given), strict=True)):
                error = float((ours.cpu() - theirs).abs().max() / theirs.abs().max())
                found[f"{name}, call {call + 1}, result {place}"] = error
    torch.backends.cudnn.allow_tf32 = allowed
    return found


def lstm(inputs: Tensor, *weights: Tensor) -> Tensor:
    """From cuDNN's recorded calls on a GPU, and from torch's on the CPU."""
    if inputs.is_cuda and usable(inputs.device):
        return recorded_lstm(inputs, *weights)
    start = inputs.new_zeros(1, len(inputs), weights[1].shape[1])
    states: Tensor = torch.lstm(inputs, (start, start), list(weights), True, 1, 0.0, True, False, True)[0]
    return states


def results(function: Any, given: list[Tensor]) -> list[Tensor]:
    """States and the gradients of the sum of their squares."""
    arguments = [value.clone().requires_grad_() for value in given]
    states = function(*arguments)
    return [states.detach(), *torch.autograd.grad(states.square().sum(), arguments)]


def waits(sizes: Sizes, kind: tuple[str, str, int]) -> dict[str, float]:
    """Waits for the device per step, by the line of the package that waits."""
    trainer = make_trainer(sizes, *kind)
    batches = make_batches(sizes, STEPS)
    list(trainer.steps(batches))
    settle(sizes.device)
    if sizes.device.type != "cuda":
        return {}
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            list(trainer.steps(batches))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    places = Counter(f"{Path(w.filename).name}:{w.lineno}" for w in caught if "synchroniz" in str(w.message))
    return {place: count / STEPS for place, count in places.most_common()}


def profile(sizes: Sizes, kind: tuple[str, str, int]) -> dict[str, Any]:
    """Kernels and milliseconds of a step, and what they are spent on."""
    trainer = make_trainer(sizes, *kind)
    batches = make_batches(sizes, STEPS)
    for _ in range(3):
        list(trainer.steps(batches))
    settle(sizes.device)
    activities = [torch.profiler.ProfilerActivity.CPU]
    if sizes.device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiler:
        list(trainer.steps(batches))
        settle(sizes.device)
    averages = profiler.key_averages()
    own = {event.key: getattr(event, "self_device_time_total", 0.0) for event in averages}
    launches = sum(event.count for event in averages if "LaunchKernel" in event.key or "GraphLaunch" in event.key)
    by_device = sorted(own.items(), key=lambda item: -item[1])[:8]
    by_cpu = sorted(((event.key, event.self_cpu_time_total) for event in averages), key=lambda item: -item[1])[:12]
    return {
        "launches": launches / STEPS,
        "device ms": sum(own.values()) / STEPS / 1e3,
        "cpu ms": sum(event.self_cpu_time_total for event in averages) / STEPS / 1e3,
        "device": {name[:60]: round(value / STEPS / 1e3, 3) for name, value in by_device},
        "cpu": {name[:60]: round(value / STEPS / 1e3, 3) for name, value in by_cpu},
    }


@click.command()
@click.option("--device", default="cuda", show_default=True)
@click.option("--hidden", default=200, show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path), help="write the findings here, too")
def main(device: str, hidden: int, out: Path | None) -> None:
    """Print the findings."""
    place = pick_device(device)
    sizes = Sizes(64, 150, hidden, 5000, 0.15, place)
    console = Console(width=150)
    facts: dict[str, Any] = {"benchmark": "gpu_check", **machine(place), "deviations": deviations(place)}
    console.print(f"largest deviation from the CPU: {max(facts['deviations'].values()):.2g}")
    if place.type == "cuda":
        console.print(f"LSTMs can {'' if usable(place) else 'NOT '}be replayed from graphs")
    for kind in BARS:
        name = ", ".join(map(str, kind))
        found = facts[name] = {"waits": waits(sizes, kind), **profile(sizes, kind)}
        console.print(escape(f"\n{name}: waits per step {found['waits']}"))
        spent = f"device {found['device ms']:.1f} ms, cpu {found['cpu ms']:.1f} ms"
        console.print(f"  launches {found['launches']:.0f}, {spent}")
        console.print(escape(f"  device: {found['device']}\n  cpu: {found['cpu']}"))
        write(out, facts)


if __name__ == "__main__":
    main()
