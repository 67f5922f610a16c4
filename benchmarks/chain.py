"""Time of the linear chain's operations: the loop over words, the log-depth scan, the Triton kernel, and Pyro.

    python benchmarks/chain.py --quick                                 # a minute or two on one core
    python benchmarks/chain.py --device cuda --json chain.json         # the whole grid; under a minute on a GPU

Every way of running every recurrence is first held against the loop in float64 on the CPU, at odd sizes and hard
numbers, and every result that is timed against the same loop at its own size. What disagrees is not timed, and the
exit status is 1 if it is ours. Columns are times over the loop's, in turn within one run; the last is what the library
chooses by itself over one elementwise pass over the data, which is the least that anything costs. Pyro is the log-depth
product of 2 x 2 matrices behind `pyro.distributions.DiscreteHMM`, whose marginals are the gradient of log Z. On a GPU
the loop and the scan are also replayed from a CUDA graph, which needs shapes that never change. On one thread of a CPU
the time is the processor's, so that what other programs take does not count.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from chain_checks import BOUNDS, SEED, Reference, Result, disagreements, waits
from pyro.distributions.hmm import _sequential_logmatmulexp
from rich.console import Console
from rich.table import Table
from timing import machine, take_turns, write
from torch import Tensor

from pyro_rationale.distributions import LinearChain
from pyro_rationale.distributions.scan.dispatch import METHODS, kernel_works, using
from pyro_rationale.fitted import pick_device

Operation = Callable[[Tensor, Tensor], Result]
SIZES, CHAINS = (16, 64, 150, 512, 4096), (1, 16, 64, 1024)
QUICK = (16, 150, 1024), (1, 64, 1024)
TURN = 4e-3  # seconds that a turn should last
SLOW = 0.05  # seconds from which two turns must do
GRAPHED = 1024  # words of the longest loop that is captured as a graph


def law(fields: Tensor, coupling: Tensor) -> LinearChain:
    """The chain, unchecked."""
    return LinearChain(fields, coupling, validate_args=False)


def with_gradient(log_z: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    """Log Z, and its gradient in fields and couplings."""

    def run(fields: Tensor, coupling: Tensor) -> Result:
        with torch.enable_grad():
            leaves = [part.detach().requires_grad_() for part in (fields, coupling)]
            value = log_z(*leaves)
            return (value.detach(), *torch.autograd.grad(value.sum(), leaves))

    return run


OPERATIONS: dict[str, Operation] = {
    "log Z": lambda fields, coupling: law(fields, coupling).log_normalizer,
    "log Z + gradient": with_gradient(lambda fields, coupling: law(fields, coupling).log_normalizer),
    "marginals": lambda fields, coupling: law(fields, coupling).mean,
    "sampling": lambda fields, coupling: law(fields, coupling).sample(),
    "Viterbi": lambda fields, coupling: law(fields, coupling).mode,
}


def pyro_log_z(fields: Tensor, coupling: Tensor) -> Tensor:
    """Log Z by Pyro's product of matrices in log space."""
    stay = fields.new_zeros(coupling.shape)
    rows = [torch.stack([stay, -coupling], -1), torch.stack([-coupling, stay], -1)]
    matrices = torch.stack(rows, -2)  # (B, T - 1, from, to)
    weights = torch.stack([torch.zeros_like(fields), fields], -1)
    whole = _sequential_logmatmulexp(matrices + weights[:, 1:, None])
    return torch.logsumexp((weights[:, 0, :, None] + whole).flatten(1), -1)


PYRO: dict[str, Operation] = {
    "log Z": pyro_log_z,
    "log Z + gradient": with_gradient(pyro_log_z),
    "marginals": lambda fields, coupling: with_gradient(pyro_log_z)(fields, coupling)[1],
}


# Measuring.


def replayed(run: Callable[[], Result]) -> Callable[[], Result]:
    """A function replayed from a CUDA graph, captured at the first call."""
    captured: list[tuple[torch.cuda.CUDAGraph, Result]] = []

    def replay() -> Result:
        if not captured:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                run()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                result = run()
            captured.append((graph, result))
        captured[0][0].replay()
        return captured[0][1]

    return replay


def ways(name: str, fields: Tensor, coupling: Tensor, methods: tuple[str, ...]) -> dict[str, Callable[[], Result]]:
    """Every way of doing the operation, by the name of its column."""
    operation = OPERATIONS[name]

    def by(method: str) -> Callable[[], Result]:
        def run() -> Result:
            with using(method):
                return operation(fields, coupling)

        return run

    found: dict[str, Callable[[], Result]] = {method: by(method) for method in methods}
    found["chosen"] = lambda: operation(fields, coupling)
    if name in PYRO:
        found["pyro"] = lambda: PYRO[name](fields, coupling)
    if fields.is_cuda and name in ("log Z", "marginals", "Viterbi"):
        found["log-depth, graph"] = replayed(by("log-depth"))
        if fields.shape[-1] <= GRAPHED:
            found["serial, graph"] = replayed(by("serial"))
    return found


