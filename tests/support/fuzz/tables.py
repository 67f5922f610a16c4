"""Cases of tables: CSV, TSV, JSON lines and Parquet, read by every command that reads tables."""

from __future__ import annotations

import decimal
import io
import json
import struct
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.fuzz.case import TINY, Base, Case, kind
from tests.support.fuzz.mutations import (
    ODD_JSON,
    ODD_NAMES,
    ODD_NUMBERS,
    ODD_TEXTS,
    csv_bytes,
    flip,
    jsonl_bytes,
    put,
    rows_of,
    spoil_bytes,
    spoil_gzip,
)

PLACES = ("missing", "folder", "fifo", "loop", "locked")
LABELS = [
    ["001", "1"], ["1e3", "1000"], ["10000001", "10000002"], ["nan", "x"], ["inf", "-inf"], ["True", "true"],
    [" a", "a "], ["\x1b[31mA", "B"], ["[/x]", "B"], ["\u00e9", "e\u0301"], ["", "a"], ["0", "1"], ["1", "2"],
    ["yes", "no"],
]
GOLD = [
    "", "[[0, 3]]", "0 1 0", "[[5,2]]", "[[0,1e9]]", "x", "[[[]]]", "1" * 10, "{}", "[[0,3],[2,5]]", "[[-3,2]]",
    "[[0.5,2]]", "[" * 5000, "[[true,false]]", "null", "0",
]
MAPS: list[Any] = [
    None, [], [[0, 3]], [[[0, 3]]], [[[0, 3]], [[2, 5]]], [[0, 1], [0]], "x", {}, [None], [[None]], [[[None, 2]]], 5,
    [[[1e99, 2]]], [[[0, 10**400]]], [True], [[0, float("nan")]], ["0 1"],
]
NAMES = [
    "t.CSV", "t", "t.txt", ".csv", "a b.csv", "\u00fc.csv", "t.csv.csv", "t.csv.gz.gz", "[x].csv", "\x1b[31m.csv",
    "beer:t.csv", "-t.csv", "t.xlsx", "t\n.csv", "x" * 300 + ".csv",
]


def read_by(random: Random, base: Base, case: Case, target: str, text: str = "text", more: dict[str, str] | None = None
            ) -> Case:
    """The case, whose first file some command reads; `more` options name other files."""
    path, skip = case.files[0], random.random() < 0.25
    columns = ["--text-column", text, "--target-column", target, *["--skip-bad-rows"] * skip]
    way = random.choice(["load"] * 6 + ["fit", "fit --cache"] + ["prepare", "prepare", "evaluate"])
    if way == "load":
        options = {"data": path, "text_column": text, "target_column": [target], "skip_bad_rows": skip, **(more or {})}
        case.runs.append((way, [json.dumps(options)]))
    elif way == "evaluate":
        case.runs.append((way, ["--run", base.path("one"), "--data", path, *columns, "--json", "-"]))
    else:
        flags = [word for name, value in (more or {}).items() for word in (f"--{name.replace('_', '-')}", value)]
        command, cached = way.split()[0], ["--cache", "cache"] * (way != "fit")
        out = [*TINY, "--out", "out"] * (command == "fit")
        case.runs.append((command, ["--data", path, *columns, *flags, *cached, *out]))
    case.note += f"; {way}" + " skip" * skip
    return case


