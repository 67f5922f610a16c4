"""Whether a change of the code changes any result: small fits by two checkouts, compared bit for bit.

    python benchmarks/identical.py --base c1933ef            # this checkout against that commit
    python benchmarks/identical.py --base HEAD~1 chain relaxed

Each configuration is fitted by both on the CPU, with one thread. Weights must be equal to the last bit, and every
metric of the base must stand in metrics.json and epochs.jsonl with the same value; new metrics are fine. This checkout
also reads, explains and evaluates each run folder of the base, and both resume an interrupted fit of the base.
Times differ, and are not compared.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[1]
SMALL = ("--documents 160 --hidden 12 --embedding 10 --batch-size 16 --steps 40 --anneal 15 --threads 1 --seed 3 "
         "--quiet")
CONFIGURATIONS = {
    "relaxed": "",
    "straight-through": "--estimator straight-through --samples 2",
    "chain": "--guide chain --pooling attention --encoder bilstm",
    "chain-any-rate-ema": "--guide chain --any-rate .3 --ema .9 --encoder bilstm --warmup 4",
    "chain-reads-target": "--guide chain --condition-on-target --estimator rloo",
    "independent": "--guide independent --encoder rcnn --pooling last",
    "disarm": "--guide independent --estimator disarm --encoder cnn",
    "nvil": "--guide independent --estimator nvil --dropout .1 --layers 2",
    "tracegraph": "--guide independent --estimator tracegraph --tau 1",
    "reinforce": "--guide independent --estimator reinforce --penalties sampled --tau 0 --lambda1 .001 --lambda2 .002",
    "recurrent": "--guide recurrent --samples 2",
    "hardkuma": "--guide hardkuma --transitions .1",
    "binary-muprop-l2": "--guide chain --norm l2 --estimator muprop --data {table} --target-column label",
    "multiclass": "--guide independent --data {table} --target-column kind --epoch-steps 7 --patience 2",
    "two-targets": "--guide chain --data {table} --target-column a --target-column b",
    "two-processes": "--guide chain --devices 2 --threads 2",
}
TIMES = {"seconds", "version", "torch"}


def write_table(path: Path) -> None:
    """240 short texts with a binary label, three classes and two ratings, one of which is missing now and then."""
    draw = random.Random(5)
    words = "the a it was beer good bad fine great awful taste look smell of and but so very not really".split()
    rows = ["text,label,kind,a,b"]
    for number in range(240):
        text = " ".join(draw.choice(words) for _ in range(draw.randint(6, 30)))
        score = text.count("good") + text.count("great") - text.count("bad") - text.count("awful")
        kind = "low" if score < 0 else "mid" if score < 1 else "high"
        other = "" if number % 7 == 0 else text.count("beer") + number % 3
        rows.append(f"{text},{'yes' if score > 0 else 'no'},{kind},{score + 3},{other}")
    path.write_text("\n".join(rows) + "\n")


def run(checkout: Path, command: str, *arguments: str) -> str:
    """Standard output of a command of the package in `checkout`.

    Raises:
        click.ClickException: it failed.
    """
    words = [sys.executable, "-m", f"pyro_rationale.{command}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(words, cwd=checkout, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"{checkout}: {' '.join(words[2:])}: {done.stderr[-800:]}")
    return done.stdout


def differences(base: Path, here: Path) -> Iterator[str]:
    """Differences between two run folders, a line each."""
    ours, theirs = load_file(here / "model.safetensors"), load_file(base / "model.safetensors")
    if ours.keys() != theirs.keys():
        yield f"names of weights: {', '.join(sorted(ours.keys() ^ theirs.keys()))}"
    yield from (f"weight {name}" for name in ours.keys() & theirs.keys() if not torch.equal(ours[name], theirs[name]))
    for name in ("metrics.json", "epochs.jsonl"):
        there, ours_too = ([json.loads(line) for line in texts(run / name)] for run in (base, here))
        yield from unequal(there, ours_too, name)


def texts(path: Path) -> list[str]:
    """The JSON values in a file: one, or one per line."""
    text = path.read_text()
    return text.splitlines() if path.suffix == ".jsonl" else [text]


def unequal(base: Any, here: Any, name: str) -> Iterator[str]:
    """Paths of values of `base` that `here` does not have, or has otherwise."""
    if isinstance(base, dict) and isinstance(here, dict):
        for key in base.keys() - TIMES:
            yield from unequal(base[key], here.get(key, "nothing"), f"{name}.{key}")
    elif isinstance(base, list) and isinstance(here, list) and len(base) == len(here):
        for number, (one, other) in enumerate(zip(base, here, strict=True)):
            yield from unequal(one, other, f"{name}[{number}]")
    elif base != here:
        yield f"{name}: {base} there, {here} here"


def resumed(there: Path, folder: Path) -> Iterator[str]:
    """Differences between two ends of one interrupted fit of the base: resumed by the base, and by this checkout."""
    begun, flags = folder / "begun", f"{SMALL} --guide chain --epoch-steps 5".split()
    words = [sys.executable, "-m", "pyro_rationale.fit", *flags, "--out", str(begun)]
    environment = {**os.environ, "PYTHONPATH": str(there)}
    with subprocess.Popen(words, cwd=there, env=environment, stdout=subprocess.DEVNULL) as fit:
        while fit.poll() is None and not (begun / "epochs.jsonl").exists():
            time.sleep(0.05)
        fit.send_signal(signal.SIGINT)
    if (begun / "metrics.json").exists():
        raise click.ClickException("the fit to be interrupted was finished first; try again")
    other = Path(shutil.copytree(begun, folder / "begun-too"))
    run(there, "fit", "--resume", "--quiet", "--out", str(begun))
    run(ROOT, "fit", "--resume", "--quiet", "--out", str(other))
    yield from differences(begun, other)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(tuple(CONFIGURATIONS)))
@click.option("--base", default="HEAD", show_default=True, help="commit to compare this checkout with")
def main(names: tuple[str, ...], base: str) -> None:
    """Fit NAMES (default: all configurations) by both checkouts; exit status 1 if anything differs."""
    with tempfile.TemporaryDirectory() as folder:
        there, table = Path(folder) / "checkout", Path(folder) / "table.csv"
        subprocess.run(["git", "clone", "-q", "--shared", "--no-checkout", str(ROOT), str(there)], check=True)
        subprocess.run(["git", "checkout", "-q", base], cwd=there, check=True)
        write_table(table)
        unlike = 0
        for name in names or CONFIGURATIONS:
            flags = f"{SMALL} {CONFIGURATIONS[name]}".format(table=table).split()
            folders = [Path(folder) / f"{name}-{which}" for which in ("base", "here")]
            for checkout, out in zip((there, ROOT), folders, strict=True):
                run(checkout, "fit", *flags, "--out", str(out))
            found = list(differences(*folders))
            words = ("--json", "--run", str(folders[0]), "The head looked great, the taste was dull.")
            explained = [json.loads(run(checkout, "explain", *words)) for checkout in (there, ROOT)]
            found += unequal(explained[0], explained[1], "explain")
            run(ROOT, "evaluate", "--run", str(folders[0]), "--split", "dev")
            unlike += bool(found)
            click.echo(f"{name}: {'; '.join(found[:5]) or 'the same'}")
        found = list(resumed(there, Path(folder)))
        click.echo(f"resumed: {'; '.join(found[:5]) or 'the same'}")
    sys.exit(bool(unlike or found))


if __name__ == "__main__":
    main()
