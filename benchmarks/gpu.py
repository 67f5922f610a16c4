"""Everything that is measured on a GPU, with one command.

    python benchmarks/gpu.py --out FOLDER [--device cuda] [--seconds 480]

Runs the benchmarks one after the other, each in a process of its own with its own time limit; if one fails, or takes
too long, the others go on. FOLDER gets the JSON of each, what it printed, and all of it as `gpu.md`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).parent
ROOT = HERE.parent


@dataclass(frozen=True)
class Part:
    """One command.

    Attributes:
        name: of its files.
        seconds: it may take.
        arguments: after `python`; `{device}`, `{json}` and `{folder}` are filled in.
    """

    name: str
    seconds: float
    arguments: tuple[str, ...]


def script(name: str, *options: str) -> tuple[str, ...]:
    """A script of this folder, as a command."""
    return (str(HERE / f"{name}.py"), "--device", "{device}", "--json", "{json}", *options)


FIT = ("-m", "pyro_rationale.fit", "--device", "{device}", "--threads", "4", "--quiet", "--out", "{folder}/run")
# A group of one takes the way of many: NCCL's all-reduce, seeds by step, figures that come late.
NCCL = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", *FIT[:-1], "{folder}/run-nccl",
        "--documents", "1000", "--steps", "100")
# The most important first: if time runs out, it is the last that are missing.
PARTS = (
    Part("step-bars", 45, script("step", "--quick")),
    Part("check", 60, script("gpu_check")),
    Part("fit", 75, FIT),
    Part("chain", 60, script("chain", "--quick")),
    Part("inference", 75, script("inference", "--run", "{folder}/run", "--rounds", "1", "--texts", "1000")),
    Part("overhead", 110, script("overhead", "--quick")),
    Part("step-decided", 40, script("step", "--quick", "--sharp", "8")),
    Part("step-without-graphs", 40, script("step", "--quick", "--no-graphs")),
    Part("step-bf16", 40, script("step", "--quick", "--precision", "bf16")),
    Part("time_to_f1", 45, script("time_to_f1", "--threads", "4")),
    Part("nccl", 45, NCCL),
    Part("step-64", 100, script("step", "--steps", "3", "--batch", "64")),
    Part("step-256", 100, script("step", "--steps", "3", "--batch", "256")),
)


def run(part: Part, device: str, folder: Path, limit: float) -> tuple[str, float, str]:
    """Run it; its outcome, seconds, and what it printed."""
    filled = [a.format(device=device, json=folder / f"{part.name}.json", folder=folder) for a in part.arguments]
    started = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-u", *filled], cwd=ROOT, timeout=limit, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        outcome, text = "done" if done.returncode == 0 else f"exit status {done.returncode}", done.stdout
    except subprocess.TimeoutExpired as problem:
        outcome = f"not finished in {limit:.0f} s"
        printed: Any = problem.stdout  # bytes, whatever its type says
        text = printed.decode(errors="replace") if isinstance(printed, bytes) else printed or ""
    return outcome, time.monotonic() - started, text


@click.command()
@click.option("--out", "folder", type=click.Path(path_type=Path), required=True, help="folder for all that is found")
@click.option("--device", default="cuda", show_default=True)
@click.option("--seconds", default=480.0, show_default=True, help="for everything together")
@click.option("--only", multiple=True, help="parts to run  [default: all]")
def main(folder: Path, device: str, seconds: float, only: tuple[str, ...]) -> None:
    """Run all parts and write FOLDER/gpu.md."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    pages = [f"# On {device}\n"]
    for part in PARTS:
        if only and part.name not in only:
            continue
        left = seconds - (time.monotonic() - started)
        if left < 5:
            outcome, taken, text = "left out: no time", 0.0, ""
        else:
            outcome, taken, text = run(part, device, folder, min(part.seconds, left))
        words = (a.format(device=device, json=f"{part.name}.json", folder=folder.name) for a in part.arguments)
        command = " ".join(["python", *(word.replace(f"{ROOT}/", "") for word in words)])
        pages.append(f"## {part.name}\n\n`{command}`: {outcome}, {taken:.0f} s\n\n```\n{text.rstrip()}\n```\n")
        (folder / "gpu.md").write_text("\n".join(pages), encoding="utf-8")
        click.echo(f"{part.name}: {outcome}, {taken:.0f} s")
        if outcome != "done":
            click.echo("\n".join(text.splitlines()[-6:]))
    click.echo(f"{folder / 'gpu.md'} after {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