def separated(random: Random, base: Base, separator: str) -> Case:
    """A table of fields with separators."""
    rows, name, place, more = rows_of(random), "t.csv", "", None
    if separator == "\t":
        name = random.choice(["t.tsv", "t.csv"])
    target = random.choice(["y", "y", "y", "label", "cls"])
    what = random.choice(
        ["bytes"] * 3 + ["ragged", "quote", "long", "number", "text", "same name", "name", "no header", "only header",
         "few", "constant", "classes", "mixed", "gzip", "no gzip", "file name", "labels", "gold", "wide", "lines"]
        + [*PLACES, "link to a folder", "dev file"]
    )
    note, row = what, random.choice(rows)
    if what == "long":
        row["text"] = "word " * 200_000
    elif what == "number":
        row["y"], target = random.choice(ODD_NUMBERS), "y"
        note += ascii(row["y"])
    elif what == "text":
        row["text"] = random.choice(ODD_TEXTS)
        note += ascii(row["text"][:20])
    elif what == "name":
        odd = random.choice(ODD_NAMES)
        rows = [{odd if key == "y" else key: value for key, value in row.items()} for row in rows]
        target = random.choice([odd, odd.strip(), "y"])
        note += ascii(odd[:20])
    elif what == "constant":
        rows = [{**row, "y": 1.5, "label": "a", "cls": "b"} for row in rows]
    elif what == "classes":
        rows, target = [{**row, "cls": f"c{i}"} for i, row in enumerate(rows * 2)], "cls"
    elif what == "labels":
        pair, target = random.choice(LABELS), "label"
        rows = [{**row, "label": pair[i % 2]} for i, row in enumerate(rows)]
        note += ascii(pair)
    elif what == "gold":
        rows = [{**row, "rationale": random.choice(GOLD)} for row in rows]
    elif what == "wide":
        rows = [{**row, **{f"c{j}": 1 for j in range(3000)}} for row in rows[:12]]
    elif what == "few":
        rows = rows[: random.choice([1, 2, 9, 10, 11])]
    elif what == "lines":
        row["text"] = "a\nb\r\nc\n" * 5
    content = csv_bytes(rows, separator)
    lines = content.split(b"\n")
    at, mark = random.randrange(len(lines) - 1), separator.encode()
    if what == "bytes":
        fault, content = spoil_bytes(random, content)
        note += f" {fault}"
    elif what in ("ragged", "quote", "mixed"):
        line = lines[at]
        lines[at] = random.choice(
            {"ragged": [line + mark + b"x", line.rsplit(mark, 1)[0], mark * 9, b""],
             "quote": [b'"' + line, line + b'"', b'"a"b' + line, line.replace(b" ", b'" "', 1)],
             "mixed": [line.replace(mark, b";")]}[what]
        )
        content = b"\n".join(lines)
    elif what == "same name":
        content = b"\n".join([lines[0].replace(b"z", random.choice([b"y", b"text"])), *lines[1:]])
    elif what == "no header":
        content = b"\n".join(lines[1:])
    elif what == "only header":
        content = lines[0] + random.choice([b"", b"\n", b"\n\n"])
    elif what in ("gzip", "no gzip"):
        name, content = "t.csv.gz", spoil_gzip(random, content) if what == "gzip" else content
    elif what == "file name":
        name = random.choice(NAMES)
        note += ascii(name[:20])
    elif what in PLACES:
        place = what
    if what == "dev file":
        Path("d.csv").write_bytes(spoil_bytes(random, content)[1])
        more = {random.choice(["dev_data", "test_data"]): "d.csv"}
    if what == "link to a folder":
        Path("d").mkdir()
        Path(name).symlink_to("d")
    elif len(name) < 256:
        put(Path(name), content, place)
    return read_by(random, base, Case(f"{note}; {target}", [name, "d.csv"]), target, more=more)


@kind
def commas(random: Random, base: Base) -> Case:
    """A CSV."""
    return separated(random, base, random.choice(",;"))


@kind
def tabs(random: Random, base: Base) -> Case:
    """A TSV."""
    return separated(random, base, "\t")


@kind
def jsonl(random: Random, base: Base) -> Case:
    """JSON lines."""
    rows, target = rows_of(random), random.choice(["y", "y", "label"])
    at = random.randrange(len(rows))
    what = random.choice(
        ["bytes"] * 2 + ["value"] * 5 + ["same key", "array", "scalar", "object", "words", "list texts", "digits",
         "number", "blank", "deep", "indented", "surrogate", "maps", "gold", "keys", "two"]
    )
    note, lines = what, [json.dumps(row) for row in rows]
    if what == "value":
        name, value = random.choice(["text", target]), random.choice(ODD_JSON)
        lines[at] = json.dumps({**rows[at], name: value})
        note += f" {name} {ascii(value)[:30]}"
    elif what == "object":
        lines[at] = json.dumps({**rows[at], "text": {"a": "b"}})
    elif what == "words":
        lists: list[Any] = [["a", 1], ["a", ""], [], ["a b", "c"], [["a"]], ["a"] * 5000, ["\u200b"], ["<pad>"] * 5]
        lines[at] = json.dumps({**rows[at], "text": random.choice([*lists, ["\ud800"]])})
    elif what == "list texts":
        lines[::2] = [json.dumps({**row, "text": row["text"].split()}) for row in rows[::2]]
    elif what in ("maps", "gold"):
        key = "rationales" if what == "maps" else "rationale"
        lines = [json.dumps({**row, key: random.choice(MAPS)}) for row in rows]
    elif what == "array":
        lines = [f"[{','.join(lines)}]"]
    elif what == "indented":
        lines = [json.dumps(row, indent=1) for row in rows]
    elif what == "blank":
        lines.insert(at, random.choice(["", "  ", "\t", "\u2028"]))
    elif what != "bytes":
        number = random.choice(["NaN", "Infinity", "-Infinity", "1e999", "-0", "01", "1.", ".5", "0x1", "'1'"])
        lines[at] = {
            "same key": lines[at][:-1] + f', "{target}": 0.5}}',
            "scalar": random.choice(["1", '"x"', "null", "[]", "true"]),
            "digits": '{"text": "a b c", "y": ' + "1" * random.choice([20, 400, 5000]) + ', "label": "good"}',
            "number": f'{{"text": "a b c", "y": {number}, "label": "good"}}',
            "deep": '{"text": ' + "[" * 100_000 + "]" * 100_000 + "}",
            "surrogate": '{"text": "a \\ud800 b", "y": 0.5, "label": "good"}',
            "keys": json.dumps({random.choice(ODD_NAMES): 1}),
            "two": lines[at] * 2,
        }[what]
    content = ("\n".join(lines) + "\n").encode()
    if what == "bytes":
        fault, content = spoil_bytes(random, jsonl_bytes(rows))
        note += f" {fault}"
    Path("t.jsonl").write_bytes(content)
    return read_by(random, base, Case(note, ["t.jsonl"]), target)