def milliseconds(actions: Mapping[str, Callable[[], object]], device: torch.device, rounds: int) -> dict[str, float]:
    """Median of each, in turn; short ones repeated within a turn."""
    clock = time.thread_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    first = take_turns({k: _repeated(action, 1) for k, action in actions.items()}, 1, device, warmup=1, clock=clock)
    if max(seconds[0] for seconds in first.values()) > SLOW:
        rounds = min(rounds, 2)
    repeats = {name: max(1, int(TURN / seconds[0])) for name, seconds in first.items()}
    turns = {name: _repeated(action, repeats[name]) for name, action in actions.items()}
    taken = take_turns(turns, rounds, device, warmup=0, clock=clock)
    return {name: 1e3 * median(seconds) / repeats[name] for name, seconds in taken.items()}


def _repeated(action: Callable[[], object], times: int) -> Callable[[int], None]:
    def run(_: int) -> None:
        for _ in range(times):
            action()

    return run


def error_of(reference: Reference, name: str, action: Callable[[], Result]) -> float | str:
    """How far it is off; what was raised, if something was."""
    torch.manual_seed(SEED)  # the random numbers that the reference took
    try:
        return reference.error(name, action())
    except RuntimeError as problem:  # a graph that could not be captured, memory that does not suffice
        return str(problem).splitlines()[0]


def measure(
    size: int, chains: int, device: torch.device, methods: tuple[str, ...], rounds: int
) -> list[dict[str, Any]]:
    """A row for each operation. Weights as a guide has them: strong fields, couplings around 1."""
    torch.manual_seed(SEED)
    fields = 2 * torch.randn(chains, size, device=device)
    coupling = 1 + 0.5 * torch.randn(chains, size - 1, device=device)
    reference = Reference(fields, coupling)
    rows = []
    for name in OPERATIONS:
        actions = ways(name, fields, coupling, methods)
        errors = {way: error_of(reference, name, action) for way, action in actions.items()}
        wrong = [way for way, error in errors.items() if isinstance(error, str) or not error <= BOUNDS[name]]
        actions = {way: action for way, action in actions.items() if way not in wrong}
        times = milliseconds({"floor": lambda: torch.sigmoid(fields), **actions}, device, rounds)
        row: dict[str, Any] = {"operation": name, "words": size, "chains": chains}
        row["ms"] = {way: round(value, 4) for way, value in times.items()}
        row["over the loop"] = {way: round(value / times["serial"], 4) for way, value in times.items()}
        row["over the floor"] = {way: round(value / times["floor"], 2) for way, value in times.items()}
        rows.append({**row, "error": errors, "wrong": wrong})
    return rows


@click.command()
@click.option("--device", default="cpu", show_default=True)
@click.option("--words", multiple=True, type=int, help=f"lengths  [default: {', '.join(map(str, SIZES))}]")
@click.option("--chains", multiple=True, type=int, help=f"batches  [default: {', '.join(map(str, CHAINS))}]")
@click.option("--rounds", default=5, show_default=True, help="turns that are measured")
@click.option("--quick", is_flag=True, help="a coarser grid")
@click.option("--threads", default=1, show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path), help="write the figures here, too")
@torch.no_grad()
def main(
    device: str,
    words: tuple[int, ...],
    chains: tuple[int, ...],
    rounds: int,
    quick: bool,
    threads: int,
    out: Path | None,
) -> None:
    """Check, measure, print the table."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    place = pick_device(device)
    console = Console(width=None if sys.stdout.isatty() else 118)
    cuda = place.type == "cuda"
    methods = METHODS if cuda and kernel_works() else METHODS[:2]
    facts: dict[str, Any] = {"benchmark": "chain", **machine(place), "methods": methods}
    facts["disagreements"] = list(disagreements(place, methods))
    with torch.enable_grad():
        facts["waits"] = waits(place) if cuda else None
    for line in [*facts["disagreements"], *([f"waits for the GPU: {facts['waits']}"] if facts["waits"] else [])]:
        console.print(line, style="red", markup=False)
    facts["rows"] = rows = []
    sizes, batches = QUICK if quick else (SIZES, CHAINS)
    for size in words or sizes:
        for count in chains or batches:
            rows += measure(size, count, place, methods, rounds)
            write(out, facts)
    console.print(table(rows, facts["device"]))
    for row in rows:
        for way in row["wrong"]:
            where = f"{row['operation']}, {row['chains']} x {row['words']}, {way}"
            console.print(f"{where}: off by {row['error'][way]}, not timed", style="red", markup=False)
    ours = {way for row in rows for way in row["wrong"] if way in (*METHODS, "chosen")}
    sys.exit(1 if facts["disagreements"] or ours else 0)


def table(rows: list[dict[str, Any]], title: str) -> Table:
    """For people: times over the loop's."""
    made = Table(title=f"time of the chain's operations over the loop's ({title})")
    columns = [way for way in dict.fromkeys(way for row in rows for way in row["ms"]) if way not in ("floor", "serial")]
    heads = ("operation", "words", "chains", "floor, ms", "loop, ms", *columns, "chosen/floor")
    for head in heads:
        made.add_column(head, justify="left" if head == "operation" else "right")
    for row in rows:
        times, over = row["ms"], row["over the loop"]
        shown = (f"{over[way]:.3f}" if way in over else "" for way in columns)
        floor = row["over the floor"].get("chosen")
        figures = (f"{times['floor']:.4f}", f"{times['serial']:.2f}", *shown, "" if floor is None else f"{floor:.1f}")
        made.add_row(row["operation"], str(row["words"]), str(row["chains"]), *figures)
    return made


if __name__ == "__main__":
    main()
