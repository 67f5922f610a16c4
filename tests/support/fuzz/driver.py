"""Make the base, run cases each in a child of this process, and judge how they end."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import click

from pyro_rationale.__main__ import load
from pyro_rationale.cli.common import run_command
from pyro_rationale.data.corpora import CORPORA
from pyro_rationale.errors import FAILED
from tests.support.fuzz import commands, folders, tables  # noqa: F401  the kinds of cases register themselves
from tests.support.fuzz.case import KINDS, RUNS, TINY, Base
from tests.support.fuzz.mutations import WORDS, csv_bytes, rows_of

SECONDS = 25.0  # of the processor; more is a hang
WALL = 120.0  # in all: other work may take the processor away
MEMORY = 9 << 30
ENDS = {0: "ok", 2: "refused", FAILED: "ok, the model of no use", 130: "interrupted"}
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
DIRECTION = re.compile(r"[\u202a-\u202e\u2066-\u2069]")  # these turn text around; JSON may hold them
CRASHED, NOT_MADE, DIFFERS = 99, 98, 97  # statuses of the child itself


# What cases run, besides the commands.


def _load(text: str) -> None:
    """Read a corpus as `fit` does before its first step."""
    from pyro_rationale.data import DataOptions, Vocabulary, load_corpus
    from pyro_rationale.data.duplicates import summary

    options = json.loads(text)
    corpus = load_corpus(DataOptions(**{**options, "target_column": tuple(options.get("target_column", ()))}))
    json.dumps(Vocabulary.build(corpus.train, 1).words)
    parts = (corpus.train, corpus.dev, corpus.test)
    assert all(parts), "an empty split"
    for document in (document for part in parts for document in part):
        (document.text + document.id).encode()
    click.echo(f"{[len(part) for part in parts]} {corpus.spec!a} {summary(corpus)}")


def _vectors(path: str) -> None:
    """Read word vectors."""
    from pyro_rationale.data import Vocabulary
    from pyro_rationale.data.vectors import load_vectors

    assert bool(load_vectors(path, Vocabulary(WORDS)).matrix.isfinite().all())


def _history(path: str) -> None:
    """Draw the training charts of a report."""
    from pyro_rationale.reporting.html.charts import training_charts
    from pyro_rationale.training.history import read_history

    list(training_charts(read_history(Path(path))))


def _draws(path: str) -> None:
    """Read every number of a file of draws."""
    from pyro_rationale.prediction.netcdf import open_groups

    with open_groups(path) as tree:
        for group in tree.children.values():
            for variable in group.variables.values():
                _ = variable.values


READERS: dict[str, Callable[[str], None]] = {
    "load": _load, "vectors": _vectors, "history": _history, "draws": _draws
}


def run(name: str, arguments: Sequence[str]) -> int:
    """The exit status of a command, or of one of `READERS`."""
    command = load(name) if name not in READERS else click.Command(name, callback=lambda: READERS[name](arguments[0]))
    try:
        run_command(command, arguments if name not in READERS else [])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1


# The base.


def make_base(folder: Path) -> Base:
    """Tiny fits, an inspection and a cache; all that they import is then in this process."""
    base = Base(folder)
    folder.mkdir()
    (folder / "t.csv").write_bytes(csv_bytes(rows_of(Random(0), 60)))
    table = ["--data", base.path("t.csv")]
    fits = {name: (columns, "0") for name, columns in RUNS.items()} | {"one2": (["y"], "1")}
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
        for name, (columns, seed) in fits.items():
            targets = [word for column in columns for word in ("--target-column", column)]
            assert run("fit", [*table, *targets, *TINY, "--seed", seed, "--out", base.path(name)]) in (0, FAILED)
        inspect = ["--run", base.path("one"), "--documents", "3", "--samples", "16", "--out", base.path("inspected")]
        assert run("posterior", inspect) == 0
        assert run("prepare", [*table, "--target-column", "y", "--cache", base.path("cache")]) == 0
        assert run("evaluate", ["--run", base.path("one")]) == 0
        _draws(base.path("inspected", "posterior.nc"))
    for name in CORPORA:  # some cases give up the rights of root, and cannot import any more
        _ = CORPORA[name]
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.collect()
    gc.freeze()  # cases need not look for garbage among what they share with this process, nor copy it to do so
    return base


# Cases.


@dataclass(frozen=True)
class Job:
    """The `index`-th case of a kind."""

    kind: str
    index: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}"


@dataclass(frozen=True)
class Result:
    """How a case ended.

    Attributes:
        job: which case.
        case: what was run, as plain values; empty if it could not be made.
        end: `ok`, `refused`, `interrupted`, or what is wrong.
        good: whether that is how a command should end.
        seconds: it took, of the clock.
        output: what it wrote.
        errors: what it wrote on standard error.
    """

    job: Job
    case: dict[str, Any]
    end: str
    good: bool
    seconds: float
    output: str
    errors: str


def jobs(count: int, kinds: Sequence[str] = ()) -> list[Job]:
    """The first cases, of all kinds in turn."""
    names = list(kinds) or list(KINDS)
    return [Job(names[i % len(names)], i // len(names)) for i in range(count)]


def run_all(wanted: Sequence[Job], base: Base, seed: str, work: Path, at_once: int = 1) -> Iterator[Result]:
    """Run cases, some at once, and yield their results as they come."""
    waiting = list(reversed(wanted))
    running: dict[int, tuple[Job, Path, float]] = {}
    while waiting or running:
        while waiting and len(running) < at_once:
            job = waiting.pop()
            place = work / f"{job.kind}-{job.index}"
            place.mkdir()
            place.chmod(0o777)
            sys.stdout.flush()
            process = os.fork()
            if not process:
                _child(job, base, seed, place)
            running[process] = (job, place, time.monotonic())
        time.sleep(0.003)
        for process, (job, place, began) in list(running.items()):
            ended, status = os.waitpid(process, os.WNOHANG)
            seconds = time.monotonic() - began
            if not ended and seconds > WALL:
                os.kill(process, signal.SIGKILL)
                _, status = os.waitpid(process, 0)
                ended, status = process, signal.SIGXCPU
            if ended:
                del running[process]
                yield _judged(job, place, os.waitstatus_to_exitcode(status), seconds)
                shutil.rmtree(place, ignore_errors=True)


def _child(job: Job, base: Base, seed: str, place: Path) -> None:
    """Make a case in `place`, run it, and end this process with its status."""
    os.chdir(place)
    status = NOT_MADE
    try:
        random = Random(f"{seed}-{job}-output")
        output = random.choice(["utf-8"] * 8 + ["cp1252", "ascii", "latin-1", "full", "closed", "unread"])
        _open_streams(output)
        with open("case.json", "w") as note:
            case = KINDS[job.kind](Random(f"{seed}-{job}"), base)
            case.note += "" if output == "utf-8" else f"; standard output {output}"
            case.files += ["standard output"] * (output == "full" and bool(case.files))
            note.write(json.dumps(case.as_dict()))
        status = CRASHED
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        spent = int(time.process_time() + SECONDS)
        resource.setrlimit(resource.RLIMIT_CPU, (spent, spent + 5))
        status = 0
        for name, arguments in case.runs:
            status = run(name, arguments)
        if status in (0, FAILED) and case.same is not None:
            one, other = map(Path, case.same)
            status = 0 if one.read_bytes() == other.read_bytes() else DIFFERS
    except BaseException:
        traceback.print_exc()
        status = CRASHED if status != NOT_MADE else status
    finally:
        os._exit(status & 255)


def _open_streams(output: str) -> None:
    """Standard streams of a case.

    Args:
        output: an encoding of standard output, into a file; or `full` disk, `closed`, a pipe that is `unread`.
    """
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open("stderr.txt", os.O_WRONLY | os.O_CREAT, 0o666), 2)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    if output == "closed":
        os.close(1)
        sys.stdout = None  # as Python starts then
        return
    if output == "unread":
        unread, number = os.pipe()
        os.close(unread)
    else:
        number = os.open("/dev/full" if output == "full" else "stdout.txt", os.O_WRONLY | os.O_CREAT, 0o666)
    os.dup2(number, 1)
    encoding = output if output in ("cp1252", "ascii", "latin-1") else "utf-8"
    sys.stdout = os.fdopen(1, "w", encoding=encoding, closefd=False)


def _judged(job: Job, place: Path, status: int, seconds: float) -> Result:
    read = {name: (place / name).read_text(errors="replace") if (place / name).exists() else ""
            for name in ("stdout.txt", "stderr.txt", "case.json")}
    output, errors = read["stdout.txt"], read["stderr.txt"]
    case = json.loads(read["case.json"] or "{}")
    told = [line for line in errors.splitlines() if line.startswith("error: ")]
    end = ENDS.get(status, f"status {status}")
    wrong = ""
    if status == -signal.SIGXCPU:
        wrong = "hang"
    elif status < 0:
        wrong = signal.Signals(-status).name
    elif status == NOT_MADE:
        wrong = "the case could not be made"
    elif status == DIFFERS:
        wrong = "another result, without a word"
    elif status == CRASHED or "Traceback (most recent call last)" in errors:
        wrong = "traceback"
    elif status not in ENDS:
        wrong = end
    elif status == 2 and len(told) != 1:
        wrong = f"{len(told)} lines of error"
    elif status == 2 and case["files"] and not any(ascii(Path(f).stem)[1:-1] in ascii(told[0]) for f in case["files"]):
        wrong = "no file named"
    elif control := CONTROL.search(output + errors) or DIRECTION.search(errors):
        wrong = f"control character {control[0]!a}"
    elif left := [p.name for p in place.rglob(".*") if p.is_file() and p.suffix != ".lock" and p.name != ".csv"]:
        wrong = f"left behind {left[0]}"
    return Result(job, case, wrong or end, not wrong, seconds, output, errors)
