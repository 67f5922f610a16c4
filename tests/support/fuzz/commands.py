"""Cases of what a user types: options, texts to explain, and the file of a benchmark."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from random import Random

import click

from pyro_rationale.__main__ import load
from pyro_rationale.config import ModelOptions, TrainOptions
from pyro_rationale.data.options import DataOptions
from tests.support.fuzz.case import RUNS, TINY, Base, Case, kind
from tests.support.fuzz.mutations import ODD_TEXTS, ODD_TOML, ODD_VALUES, WORDS, put, spoil_bytes

PROCESSES = ("workers", "devices", "processes", "nodes")  # options that start some
SIZES = (
    "hidden", "embedding", "layers", "vocabulary", "samples", "documents", "draws", "iwae", "steps", "epoch_steps",
    "max_words", "chains", "bootstrap",
)  # options whose large values only take long
TOML = """
out = "bench"
seeds = 1
rates = [0.2]
methods = ["relaxed", "soft-attention"]
curve = [0.2]
[base]
hidden = 4
embedding = 4
batch_size = 16
steps = 2
anneal = 1
threads = 1
min_count = 1
[overrides.relaxed]
temperature = 0.5
[[corpora]]
name = "t"
data = "{data}"
target_column = ["y"]
"""
LARGE = ("9223372036854775807", "99999999999999999999", "1_000")  # so many seeds or steps only take long
TABLES = [
    "[overrides.nothing]", "[corpora]", "[[base]]", "[overrides]", "[overrides.relaxed.x]", "[x]", "[[corpora]]",
    "[base.base]", "[corpora.overrides.relaxed]", "]",
]
KEYS = ["x", "", '""', '"[/x]"', "rate", "seed", "guide", "lambda1", "out", "data", "workers", "cache", "device"]


@kind
def toml(random: Random, base: Base) -> Case:
    """The file of a benchmark."""
    lines = TOML.strip().format(data=base.path("t.csv")).split("\n")
    what = random.choice(["bytes"] * 2 + ["value"] * 8 + ["key"] * 2 + ["delete", "twice", "table"] + ["flag"] * 3)
    at = random.choice([i for i, line in enumerate(lines) if "=" in line])
    odd = random.choice(ODD_TOML)
    if what == "value":
        lines[at] = lines[at].split("=")[0] + f"= {odd}"
    elif what == "key":
        lines[at] = f"{random.choice(KEYS)} = {odd}"
    elif what == "delete":
        del lines[at]
    elif what == "twice":
        lines.insert(at, lines[at])
    elif what == "table":
        lines.insert(random.randrange(len(lines)), random.choice(TABLES))
    elif what == "flag":
        names = [field.name for part in (ModelOptions, TrainOptions, DataOptions) for field in fields(part)]
        at = 1 + random.choice([i for i, line in enumerate(lines) if line.startswith("[")])
        lines.insert(at, f"{random.choice(names)} = {odd}")
    note, content = f"{what} {ascii(lines[min(at, len(lines) - 1)])[:60]}", "\n".join(lines).encode()
    if what == "bytes":
        note, content = spoil_bytes(random, content)
    put(Path("b.toml"), content, "folder" if random.random() < 0.03 else "")
    how = random.choice(["--list"] * 5 + ["--tables"] * 2 + ["--quiet"] * (odd not in LARGE))
    return Case(f"{note}; {how}", [], [("benchmark", ["b.toml", how])])


@kind
def texts(random: Random, base: Base) -> Case:
    """Texts to explain: in a file, as arguments, by options that are odd."""
    words = ["--run", base.path(random.choice(list(RUNS))), *["--json"] * (random.random() < 0.4)]
    lines = [" ".join(random.choice(WORDS) for _ in range(8)) for _ in range(5)]
    content = ("\n".join(lines) + "\n").encode()
    what = random.choice(
        ["bytes"] * 3 + ["odd"] * 4 + ["arguments"] * 2 + ["options"] * 2 + ["long", "blank", "place", "both", "none"]
    )
    note, files = what, ["f.txt", "text", "standard input"]
    if what == "bytes":
        fault, content = spoil_bytes(random, content)
        note += f" {fault}"
    elif what == "odd":
        text = random.choice(ODD_TEXTS)
        content = text.encode() + b"\n" + content
        note += ascii(text[:20])
    elif what == "long":
        content = b"beer " * 100_000
    elif what == "blank":
        content = b"\n" * 10 + content + b"\n" * 5
    Path("f.txt").write_bytes(content)
    if what == "arguments":
        words += random.choice(
            [["\udcff\udcfe beer"], [""], ["  "], ["\x00"], ["\x1b[31mbeer"], ["--", "-beer"], ["beer"] * 300,
             ["\u202ebeer"], ["[/x] beer"], ["..."], ["x" * 50_000]]
        )
    elif what == "place":
        path = random.choice([".", "nothing", "", "~nouser/x", "x" * 300, "f.txt/x", "\x00"])
        words += ["--file", path]
        files = []
    elif what == "both":
        words += ["--file", "f.txt", "beer"]
        files = []
    elif what == "options":
        flags = ["--samples", "--alternatives", "--level", "--threshold", "--max-words", "--batch-size", "--threads",
                 "--seed", "--device", "--decode"]
        odd = ["-1", "0", "1", "nan", "inf", "1e9", "99999999999999999999", "", "x", "0.5", "cuda", "cuda:99", "meta",
               "mps", "cpu:7", "\uff12"]
        pair = [random.choice(flags), random.choice(odd)]
        words += ["--file", "f.txt", *pair]
        note, files = f"{note} {pair!a}", []
    elif what != "none":
        words += ["--file", "f.txt"]
    return Case(note, files, [("explain", words)])


def _values(random: Random, option: click.Option) -> list[str]:
    count = option.nargs if option.nargs > 0 else 1
    if isinstance(option.type, click.Choice) and random.random() < 0.8:
        return [random.choice(list(option.type.choices)) for _ in range(count)]
    if option.name in PROCESSES:
        return [random.choice(["-1", "0", "x", "nan"]) for _ in range(count)]
    large = ("1000000", "2147483648", "1e3") if option.name in SIZES else ()
    return [random.choice([value for value in ODD_VALUES if value not in large]) for _ in range(count)]


@kind
def options(random: Random, base: Base) -> Case:
    """Odd values of one to three options of a command."""
    run, table = ["--run", base.path("one")], ["--data", base.path("t.csv"), "--target-column", "y"]
    arguments = {
        "fit": [*table, *TINY, "--out", "out"],
        "posterior": [*run, "--documents", "3", "--samples", "16", "--out", "inspected"],
        "evaluate": run,
        "rate-curve": [*run, "--rates", "0.1,0.3"],
        "prepare": [*table, "--cache", "cache"],
        "compare-objectives": [base.path("one"), base.path("one2"), "--draws", "4", "--iwae", "4", "--quiet"],
    }
    name = random.choice(["fit"] * 6 + list(arguments)[1:])
    flags = [
        option for option in load(name).params
        if isinstance(option, click.Option) and not option.is_flag and option.opts[0] not in ("--nodes", "--master")
    ]
    words: list[str] = []
    for option in (random.choice(flags) for _ in range(random.choice([1, 1, 2, 3]))):
        words += [option.opts[0], *_values(random, option)]
    return Case(f"{name} {' '.join(map(ascii, words))}", [], [(name, [*arguments[name], *words])])
