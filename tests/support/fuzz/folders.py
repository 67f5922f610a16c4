"""Cases of folders: annotated sets, run folders, prepared tables; and of word vectors and draws."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import struct
from pathlib import Path
from random import Random

import numpy as np

from tests.support.fuzz.case import RUNS, TINY, Base, Case, kind
from tests.support.fuzz.mutations import (
    ODD_NUMBERS,
    ODD_TEXTS,
    WORDS,
    csv_bytes,
    flip,
    jsonl_bytes,
    put,
    spoil_bytes,
    spoil_json,
    spoil_json_line,
    spoil_safetensors,
)

Files = dict[str, bytes]


# Annotated sets.


def _words(random: Random) -> list[str]:
    return [random.choice(WORDS) for _ in range(8)]


def _eraser(random: Random) -> Files:
    def instance(i: int) -> dict[str, object]:
        evidence = {"docid": f"d{i}", "start_token": 1, "end_token": 4, "start_sentence": -1, "end_sentence": -1}
        label = random.choice(["POS", "NEG"])
        return {"annotation_id": f"d{i}", "classification": label, "query": "good?", "docids": None,
                "evidences": [[{**evidence, "text": "x"}]]}

    documents = [
        {"docid": f"d{i}", "document": "\n".join(" ".join(_words(random)) for _ in range(3))} for i in range(40)
    ]
    parts = {"train": range(24), "val": range(24, 32), "test": range(32, 40)}
    files = {f"{name}.jsonl": jsonl_bytes([instance(i) for i in numbers]) for name, numbers in parts.items()}
    return {"docs.jsonl": jsonl_bytes(documents), **files}


def _r2a(random: Random) -> Files:
    def lines(count: int) -> bytes:
        found = ["task\tlabel\ttext\trationale"]
        for _ in range(count):
            words = _words(random)
            flags = " ".join(random.choice("01") for _ in words)
            found.append(f"aroma\t{random.random():.2f}\t{' '.join(words)}\t{flags}")
        return ("\n".join(found) + "\n").encode()

    return {"aroma.train": lines(24), "aroma.dev": lines(8), "aroma.test": lines(8)}


def _hatexplain(random: Random) -> Files:
    posts = {}
    for i in range(40):
        words, label = _words(random), random.choice(["hate", "offensive"])
        annotators = [{"label": label, "annotator_id": j, "target": ["x"]} for j in range(3)]
        flags = [[random.choice([0, 1]) for _ in words] for _ in range(2)]
        posts[f"p{i}"] = {"post_id": f"p{i}", "annotators": annotators, "rationales": flags, "post_tokens": words}
    names = list(posts)
    parts = {"train": names[:24], "val": names[24:32], "test": names[32:]}
    return {"dataset.json": json.dumps(posts).encode(), "post_id_divisions.json": json.dumps(parts).encode()}


def _yelp_hat(random: Random) -> Files:
    rows: list[dict[str, str]] = []
    for i in range(60):
        words = [*_words(random), str(i // 2)]
        html = " ".join(f'<span class="{random.choice(["active", ""])}">{word}</span>' for word in words)
        text = " ".join(words)
        if i % 2:
            text, html = rows[-1]["Input.text"], rows[-1]["Answer.html_output"]
        rows.append({"Input.label": str(i // 2 % 2), "Input.text": text, "Answer.html_output": html, "Answer": "x"})
    return {"ham_part1.csv": csv_bytes(rows)}


def _beer(random: Random) -> Files:
    def lines(count: int) -> bytes:
        ratings = [" ".join(f"{random.random():.2f}" for _ in range(5)) for _ in range(count)]
        return "\n".join(f"{five}\t{' '.join(_words(random))}" for five in ratings).encode()

    annotated = [
        {"x": _words(random), "y": [random.random() for _ in range(5)], "0": [[1, 3]], "raw": "x"} for _ in range(8)
    ]
    return {
        "reviews.aspect0.train.txt.gz": gzip.compress(lines(24)),
        "reviews.aspect0.heldout.txt": lines(10),
        "annotations.json": jsonl_bytes(annotated),
    }


LAYOUTS = {"eraser": _eraser, "r2a": _r2a, "hatexplain": _hatexplain, "yelp-hat": _yelp_hat, "beer": _beer}


def _spoil_cell(random: Random, content: bytes) -> bytes:
    """An odd number or text in place of what stands between two separators."""
    packed = content.startswith(b"\x1f\x8b")
    lines = (gzip.decompress(content) if packed else content).decode().split("\n")
    at, separator = random.randrange(len(lines)), random.choice(["\t", " ", ",", '"', "0", "1"])
    parts = lines[at].split(separator)
    parts[random.randrange(len(parts))] = random.choice([*ODD_NUMBERS, *ODD_TEXTS])
    lines[at] = separator.join(parts)
    spoilt = "\n".join(lines).encode("utf-8", "surrogatepass")
    return gzip.compress(spoilt) if packed else spoilt


@kind
def layouts(random: Random, base: Base) -> Case:
    """A folder of one of the annotated sets."""
    layout = random.choice(list(LAYOUTS))
    files = LAYOUTS[layout](random)
    name = random.choice(list(files))
    content = files[name]
    what = random.choice(
        ["bytes"] * 4 + ["json"] * 6 + ["cell"] * 3 + ["missing", "folder", "fifo", "locked", "other", "whole"]
    )
    note = f"{layout} {name} {what}"
    if what == "json" and name.endswith((".json", ".jsonl")):
        fault, content = (spoil_json if layout == "hatexplain" else spoil_json_line)(random, content)
        note += f" {fault}"
    elif what in ("json", "cell"):
        content = _spoil_cell(random, content)
    elif what == "bytes":
        fault, content = spoil_bytes(random, content)
        note += f" {fault}"
    elif what == "other":
        content = random.choice(list(files.values()))
    folder = Path("set")
    folder.mkdir()
    for other in files.keys() - {name}:
        (folder / other).write_bytes(files[other])
    put(folder / name, content, what)
    data, skip = random.choice([f"{layout}:set", f"{layout}:set", "set"]), random.random() < 0.2
    case = Case(note, [name, "set"])
    if random.random() < 0.85:
        case.runs.append(("load", [json.dumps({"data": data, "skip_bad_rows": skip})]))
    else:
        case.runs.append(("fit", ["--data", data, *["--skip-bad-rows"] * skip, *TINY, "--out", "out"]))
    return case


# Run folders.


@kind
def runs(random: Random, base: Base) -> Case:
    """The folder of a finished run, or of one to be resumed."""
    run = random.choice(list(RUNS))
    shutil.copytree(base.folder / run, "run")
    names = [path.name for path in Path("run").iterdir() if path.is_file() and not path.name.startswith(".")]
    name = random.choice([*sorted(names), "config.json", "config.json", "checkpoint.safetensors"])
    path = Path("run", name)
    content, what = path.read_bytes(), random.choice(
        ["inside"] * 6 + ["bytes", "bytes", "empty", "missing", "folder", "other", "loop"]
    )
    note = f"{run} {name} {what}"
    if what == "inside":
        spoil = {".safetensors": spoil_safetensors, ".jsonl": spoil_json_line}.get(path.suffix, spoil_json)
        fault, content = spoil(random, content)
        note += f" {fault}"
    elif what == "bytes":
        fault, content = spoil_bytes(random, content)
        note += f" {fault}"
    elif what == "empty":
        content = b""
    elif what == "other":
        others = [base.folder / other / name for other in RUNS if other != run]
        content = random.choice([other.read_bytes() for other in others])
    put(path, content, what)
    older = name != "manifest.json" and random.random() < 0.5
    if older:  # it has no digests, so that its values are read
        Path("run/manifest.json").unlink()
        note += " no manifest"
    way = random.choice(
        {"checkpoint.safetensors": ["resume"] * 4 + ["finished"],
         "metrics.json": ["finished"] * 3 + ["compare-objectives", "posterior"],
         "epochs.jsonl": ["history"] * 4 + ["posterior"]}.get(
            name, ["explain"] * 4 + ["explain json", "evaluate", "finished", "finished", "resume", "resume",
                   "compare-objectives", "rate-curve", "test"])
    )
    if way == "resume":
        Path("run/metrics.json").unlink(missing_ok=True)
    text = "The beer tasted great and cheap."
    arguments = {
        "explain": ["--run", "run", text],
        "explain json": ["--run", "run", "--json", text],
        "evaluate": ["--run", "run", "--json", "e.json"],
        "posterior": ["--run", "run", "--documents", "3", "--samples", "16", "--out", "inspected"],
        "finished": ["--out", "run", "--resume", "--quiet"],
        "resume": ["--out", "run", "--resume", "--quiet"],
        "compare-objectives": ["run", base.path(run), "--draws", "4", "--iwae", "4", "--quiet"],
        "history": ["run/epochs.jsonl"],
        "rate-curve": ["--run", "run", "--rates", "0.1,0.3"],
        "test": ["run", base.path(run), "--draws", "10"],
    }[way]
    command = {"finished": "fit", "resume": "fit", "explain json": "explain"}.get(way, way)
    weights = "model.safetensors"
    same = (f"run/{weights}", base.path(run, weights)) if way == "resume" and not older else None
    return Case(f"{note}; {way}", [name, "run", "manifest.json"], [(command, arguments)], same)


@kind
def prepared(random: Random, base: Base) -> Case:
    """A folder of prepared tables."""
    shutil.copytree(base.folder / "cache", "cache")
    files = sorted(path for path in Path("cache").rglob("*") if path.suffix in (".arrow", ".json"))
    path = random.choice(files)
    content, what = path.read_bytes(), random.choice(["bits"] * 3 + ["bytes", "reversed", "json", "missing", "folder"])
    note = f"{path.suffix} {what}"
    if what == "bits":
        content = flip(random, content, random.choice([1, 1, 9]))
    elif what == "bytes":
        fault, content = spoil_bytes(random, content)
        note += f" {fault}"
    elif what == "json" and path.suffix == ".json":
        fault, content = spoil_json(random, content)
        note += f" {fault}"
    elif what == "reversed":
        content = content[::-1]
    put(path, content, what)
    words = ["--data", base.path("t.csv"), "--target-column", "y", "--cache", "cache"]
    run = random.choice([("prepare", words), ("fit", [*words, *TINY, "--out", "out"])])
    weights = "model.safetensors"
    same = (f"out/{weights}", base.path("one", weights)) if run[0] == "fit" else None
    return Case(f"{note}; {run[0]}", [*(file.name for file in files), "cache", "t.csv"], [run], same)


@kind
def draws(random: Random, base: Base) -> Case:
    """The draws that an inspection left, `posterior.nc`."""
    content = (base.folder / "inspected" / "posterior.nc").read_bytes()
    at, step = random.randrange(len(content)), random.choice([1, 8, 512])
    fault, content = random.choice(
        [("flip", flip(random, content)), ("flips", flip(random, content, random.choice([9, 50, 500]))),
         ("magic", b"CDF\x01" + content), ("hole", content[:at] + content[at + step :]), spoil_bytes(random, content)]
    )
    Path("p.nc").write_bytes(content)
    return Case(fault, ["p.nc"], [("draws", ["p.nc"])])


# Word vectors.


@kind
def vectors(random: Random, base: Base) -> Case:
    """A file of word vectors."""
    lines = [word + " " + " ".join(f"{random.uniform(-1, 1):.3f}" for _ in range(4)) for word in WORDS]
    at, count = random.randrange(len(lines)), len(lines)
    line, place = lines[at], ""
    what = random.choice(
        ["bytes"] * 4 + ["width", "number", "header", "binary", "spaces", "twice", "case", "wide", "folder", "fifo",
         "zip", "word", "tabs", "one", "npy", "single", "long", "locked", "missing"]
    )
    if what == "width":
        lines[at] = random.choice([line + " 1", line.rsplit(" ", 1)[0]])
    elif what == "number":
        odd = ["nan", "inf", "1e39", "x", "1e-50", "\u0661", "1_0", "0x1", "--1", "1e", "", "3e38"]
        lines[at] = line.rsplit(" ", 1)[0] + " " + random.choice(odd)
    elif what == "header":
        lines.insert(0, random.choice(
            [f"{count} 4", f"{count + 1} 4", f"{count} 5", "99999999999999999999 4", "0 4", f"{count} 99999999999",
             "-1 4", "a 4", "1 0", f"{count} 0", f"\u00b2{count} 4", f"{count} \u00b2"]
        ))
    elif what == "spaces":
        lines = [line.replace(" ", "  ") for line in lines]
        lines[at] = " " + lines[at]
    elif what == "twice":
        lines += lines
    elif what == "case":
        lines = [line.upper() for line in lines]
    elif what == "wide":
        lines = [word + " 1" * 20_000 for word in WORDS]
    elif what == "word":
        odd = ["", " 1 2 3 4", "a b 1 2 3 4", "1 2 3 4", "\u00a0 1 2 3 4", "<pad> 1 2 3 4", "w\u00a0x 1 2 3 4",
               "w\x0b1 2 3 4"]
        lines[at] = random.choice(odd)
    elif what == "tabs":
        lines = [line.replace(" ", "\t") for line in lines]
    elif what == "one":
        lines = [f"{word} 1" for word in WORDS]
    elif what == "single":
        lines = lines[:1]
    elif what == "long":
        lines[at] += " 1" * 600_000
    content = ("\n".join(lines) + "\n").encode()
    if what == "bytes":
        fault, content = spoil_bytes(random, content)
        what += f" {fault}"
    elif what == "binary":
        numbers = struct.pack("<4f", 1, 2, 3, 4)
        content = f"{count} 4\n".encode() + b"".join(word.encode() + b" " + numbers for word in WORDS)
    elif what == "zip":
        content = b"PK\x03\x04" + content
    elif what == "npy":
        file = io.BytesIO()
        np.save(file, np.zeros((3, 4)))
        content = file.getvalue()
    else:
        place = what
    put(Path("v.txt"), content, place)
    words = ["--data", base.path("t.csv"), "--target-column", "y", "--vectors", "v.txt", *TINY, "--out", "out"]
    run = ("vectors", ["v.txt"]) if random.random() < 0.85 else ("fit", words)
    return Case(what, ["v.txt"], [run])