def _columns(random: Random, what: str, text: list[str], y: list[float]) -> dict[str, Any]:
    """Columns of a type that a table of texts and ratings need not have."""
    count = len(y)
    odd = {
        "struct": lambda: [{"a": value} for value in y],
        "list": lambda: [[value] for value in y],
        "nulls": lambda: [None if random.random() < 0.3 else value for value in y],
        "null": lambda: pa.nulls(count),
        "dictionary": lambda: pa.array(list(map(str, y))).dictionary_encode(),
        "date": lambda: pa.array([random.choice([0, 2**31 - 1, -(2**31), 5]) for _ in y], pa.int32()).cast(pa.date32()),
        "duration": lambda: pa.array([random.choice([1, 2**62]) for _ in y], pa.duration("ns")),
        "decimal": lambda: [decimal.Decimal(str(value)) for value in y],
        "boolean": lambda: [value > 0.5 for value in y],
        "int64": lambda: [2**63 - 1 - int(value * 10) for value in y],
        "huge": lambda: [value * 1e308 for value in y],
        "nan": lambda: [float("nan") if random.random() < 0.2 else value for value in y],
        "map": lambda: pa.array([[("a", value)] for value in y], pa.map_(pa.string(), pa.float64())),
        "half": lambda: pa.array(y, pa.float32()).cast(pa.float16()),
        "time": lambda: pa.array(
            [random.choice([0, 2**62, -(2**62), 1]) for _ in y],
            pa.timestamp(random.choice(["ns", "us", "s"]), tz=random.choice([None, "UTC", "Nowhere/Bad"])),
        ),
    }
    if what in odd:
        return {"text": text, "y": odd[what]()}
    texts = {
        "binary": lambda: pa.array([random.choice([b"\xff\xfe", b"abc def"]) for _ in y], pa.binary()),
        "large": lambda: pa.array(text, pa.large_string()),
        "words": lambda: [line.split() for line in text],
        "floats": lambda: y,
    }
    if what in texts:
        return {"text": texts[what](), "y": y}
    return {"empty": {"text": pa.array([], pa.string()), "y": pa.array([], pa.float64())}, "no text": {"y": y}}.get(
        what, {"text": text, "y": y}
    )


@kind
def parquet(random: Random, base: Base) -> Case:
    """A Parquet file with odd columns, or with damaged bytes; columns that nobody asks for are as odd."""
    rows = rows_of(random)
    what = random.choice(
        ["bytes"] * 4 + ["struct", "list", "nulls", "null", "empty", "dictionary", "binary", "time", "decimal", "twice",
         "boolean", "int64", "huge", "nan", "map", "large", "words", "floats", "date", "duration", "csv", "no text",
         "zstd", "half"]
    )
    note, target = what, "y"
    columns = _columns(random, what, [row["text"] for row in rows], [row["y"] for row in rows])
    if random.random() < 0.3 and "y" in columns and what != "empty":
        columns["other"], columns["y"] = columns["y"], [row["y"] for row in rows]
        note += " in another column"
    file = io.BytesIO()
    try:
        table = pa.table(columns)
        if what == "twice":
            table = table.append_column("y", table["y"])
        pq.write_table(table, file, compression="zstd" if what == "zstd" else "snappy")
    except (pa.ArrowException, TypeError):  # of a type that Parquet has not
        return Case(f"{note}; cannot be written")
    content = file.getvalue()
    if what == "csv":
        content = csv_bytes(rows)
    elif what == "bytes":
        at = random.randrange(len(content))
        tail = struct.pack("<I", random.choice([0, 2**31 - 1, 5, 2**32 - 1])) + b"PAR1"
        name, content = random.choice(
            [spoil_bytes(random, content), ("flip", flip(random, content)), ("length", content[:-8] + tail),
             ("flips", flip(random, content, 9)), ("hole", content[:at] + content[at + 7 :])]
        )
        note += f" {name}"
    Path("t.parquet").write_bytes(content)
    return read_by(random, base, Case(note, ["t.parquet"]), target)
